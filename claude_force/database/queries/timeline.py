"""Executions over time: sums by hour and by time bucket, first and last instants, starts of workflows."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import (
    SUMS,
    UnionQuery,
    plan_of,
    rows_only,
    select_aggregates,
    totals_of,
)
from claude_force.database.queries.filter import (
    IS_OF_SERIES,
    NAME_SQL,
    SERIES,
    SERIES_NAMES,
    Dimension,
    Filter,
    rows_from,
    where,
)
from claude_force.executions.rollups import ALL_SERIES, EACH_SERIES, HOUR
from claude_force.executions.totals import TimeRange, Totals, WorkflowStart
from claude_force.time_windows import Window

_WINDOWS_AT_ONCE = 100
"""Selects in one statement; SQLite allows 500."""

_NAMES_AT_ONCE = 10_000
"""Names in one statement, which reads the period once; SQLite allows 32,766 parameters."""


def hours(connection: Connection, filters: Filter) -> dict[tuple[int, str], Totals]:
    """The sums by hour (UTC hours since the epoch) and model. Whole hours are read from roll-ups."""
    plan = plan_of(connection, filters, HOUR, coarsest=HOUR)
    aggregates = select_aggregates(filters, plan, EACH_SERIES, (f"{{at}} / {HOUR_US} AS hour",))
    conditions, named = filters.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        f"SELECT hour, model, {SUMS} FROM ({aggregates.sql}) AS aggregates JOIN series USING (series_id)"
        f"{where(conditions)} GROUP BY 1, 2",
        aggregates.parameters | named,
    )
    return {(int(row[0]), row[1]): totals_of(row[2:]) for row in rows}


def time_buckets(connection: Connection, filters: Filter, size_us: int) -> dict[int, Totals]:
    """The sums by time bucket of `size_us` (its number since the epoch). Buckets of whole hours are read from roll-ups;
    shorter ones from rows, which archived executions no longer have."""
    is_hours = size_us % HOUR_US == 0
    plan = plan_of(connection, filters, HOUR, coarsest=HOUR) if is_hours else rows_only(filters.searched)
    scope = EACH_SERIES if filters.has_labels else ALL_SERIES
    aggregates = select_aggregates(filters, plan, scope, (f"{{at}} / {size_us} AS slot",))
    conditions, named = filters.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        f"SELECT slot, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if filters.has_labels else ''}{where(conditions)} GROUP BY 1",
        aggregates.parameters | named,
    )
    return {int(row[0]): totals_of(row[1:]) for row in rows}


def time_ranges(connection: Connection, filters: Filter, windows: Sequence[Window]) -> list[TimeRange | None]:
    """The first and last matching execution in each window, whatever the window of the filter; None for a window
    without any."""
    ranges: list[TimeRange | None] = []
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        union = UnionQuery()
        for window in windows[start : start + _WINDOWS_AT_ONCE]:
            _add_range(union, filters, window)
        rows = sorted(connection.fetch(union.sql, union.parameters))
        ranges += [None if row[1] is None else TimeRange(row[1], row[2]) for row in rows]
    return ranges


def _add_range(union: UnionQuery, filters: Filter, window: Window) -> None:
    """Add a select of the number of the window, its first and its last instant; each takes a few steps in the index."""
    names, named = filters.conditions()
    union.parameters |= named
    rows = f"FROM executions{SERIES}{where([IS_OF_SERIES, *union.within(window), *names])}"
    first, last = (f"(SELECT timestamp_us {rows} ORDER BY timestamp_us {order} LIMIT 1)" for order in ("ASC", "DESC"))
    union.selects.append(f"SELECT {len(union.selects)}, {first}, {last}")


def workflow_starts(
    connection: Connection, filters: Filter, workflows: Sequence[str], dimension: Dimension = "workflow_id"
) -> dict[str, WorkflowStart]:
    """When, in which project, source and session some workflows began, among the matching executions; for the dimension
    "session_id", some sessions. Of two first executions at one instant, the one with the smaller uid counts."""
    starts: dict[str, WorkflowStart] = {}
    for start in range(0, len(workflows), _NAMES_AT_ONCE):
        names = workflows[start : start + _NAMES_AT_ONCE]
        for workflow, first_us, folder, source, session in _firsts(connection, filters, names, NAME_SQL[dimension]):
            found = WorkflowStart(first_us, filters.project_names.of(folder), source, session)
            starts.setdefault(workflow, found)
    return starts


def _firsts(connection: Connection, filters: Filter, workflows: Sequence[str], column: str) -> list[Row]:
    named = {f"name_{index}": workflow for index, workflow in enumerate(workflows)}
    among = f"{column} IN ({', '.join(f':{name}' for name in named)})"
    tables, conditions, parameters = rows_from(filters, False, among)
    names, _ = filters.conditions()
    # Joined again by the instant: ranking the executions of each workflow takes nearly four times as long.
    return connection.fetch(
        f"SELECT name, first_us, NULLIF(project, ''), source, {NAME_SQL['session_id']} FROM ("
        f"SELECT {column} AS name, MIN(timestamp_us) AS first_us FROM {tables}{conditions} GROUP BY {column}"
        f") AS firsts CROSS JOIN executions{SERIES}"
        f"{where([IS_OF_SERIES, 'timestamp_us = first_us', f'{column} = name', *names])} ORDER BY uid",
        parameters | named,
    )
