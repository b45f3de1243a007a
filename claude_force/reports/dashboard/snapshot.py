"""What a dashboard shows, read from the database in one snapshot: roll-ups, a few rows, and what is stored of alerts.

Nothing here knows how it looks or what time it is. The figures of a period are those of `analytics summary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from claude_force import windows
from claude_force.alerts.decision import State
from claude_force.analytics.reports import SortKey, unpriced_models
from claude_force.clock import HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.queries.alerts import alerts
from claude_force.database.rows.alerts import AlertRow
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import Group, Percentiles, TimeRange, Totals
from claude_force.windows import Window

Span = Literal["1h", "24h", "7d"]
SPANS: tuple[Span, ...] = get_args(Span)

SORT_KEYS: tuple[SortKey, ...] = ("cost", "executions", "time", "success", "tokens")
"""The orders of agents."""

MOST_RECENT = 100
"""So many of the last executions are read: more than a terminal has lines for."""

_SLOTS: dict[Span, tuple[int, int]] = {"1h": (60, HOUR_US // 60), "24h": (24, HOUR_US), "7d": (7 * 24, HOUR_US)}


class Period(NamedTuple):
    """The key figures of a period. A percentile that is not exact is at most 1 % away."""

    window: Window
    totals: Totals
    percentiles: Percentiles
    is_exact: bool


class Course(NamedTuple):
    """Sums over time: one for each stretch of `step_us`, oldest first. The last one is not over yet."""

    step_us: int
    slots: tuple[Totals, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading. `periods` are the last hour, 24 hours and 7 days; agents, models and the course are those of `span`.
    `reach` is from the first to the last execution of the store, None where it is empty."""

    at_us: int
    name: str
    span: Span
    reach: TimeRange | None
    periods: dict[Span, Period]
    agents: list[Group]
    models: list[Group]
    course: Course
    firing: list[AlertRow]
    recent: list[ExecutionMetrics]

    @property
    def unpriced_models(self) -> list[str]:
        """The models of `span` that have executions without a known cost."""
        return unpriced_models(self.models)


def window_of(span: Span, now_us: int) -> Window:
    """The period that a span is now."""
    lengths: dict[Span, Window] = {
        "1h": windows.last_window(now_us, hours=1),
        "24h": windows.last_window(now_us, hours=24),
        "7d": windows.last_window(now_us, days=7),
    }
    return lengths[span]


def read_figures(database: Database, span: Span, now_us: int) -> Figures:
    """One reading of a database; one that is not there reads as empty. Raises DatabaseError."""
    with database.read() as connection:
        chosen = Filter(window_of(span, now_us))
        return Figures(
            at_us=now_us,
            name=database.name,
            span=span,
            reach=queries.time_range(connection),
            periods={each: _period(connection, window_of(each, now_us)) for each in SPANS},
            agents=_groups(connection, chosen, "agent_name"),
            models=_groups(connection, chosen, "model"),
            course=_course(connection, span, now_us),
            firing=[alert for alert in alerts(connection) if alert.state == State.FIRING],
            recent=queries.newest(connection, database, MOST_RECENT),
        )


def _period(connection: Connection, window: Window) -> Period:
    totals = queries.totals(connection, Filter(window))
    ranked, is_exact = queries.percentiles(connection, Filter(window), totals.executions)
    return Period(window, totals, ranked, is_exact)


def _groups(connection: Connection, chosen: Filter, dimension: Literal["agent_name", "model"]) -> list[Group]:
    return [Group(name, totals) for (name,), totals in queries.totals_by(connection, chosen, dimension).items()]


def _course(connection: Connection, span: Span, now_us: int) -> Course:
    """Whole stretches of the clock, so that a figure does not change as time passes; the first ones begin within the
    period, or a part of a stretch would look like a quiet one."""
    count, step_us = _SLOTS[span]
    first = now_us // step_us - count + 1
    found = queries.time_buckets(connection, Filter(Window(max(first * step_us, 0), now_us)), step_us)
    return Course(step_us, tuple(found.get(first + place, Totals()) for place in range(count)))
