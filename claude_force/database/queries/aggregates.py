"""The sums of a period by series: from roll-ups where they cover it, from rows elsewhere.

A period is answered from the coarsest roll-up buckets that lie wholly in it, the rows at its edges, and the few rows
that are not rolled up yet. An hour of archived executions has no rows; at an edge it counts as a point at its start.
Of hosts and users there are sums by day, of stored executions. Roll-ups do not know workflows, sessions, branches and
labels, so a query by one of these reads rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.filter import (
    ROW_COLUMNS,
    ROW_FILTERS,
    ROW_NAMES,
    SEAT_DIMENSIONS,
    Dimension,
    Filter,
    where,
)
from claude_force.executions.billed_steps import Share
from claude_force.executions.record import PROVISIONAL
from claude_force.executions.rollups import ARCHIVED, DAY, EACH_SERIES, ERA, LEVELS_US, RollupPlan, plan_buckets
from claude_force.executions.totals import TOTALS, TimeRange, Totals
from claude_force.time_windows import Window

COUNT_OF = {
    "executions": "COUNT(*)",
    "successes": "SUM(success)",
    "timed": "COUNT(duration_us)",
    "duration_us": "SUM(duration_us)",
    "metered": "COUNT(input_tokens)",
    "input_tokens": "SUM(input_tokens)",
    "output_tokens": "SUM(output_tokens)",
    "cache_read_tokens": "SUM(cache_read_tokens)",
    "cache_write_5m_tokens": "SUM(cache_write_5m_tokens)",
    "cache_write_1h_tokens": "SUM(cache_write_1h_tokens)",
    "priced": "COUNT(cost_nanousd)",
    "cost_nanousd": "SUM(cost_nanousd)",
    "compared_cost_nanousd": "SUM(CASE WHEN reference_cost_nanousd IS NOT NULL THEN cost_nanousd END)",
    "compared_reference_nanousd": "SUM(CASE WHEN cost_nanousd IS NOT NULL THEN reference_cost_nanousd END)",
    "provisional": f"SUM(CASE WHEN usage_basis = '{PROVISIONAL}' THEN 1 END)",
    "recorded_cost_nanousd": "SUM(CASE WHEN recorded_basis IS NULL THEN cost_nanousd ELSE recorded_cost_nanousd END)",
}
"""The columns of `Totals`, in its order, from rows of `executions`."""

COUNTS = ", ".join(f"COALESCE({expression}, 0) AS {name}" for name, expression in COUNT_OF.items())
SHARES = ", ".join(f"COALESCE(SUM({name}), 0)" if name in Share._fields else "0" for name in TOTALS)
"""The columns of `Totals`, in its order, from rows of `step_usage`."""

SUMS = ", ".join(f"COALESCE(SUM({name}), 0)" for name in TOTALS)

SEAT_NAMES = ", ".join(f"NULLIF({name}, '') AS {name}" for name in SEAT_DIMENSIONS)
"""SQL for the names of a seat, as executions have them."""

_SUMS_OF_SEATS = (
    f"(SELECT rollup_seats.*, {SEAT_NAMES} FROM rollup_seats CROSS JOIN seats "
    "WHERE seats.seat_id = rollup_seats.seat_id) AS rollup_seats"
)

_STEPS_WITH_NAMES = (
    f"(SELECT step_usage.*, {', '.join(ROW_NAMES)} FROM step_usage CROSS JOIN executions "
    "WHERE executions.uid = step_usage.uid) AS step_usage"
)
"""`step_usage` with the names of its executions that are not part of a series."""


@dataclass(slots=True)
class UnionQuery:
    """Selects with equal columns, joined by UNION ALL, and their parameters."""

    selects: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """A new parameter with this value, as it is written in SQL."""
        name = f"value_{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def within(self, window: Window) -> list[str]:
        """Conditions on `timestamp_us`."""
        edges = (("timestamp_us >= ", window.start_us), ("timestamp_us < ", window.end_us))
        return [condition + self.bind(edge) for condition, edge in edges if edge is not None]

    def buckets(self, first: int, end: int) -> str:
        """The condition for the roll-up buckets [first, end)."""
        return f"bucket >= {self.bind(first)} AND bucket < {self.bind(end)}"

    @property
    def sql(self) -> str:
        """All selects as one query."""
        return " UNION ALL ".join(self.selects)


# Four scalar queries, each one step in an index; a single SELECT of all four would read the whole index.
_RANGES = (
    "SELECT (SELECT MIN(timestamp_us) FROM executions), (SELECT MAX(timestamp_us) FROM executions), "
    "(SELECT MIN(first_us) FROM archives), (SELECT MAX(last_us) FROM archives)"
)


def known_ranges(connection: Connection) -> tuple[TimeRange | None, TimeRange | None]:
    """The first and last instant of the stored executions, and of the archived ones; None where there are none. Asked
    once per snapshot: every part of a report needs it."""
    first, last, archived_first, archived_last = connection.fetch_once(_RANGES)[0]
    return (
        None if first is None else TimeRange(first, last),
        None if archived_first is None else TimeRange(archived_first, archived_last),
    )


def time_range(connection: Connection) -> TimeRange | None:
    """The first and last instant of all executions, archived ones included; None if there are none."""
    return _hull(known_ranges(connection))


def history_range(connection: Connection) -> tuple[TimeRange | None, Window]:
    """The time range of all executions, where an archived one counts from the start of its day, and the period of the
    archives (empty if there are none)."""
    stored, archived = known_ranges(connection)
    if archived is None:
        return stored, Window(0, 0)
    whole_days = TimeRange(archived.first_us // DAY_US * DAY_US, archived.last_us)
    return _hull((stored, whole_days)), Window(whole_days.first_us, whole_days.last_us + 1)


def _hull(ranges: Sequence[TimeRange | None]) -> TimeRange | None:
    known = [time_range for time_range in ranges if time_range is not None]
    return TimeRange(min(each.first_us for each in known), max(each.last_us for each in known)) if known else None


def plan_of(
    connection: Connection, filters: Filter, finest: int, *dimensions: Dimension, coarsest: int = ERA
) -> RollupPlan:
    """How to answer a query: by buckets of the levels from `finest` to `coarsest`, as far as roll-ups know what it asks
    for."""
    if not is_known_to_rollups(filters, *dimensions):
        return rows_only(filters.searched)
    return plan_of_period(connection, filters.window, finest, coarsest)


def plan_with_seats(connection: Connection, filters: Filter, finest: int, *dimensions: Dimension) -> RollupPlan:
    """`plan_of`, also by the sums of hosts and users, which have no archived executions."""
    if not is_known_to_seats(filters, *dimensions):
        return plan_of(connection, filters, finest, *dimensions)
    plan = plan_of_period(connection, filters.window, max(finest, DAY), ERA)
    return plan._replace(archived=Window(0, 0), is_by_seat=True)


def plan_of_period(connection: Connection, window: Window, finest: int, coarsest: int) -> RollupPlan:
    """How to answer a period by buckets of the levels from `finest` to `coarsest`."""
    history, archived = history_range(connection)
    if history is None:
        return rows_only(window)
    # A window that reaches beyond the history needs no rows at that edge.
    start = 0 if window.start_us is None or window.start_us <= history.first_us else window.start_us
    beyond = (history.last_us // LEVELS_US[ERA] + 1) * LEVELS_US[ERA]
    end = beyond if window.end_us is None or window.end_us > history.last_us else window.end_us
    return plan_buckets(start, end, finest, coarsest)._replace(archived=archived)


def rows_only(window: Window) -> RollupPlan:
    """The plan that answers a period without roll-ups."""
    return RollupPlan((), (window,), Window(0, 0))


def is_known_to_rollups(filters: Filter, *dimensions: Dimension) -> bool:
    """Whether roll-ups can answer: not for the dimensions that only rows have."""
    return not (filters.has_rows_only or any(dimension in ROW_FILTERS for dimension in dimensions))


def is_known_to_seats(filters: Filter, *dimensions: Dimension) -> bool:
    """Whether a query is about hosts or users, and about nothing else that series do not have."""
    others = replace(filters, hosts=(), users=())
    asked = [dimension for dimension in dimensions if dimension not in SEAT_DIMENSIONS]
    return (filters.has_seats or len(asked) < len(dimensions)) and is_known_to_rollups(others, *asked)


def select_aggregates(filters: Filter, plan: RollupPlan, scope: int, further_columns: Sequence[str] = ()) -> UnionQuery:
    """The sums by series and further columns, in whose SQL {at} stands for the instant: from roll-ups, from the rows at
    the edges, and from the rows that are not rolled up yet. In the scope ALL_SERIES those of rows are sums of all
    series, too: to group by less takes half the time."""
    union = UnionQuery()
    keys = ("series_id" if scope == EACH_SERIES else "0 AS series_id", *further_columns)
    source = _SUMS_OF_SEATS if plan.is_by_seat else "rollups"
    names = filters.conditions(*SEAT_DIMENSIONS)[0] if plan.is_by_seat else []
    for level, first, end in plan.buckets:
        columns = ", ".join([*_at(f"bucket * {LEVELS_US[level]}", keys), *TOTALS])
        these = [f"scope = {scope}", f"level = {level}", union.buckets(first, end), *names]
        union.selects.append(f"SELECT {columns} FROM {source}{where(these)}")
    for edge in plan.edges:
        _add_rows(union, filters, edge, keys)
    for first, end in plan.archived_buckets(HOUR_US):
        columns = ", ".join([*_at(f"bucket * {HOUR_US}", keys), *TOTALS])
        union.selects.append(
            f"SELECT {columns} FROM rollups WHERE scope = {EACH_SERIES} AND level = {ARCHIVED} "
            f"AND {union.buckets(first, end)}"
        )
    if plan.buckets:
        _add_rows(union, filters, plan.inside, keys, is_pending=True)
    return union


def _add_rows(
    union: UnionQuery, filters: Filter, window: Window, keys: Sequence[str], *, is_pending: bool = False
) -> None:
    """Add the sums of the rows in a window, and those of their steps. `is_pending` restricts to the rows that are not
    rolled up yet."""
    names, named = filters.conditions(*ROW_FILTERS)
    # The names of a filter are the same parameters in every select.
    union.parameters |= named
    grouping = ", ".join(str(index + 1) for index in range(len(keys)))
    has_names = bool(names) or not ROW_COLUMNS.isdisjoint(keys)
    for table, source, sums in (
        ("executions", "executions", COUNTS),
        ("step_usage", _STEPS_WITH_NAMES if has_names else "step_usage", SHARES),
    ):
        pending = [f"{table}.uid = uncounted.uid"] if is_pending else []
        union.selects.append(
            f"SELECT {', '.join([*_at('timestamp_us', keys), sums])} "
            f"FROM {'uncounted CROSS JOIN ' if is_pending else ''}{source}"
            f"{where([*pending, *union.within(window), *names])} GROUP BY {grouping}"
        )


def _at(instant: str, columns: Sequence[str]) -> list[str]:
    """The columns for an instant, an SQL expression."""
    return [column.format(at=instant) for column in columns]


def totals_of(row: Sequence[Any]) -> Totals:
    """Totals from the columns that SUMS selects."""
    # PostgreSQL sums bigint as numeric, which arrives as Decimal.
    return Totals(*map(int, row))
