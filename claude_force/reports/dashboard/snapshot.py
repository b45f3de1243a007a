"""What the dashboard shows, read from the database in one transaction.

The totals of a period are those of `analytics summary`. Alerts are read as the scheduler stored them, without
those whose rule is gone; no rule is evaluated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from claude_force import time_windows
from claude_force.alerts.configured import ConfiguredRules, firing_alerts
from claude_force.analytics.groups import SortKey, unpriced_models
from claude_force.analytics.plan_limits import LimitState, current_limits
from claude_force.clock import HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.rows.alerts import AlertRow
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import Group, Percentiles, TimeRange, Totals
from claude_force.ingest.freshness import Freshness
from claude_force.time_windows import Window

Span = Literal["1h", "24h", "7d"]
SPANS: tuple[Span, ...] = get_args(Span)

SORT_KEYS: tuple[SortKey, ...] = ("cost", "executions", "time", "success", "tokens")
"""The orders of agents."""

RECENT_LIMIT = 100
"""How many of the newest executions are read: more than a terminal has lines for."""

_BUCKETS: dict[Span, tuple[int, int]] = {"1h": (60, HOUR_US // 60), "24h": (24, HOUR_US), "7d": (7 * 24, HOUR_US)}
"""The number of buckets of each span, and their length."""


class Period(NamedTuple):
    """The totals of a period. Percentiles that are not exact have an error of at most 1 %."""

    window: Window
    totals: Totals
    percentiles: Percentiles
    is_exact: bool


class TimeSeries(NamedTuple):
    """Totals over time: one bucket for each `step_us`, oldest first. The last bucket is not over yet."""

    step_us: int
    buckets: tuple[Totals, ...]


@dataclass(frozen=True, slots=True)
class DashboardSnapshot:
    """The database at one instant.

    `periods` has the last hour, 24 hours and 7 days. `agents`, `models` and `time_series` cover `span`. `stored_range`
    is from the first to the last execution of the store, or None if it is empty. `plan_limits` are the current ones.
    `freshness` says what of this machine's transcripts is in it.
    """

    at_us: int
    name: str
    span: Span
    stored_range: TimeRange | None
    periods: dict[Span, Period]
    agents: list[Group]
    models: list[Group]
    time_series: TimeSeries
    firing: list[AlertRow]
    recent: list[ExecutionMetrics]
    plan_limits: list[LimitState]
    freshness: Freshness

    @property
    def unpriced_models(self) -> list[str]:
        """The models of `span` that have executions with no known price."""
        return unpriced_models(self.models)


def window_of(span: Span, now_us: int) -> Window:
    """The period of a span that ends now."""
    lengths: dict[Span, Window] = {
        "1h": time_windows.last_window(now_us, hours=1),
        "24h": time_windows.last_window(now_us, hours=24),
        "7d": time_windows.last_window(now_us, days=7),
    }
    return lengths[span]


def read_snapshot(
    database: Database,
    span: Span,
    now_us: int,
    freshness: Freshness | None = None,
    rules: ConfiguredRules | None = None,
) -> DashboardSnapshot:
    """Read a snapshot. `freshness` is that of the database, if it is known; `firing_alerts` says what `rules` are for.
    A database that does not exist reads as empty. Raises DatabaseError."""
    with database.read() as connection:
        chosen = Filter(window_of(span, now_us))
        return DashboardSnapshot(
            at_us=now_us,
            name=database.name,
            span=span,
            stored_range=queries.time_range(connection),
            periods={each: _period(connection, window_of(each, now_us)) for each in SPANS},
            agents=_groups(connection, chosen, "agent_name"),
            models=_groups(connection, chosen, "model"),
            time_series=_time_series(connection, span, now_us),
            firing=firing_alerts(connection, rules),
            recent=queries.newest(connection, database, RECENT_LIMIT),
            plan_limits=current_limits(connection, now_us),
            freshness=freshness or Freshness(now_us),
        )


def _period(connection: Connection, window: Window) -> Period:
    totals = queries.totals(connection, Filter(window))
    ranked, is_exact = queries.percentiles(connection, Filter(window), totals.executions)
    return Period(window, totals, ranked, is_exact)


def _groups(connection: Connection, chosen: Filter, dimension: Literal["agent_name", "model"]) -> list[Group]:
    return [Group(name, totals) for (name,), totals in queries.totals_by(connection, chosen, dimension).items()]


def _time_series(connection: Connection, span: Span, now_us: int) -> TimeSeries:
    """Buckets start at whole minutes or hours, so that the past does not change between two snapshots.

    The first bucket starts inside the span: a part of a bucket would look like a quiet one.
    """
    count, step_us = _BUCKETS[span]
    first = now_us // step_us - count + 1
    found = queries.time_buckets(connection, Filter(Window(max(first * step_us, 0), now_us)), step_us)
    return TimeSeries(step_us, tuple(found.get(first + index, Totals()) for index in range(count)))
