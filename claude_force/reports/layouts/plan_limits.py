"""How the limits of a Claude plan look: a table with a bar, and the cells that the dashboard shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from claude_force import clock
from claude_force.analytics.plan_limits import LimitState, names_of
from claude_force.clock import DAY_US, MINUTE_US
from claude_force.formatting import NONE, hours_minutes, percent
from claude_force.reports.columns import Column
from claude_force.reports.render import Table, bar

_BAR_WIDTH = 10
_COLUMNS = (
    Column("Plan limit", "name", len("5 hours, host")), Column("Used"), Column("", "bar"),
    Column("Reset", "text"), Column("Runs out at\nthis rate", "text"), Column("Observed", "text"),
)  # fmt: skip


def limits_table(states: Sequence[LimitState], zone: tzinfo, now_us: int) -> Table:
    """The limits, one a row, with the age of the observation."""
    rows = [[*cells(state, zone, now_us, _BAR_WIDTH), _age(state, now_us)] for state in states]
    return Table(_COLUMNS, [[name, *row] for name, row in zip(names_of(states), rows, strict=True)])


def limits_line(states: Sequence[LimitState], zone: tzinfo, now_us: int) -> str:
    """The limits in a line: "5 hours 62% until 14:00, week 31% until 11-30 09:00"."""
    return ", ".join(
        f"{name} {percent(state.limit.used_percent, 0)} until {_time(state.limit.resets_us, zone, now_us)}"
        for name, state in zip(names_of(states), states, strict=True)
    )


def cells(state: LimitState, zone: tzinfo, now_us: int, bar_width: int) -> list[str]:
    """A limit without its name: what is used, as a number and as a bar, its reset, and when it runs out."""
    used = state.limit.used_percent
    return [
        percent(used, 0),
        bar(min(used, 100), 100, bar_width),
        _time(state.limit.resets_us, zone, now_us),
        _runs_out(state, zone, now_us),
    ]


def _runs_out(state: LimitState, zone: tzinfo, now_us: int) -> str:
    if state.limit.used_percent >= 100:
        return "used up"
    if state.forecast.runs_out_us is None and state.forecast.percent_per_hour is not None:
        return "not before reset"
    return _time(state.forecast.runs_out_us, zone, now_us)


def _time(instant_us: int | None, zone: tzinfo, now_us: int) -> str:
    """The time of day if it is today or less than 12 hours away, otherwise the date and the minute."""
    if instant_us is None:
        return NONE
    at, now = clock.to_datetime(instant_us, zone), clock.to_datetime(now_us, zone)
    is_near = at.date() == now.date() or abs(instant_us - now_us) < DAY_US // 2
    return f"{at:%H:%M}" if is_near else f"{at:%m-%d %H:%M}"


def _age(state: LimitState, now_us: int) -> str:
    return f"{hours_minutes((now_us - state.limit.observed_us) // MINUTE_US)} ago"
