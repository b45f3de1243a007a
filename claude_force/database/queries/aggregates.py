"""Cells: the sums of a period by series, from roll-ups where they have them and from rows where they do not.

A period is answered from the coarsest whole buckets in it, the rows at its edges, and the few rows that the roll-ups do
not count yet. An hour of archived executions has no rows; at an edge it is a point at its beginning. A question that
roll-ups do not know (by workflow) is answered from rows alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.filter import IS_PENDING, PENDING, Dimension, Filter, where, within
from claude_force.executions.record import PROVISIONAL
from claude_force.executions.rollups import ARCHIVED, EACH_SERIES, ERA, LEVELS_US, RollupPlan, plan_buckets
from claude_force.executions.totals import TOTALS, TimeRange, Totals
from claude_force.windows import Window

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
"""The columns of `result.Totals`, in its order, from rows of `executions`."""

COUNTS = ", ".join(f"COALESCE({expression}, 0) AS {name}" for name, expression in COUNT_OF.items())
SUMS = ", ".join(f"COALESCE(SUM({name}), 0)" for name in TOTALS)


@dataclass(slots=True)
class UnionQuery:
    """Selects with equal columns, one after the other, and their parameters."""

    selects: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    def add(self, select: str, parameters: dict[str, Any]) -> None:
        """Add a select. Its parameters get names of their own."""
        number = len(self.selects)
        for name in parameters:
            select = re.sub(rf":{name}\b", f":{name}_of_{number}", select)
        self.selects.append(select)
        self.parameters |= {f"{name}_of_{number}": value for name, value in parameters.items()}

    @property
    def sql(self) -> str:
        """All selects as one."""
        return " UNION ALL ".join(self.selects)


# Apart, each is one step in the index; together they would read all of it.
_EXTENTS = (
    "SELECT (SELECT MIN(timestamp_us) FROM executions), (SELECT MAX(timestamp_us) FROM executions), "
    "(SELECT MIN(first_us) FROM archives), (SELECT MAX(last_us) FROM archives)"
)


def known_ranges(connection: Connection) -> tuple[TimeRange | None, TimeRange | None]:
    """From the first to the last execution that is stored, and of those that were archived; None where there is
    none."""
    first, last, archived_first, archived_last = connection.fetch(_EXTENTS)[0]
    return (
        None if first is None else TimeRange(first, last),
        None if archived_first is None else TimeRange(archived_first, archived_last),
    )


def time_range(connection: Connection) -> TimeRange | None:
    """From the first to the last execution, archived ones included; None where there is none."""
    known = [found for found in known_ranges(connection) if found is not None]
    return TimeRange(min(found.first_us for found in known), max(found.last_us for found in known)) if known else None


def history_range(connection: Connection) -> tuple[TimeRange | None, Window]:
    """The extent of everything, an archived execution being as early as the day that stands for it; and the period of
    the archives, empty where there is none."""
    stored, archived = known_ranges(connection)
    if archived is None:
        return stored, Window(0, 0)
    first_us, last_us = archived.first_us // DAY_US * DAY_US, archived.last_us
    known = [TimeRange(first_us, last_us), *([stored] if stored else [])]
    reach = TimeRange(min(found.first_us for found in known), max(found.last_us for found in known))
    return reach, Window(first_us, last_us + 1)


def plan_of(
    connection: Connection, chosen: Filter, finest: int, *dimensions: Dimension, coarsest: int = ERA
) -> RollupPlan:
    """How to answer for a period: by buckets of some levels, as far as roll-ups know what is asked."""
    window = chosen.window
    if not is_known_to_rollups(chosen, *dimensions):
        return rows_only(window)
    reach, archived = history_range(connection)
    if reach is None:
        return rows_only(window)
    start, end = window.start_us, window.end_us
    # What lies beyond the history does not make an edge.
    beyond = (reach.last_us // LEVELS_US[ERA] + 1) * LEVELS_US[ERA]
    start = 0 if start is None or start <= reach.first_us else start
    plan = plan_buckets(start, beyond if end is None or end > reach.last_us else end, finest, coarsest)
    return plan._replace(archived=archived)


def rows_only(window: Window) -> RollupPlan:
    """How to answer for a period without roll-ups."""
    return RollupPlan((), (window,), Window(0, 0))


def is_known_to_rollups(chosen: Filter, *dimensions: Dimension) -> bool:
    """Whether a question is one that roll-ups can answer: they know nothing of workflows."""
    return not chosen.workflows and "workflow_id" not in dimensions


class Projection(NamedTuple):
    """What cells have beside their series and sums: further columns, as SQL with {at} for the instant, and a condition
    on the buckets that may be read, likewise ("" for all)."""

    columns: tuple[str, ...] = ()
    whole: str = ""


_PLAIN = Projection()


def select_aggregates(chosen: Filter, plan: RollupPlan, scope: int, reading: Projection = _PLAIN) -> UnionQuery:
    """The sums of a period by series: from roll-ups, from the rows at its edges, and from those not counted yet."""
    union = UnionQuery()
    for level, first, end in plan.buckets:
        at = f"bucket * {LEVELS_US[level]}"
        columns = "".join(f"{column.format(at=at)}, " for column in reading.columns)
        union.add(
            f"SELECT series_id, {columns}{', '.join(TOTALS)} FROM rollups WHERE scope = {scope} AND level = {level} "
            f"AND bucket >= :first AND bucket < :end{_and(reading.whole.format(at=at))}",
            {"first": first, "end": end},
        )
    for edge in plan.edges:
        _add_rows(union, "executions", chosen, edge, reading, "")
    for first, end in plan.points(HOUR_US):
        columns = "".join(f"{column.format(at=f'bucket * {HOUR_US}')}, " for column in reading.columns)
        union.add(
            f"SELECT series_id, {columns}{', '.join(TOTALS)} FROM rollups WHERE scope = {EACH_SERIES} "
            f"AND level = {ARCHIVED} AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    if plan.buckets:
        size = LEVELS_US[min(level for level, _, _ in plan.buckets)]
        whole = reading.whole.format(at=f"(timestamp_us / {size} * {size})")
        _add_rows(union, PENDING, chosen, plan.inside, reading, IS_PENDING + _and(whole))
    return union


def _and(condition: str) -> str:
    return f" AND {condition}" if condition else ""


def _add_rows(
    union: UnionQuery, tables: str, chosen: Filter, window: Window, reading: Projection, condition: str
) -> None:
    period, parameters = within(window)
    names, named = chosen.conditions("workflow_id")
    columns = [column.format(at="timestamp_us") for column in reading.columns]
    grouping = ", ".join(str(index + 1) for index in range(1 + len(columns)))
    union.add(
        f"SELECT {', '.join(['series_id', *columns, COUNTS])} FROM {tables}"
        f"{where([*filter(None, [condition]), *period, *names])} GROUP BY {grouping}",
        parameters | named,
    )


def totals_of(row: Sequence[Any]) -> Totals:
    """Totals from the columns that SUMS gives."""
    # PostgreSQL sums bigint as numeric, which arrives as Decimal.
    return Totals(*map(int, row))
