"""When executions were: the stretches of a period, its first and last instants, where workflows began."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import (
    SUMS,
    Projection,
    UnionQuery,
    plan_of,
    rows_only,
    select_aggregates,
    totals_of,
)
from claude_force.database.queries.filter import OF_SERIES, SERIES, SERIES_NAMES, Filter, rows_from, where, within
from claude_force.executions.rollups import ALL_SERIES, EACH_SERIES, HOUR
from claude_force.executions.totals import TimeRange, Totals, WorkflowStart
from claude_force.windows import Window

_WINDOWS_AT_ONCE = 100
"""Selects in one statement; SQLite takes 500."""

_NAMES_AT_ONCE = 10_000
"""Names in one statement, which reads the period once; SQLite takes 32,766 parameters."""


def hours(connection: Connection, chosen: Filter) -> dict[tuple[int, str], Totals]:
    """The sums by hour of UTC (its number since the epoch) and model; of a period of whole hours, from roll-ups."""
    plan = plan_of(connection, chosen, HOUR, coarsest=HOUR)
    aggregates = select_aggregates(chosen, plan, EACH_SERIES, Projection((f"{{at}} / {HOUR_US} AS hour",)))
    conditions, named = chosen.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        f"SELECT hour, model, {SUMS} FROM ({aggregates.sql}) AS aggregates JOIN series USING (series_id)"
        f"{where(conditions)} GROUP BY 1, 2",
        aggregates.parameters | named,
    )
    return {(int(row[0]), row[1]): totals_of(row[2:]) for row in rows}


def time_buckets(connection: Connection, chosen: Filter, size_us: int) -> dict[int, Totals]:
    """The sums by stretches of `size_us` (their numbers since the epoch): of whole hours from roll-ups, of less from
    rows, which archived executions do not have."""
    is_hours = size_us % HOUR_US == 0
    plan = plan_of(connection, chosen, HOUR, coarsest=HOUR) if is_hours else rows_only(chosen.window)
    scope = EACH_SERIES if chosen.has_labels else ALL_SERIES
    aggregates = select_aggregates(chosen, plan, scope, Projection((f"{{at}} / {size_us} AS slot",)))
    conditions, named = chosen.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        f"SELECT slot, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if chosen.has_labels else ''}{where(conditions)} GROUP BY 1",
        aggregates.parameters | named,
    )
    return {int(row[0]): totals_of(row[1:]) for row in rows}


def time_ranges(connection: Connection, chosen: Filter, windows: Sequence[Window]) -> list[TimeRange | None]:
    """The first and the last of the chosen executions in each window, whatever the period of the filter; None where
    there is none."""
    found: list[TimeRange | None] = []
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        union = UnionQuery()
        for window in windows[start : start + _WINDOWS_AT_ONCE]:
            _add_edges(union, chosen, window, len(union.selects))
        rows = sorted(connection.fetch(union.sql, union.parameters))
        found += [None if row[1] is None else TimeRange(row[1], row[2]) for row in rows]
    return found


def _add_edges(union: UnionQuery, chosen: Filter, window: Window, place: int) -> None:
    """Each edge is a step or a few in the index: the order of the index, and a limit."""
    period, parameters = within(window)
    names, named = chosen.conditions()
    rows = f"FROM executions{SERIES}{where([OF_SERIES, *period, *names])}"
    first, last = (f"(SELECT timestamp_us {rows} ORDER BY timestamp_us {order} LIMIT 1)" for order in ("ASC", "DESC"))
    union.add(f"SELECT {place}, {first}, {last}", parameters | named)


def workflow_starts(connection: Connection, chosen: Filter, workflows: Sequence[str]) -> dict[str, WorkflowStart]:
    """Where and when some workflows began, as far as their executions are chosen; of two first ones at one instant, the
    one with the lesser uid."""
    found: dict[str, WorkflowStart] = {}
    for start in range(0, len(workflows), _NAMES_AT_ONCE):
        for workflow, *first in _firsts(connection, chosen, workflows[start : start + _NAMES_AT_ONCE]):
            found.setdefault(workflow, WorkflowStart(*first))
    return found


def _firsts(connection: Connection, chosen: Filter, workflows: Sequence[str]) -> list[Row]:
    wanted = {f"name_{index}": workflow for index, workflow in enumerate(workflows)}
    among = f"workflow_id IN ({', '.join(f':{name}' for name in wanted)})"
    tables, conditions, parameters = rows_from(chosen, False, among)
    names, _ = chosen.conditions()
    # Found again by its instant: to rank the executions of each workflow would take nearly four times as long.
    return connection.fetch(
        "SELECT name, first_us, NULLIF(project, ''), source FROM ("
        f"SELECT workflow_id AS name, MIN(timestamp_us) AS first_us FROM {tables}{conditions} GROUP BY workflow_id"
        f") AS firsts CROSS JOIN executions{SERIES}"
        f"{where([OF_SERIES, 'timestamp_us = first_us', 'workflow_id = name', *names])} ORDER BY uid",
        parameters | wanted,
    )
