"""Cells: the sums of a period by series, from roll-ups where they have them and from rows where they do not.

A period is answered from the coarsest whole buckets in it, the rows at its edges, and the few rows that the roll-ups do
not count yet. A question that roll-ups do not know (by workflow) is answered from rows alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from claude_force.clock import Window
from claude_force.database import Connection
from claude_force.query.filter import OF_UNCOUNTED, UNCOUNTED, Dimension, Filter, where, within
from claude_force.record import PROVISIONAL
from claude_force.result import TOTALS, Extent, Totals
from claude_force.rollup import ERA, LEVELS_US, Parts, take_apart

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
class Union:
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


def extent(connection: Connection) -> Extent | None:
    """From the first to the last execution; None where there is none."""
    # Apart, each is one step in the index; together they would read all of it.
    edges = (f"(SELECT {edge}(timestamp_us) FROM executions)" for edge in ("MIN", "MAX"))
    first, last = connection.fetch(f"SELECT {', '.join(edges)}")[0]
    return None if first is None else Extent(first, last)


def parts_of(connection: Connection, chosen: Filter, finest: int, *dimensions: Dimension, coarsest: int = ERA) -> Parts:
    """How to answer for a period: by buckets of some levels, as far as roll-ups know what is asked."""
    window = chosen.window
    reach = None if chosen.workflows or "workflow_id" in dimensions else extent(connection)
    if reach is None:
        return Parts((), (window,), Window(0, 0))
    start, end = window.start_us, window.end_us
    # What lies beyond the history does not make an edge.
    beyond = (reach.last_us // LEVELS_US[ERA] + 1) * LEVELS_US[ERA]
    start = 0 if start is None or start <= reach.first_us else start
    return take_apart(start, beyond if end is None or end > reach.last_us else end, finest, coarsest)


class Reading(NamedTuple):
    """What cells have beside their series and sums: further columns, as SQL with {at} for the instant, and a condition
    on the buckets that may be read, likewise ("" for all)."""

    columns: tuple[str, ...] = ()
    whole: str = ""


_PLAIN = Reading()


def cells_of(chosen: Filter, parts: Parts, scope: int, reading: Reading = _PLAIN) -> Union:
    """The sums of a period by series: from roll-ups, from the rows at its edges, and from those not counted yet."""
    union = Union()
    for level, first, end in parts.buckets:
        at = f"bucket * {LEVELS_US[level]}"
        columns = "".join(f"{column.format(at=at)}, " for column in reading.columns)
        union.add(
            f"SELECT series_id, {columns}{', '.join(TOTALS)} FROM rollups WHERE scope = {scope} AND level = {level} "
            f"AND bucket >= :first AND bucket < :end{_and(reading.whole.format(at=at))}",
            {"first": first, "end": end},
        )
    for edge in parts.edges:
        _add_rows(union, "executions", chosen, edge, reading, "")
    if parts.buckets:
        size = LEVELS_US[min(level for level, _, _ in parts.buckets)]
        whole = reading.whole.format(at=f"(timestamp_us / {size} * {size})")
        _add_rows(union, UNCOUNTED, chosen, parts.inside, reading, OF_UNCOUNTED + _and(whole))
    return union


def _and(condition: str) -> str:
    return f" AND {condition}" if condition else ""


def _add_rows(union: Union, tables: str, chosen: Filter, window: Window, reading: Reading, condition: str) -> None:
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
