"""Failures, by error type."""

from __future__ import annotations

from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import UnionQuery, plan_of
from claude_force.database.queries.filter import IS_PENDING, PENDING, ROW_FILTERS, SERIES_NAMES, Filter, where
from claude_force.executions.rollups import ARCHIVED, HOUR, RollupPlan
from claude_force.executions.totals import ErrorGroup

# The first select, without rows: it names the columns of the union.
_NO_FAILURES = "SELECT 0 AS series_id, '' AS error_type, 0 AS failures, 0 AS first_us, 0 AS last_us WHERE 1 = 0"


def errors(connection: Connection, filters: Filter) -> list[ErrorGroup]:
    """The failures by error type, in no particular order."""
    union = _select_failures(filters, plan_of(connection, filters, HOUR))
    conditions, named = filters.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        "SELECT NULLIF(error_type, ''), SUM(failures), COUNT(DISTINCT agent_name), MIN(first_us), MAX(last_us) "
        f"FROM ({union.sql}) AS failed JOIN series USING (series_id){where(conditions)} GROUP BY 1",
        union.parameters | named,
    )
    return [ErrorGroup(row[0], *map(int, row[1:])) for row in rows]


def _select_failures(filters: Filter, plan: RollupPlan) -> UnionQuery:
    """The failures by series and error type: from roll-ups, archived hours, rows at the edges, and pending rows."""
    names, named = filters.conditions(*ROW_FILTERS)
    union = UnionQuery([_NO_FAILURES], dict(named))
    archived = [(ARCHIVED, *span) for span in plan.archived_buckets(HOUR_US)]
    for level, first, end in (*plan.buckets, *archived):
        union.selects.append(
            "SELECT series_id, error_type, failures, first_us, last_us FROM rollup_errors "
            f"WHERE level = {level} AND {union.buckets(first, end)}"
        )
    edges = [("executions", edge, ["success = 0"]) for edge in plan.edges]
    for table, window, conditions in (*edges, (PENDING, plan.inside, ["success = 0", IS_PENDING])):
        union.selects.append(
            "SELECT series_id, COALESCE(error_type, ''), COUNT(*), MIN(timestamp_us), MAX(timestamp_us) "
            f"FROM {table}{where([*union.within(window), *names, *conditions])} GROUP BY 1, 2"
        )
    return union
