"""Failures, by kind of error."""

from __future__ import annotations

from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import UnionQuery, plan_of
from claude_force.database.queries.filter import IS_PENDING, PENDING, SERIES_NAMES, Filter, where, within
from claude_force.executions.rollups import ARCHIVED, HOUR
from claude_force.executions.totals import ErrorGroup


def errors(connection: Connection, chosen: Filter) -> list[ErrorGroup]:
    """The failures by their kind, in no particular order."""
    plan = plan_of(connection, chosen, HOUR)
    union = UnionQuery()
    archived = [(ARCHIVED, *span) for span in plan.points(HOUR_US)]
    for level, first, end in (*plan.buckets, *archived):
        union.add(
            "SELECT series_id, error_type, failures, first_us, last_us FROM rollup_errors "
            f"WHERE level = {level} AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    names, named = chosen.conditions("workflow_id")
    sources = [("executions", edge, "success = 0") for edge in plan.edges]
    for tables, window, more in (*sources, (PENDING, plan.inside, f"success = 0 AND {IS_PENDING}")):
        period, parameters = within(window)
        union.add(
            "SELECT series_id, COALESCE(error_type, ''), COUNT(*), MIN(timestamp_us), MAX(timestamp_us) "
            f"FROM {tables}{where([*period, *names, more])} GROUP BY 1, 2",
            parameters | named,
        )
    conditions, named = chosen.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        "SELECT NULLIF(error_type, ''), SUM(failures), COUNT(DISTINCT agent_name), MIN(first_us), MAX(last_us) FROM ("
        "SELECT 0 AS series_id, '' AS error_type, 0 AS failures, 0 AS first_us, 0 AS last_us WHERE 1 = 0 "
        f"UNION ALL {union.sql}) AS failed JOIN series USING (series_id){where(conditions)} GROUP BY 1",
        union.parameters | named,
    )
    return [ErrorGroup(row[0], *map(int, row[1:])) for row in rows]
