"""The current limits of Claude plans with their forecasts, as the blocks, the dashboard and alerts show them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.clock import SECOND_US
from claude_force.database.contract import Connection
from claude_force.database.queries import plan_limits as queries
from claude_force.executions import plan_limits
from claude_force.executions.plan_limits import Forecast, PlanLimit


class LimitState(NamedTuple):
    """A limit whose window has not ended, and its forecast."""

    limit: PlanLimit
    forecast: Forecast

    def to_dict(self, zone: tzinfo, now_us: int) -> dict[str, Any]:
        """For JSON. Percentages have up to one decimal; what is unknown is None."""
        limit, forecast = self
        return {
            "limit": limit.kind,
            "host": limit.host,
            "used_percent": limit.used_percent,
            "resets_at": _instant(limit.resets_us, zone),
            "observed_at": _instant(limit.observed_us, zone),
            "age_seconds": (now_us - limit.observed_us) // SECOND_US,
            "percent_per_hour": _rounded(forecast.percent_per_hour),
            "forecast_percent": _rounded(forecast.at_reset_percent),
            "runs_out_at": _instant(forecast.runs_out_us, zone),
        }


def _instant(instant_us: int | None, zone: tzinfo) -> str | None:
    return None if instant_us is None else clock.format_instant(instant_us, zone)


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 1)


def current_limits(connection: Connection, now_us: int, kinds: Iterable[str] = ()) -> list[LimitState]:
    """The current limits of every host, of these kinds or of all: five hours, the week, then the others."""
    chosen = frozenset(kinds)
    found = sorted(queries.latest(connection, now_us), key=plan_limits.order)
    return [
        LimitState(limit, plan_limits.forecast(limit, queries.history(connection, limit, now_us), now_us))
        for limit in found
        if limit.is_current(now_us) and (not chosen or limit.kind in chosen)
    ]


def names_of(states: Iterable[LimitState]) -> list[str]:
    """The names of limits for people, with their host if they are of several hosts."""
    limits = [state.limit for state in states]
    is_alone = len({limit.host for limit in limits}) == 1
    return [
        plan_limits.title(limit.kind) if is_alone else f"{plan_limits.title(limit.kind)}, {limit.host}"
        for limit in limits
    ]
