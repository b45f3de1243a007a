"""What failed, and which names there are."""

from __future__ import annotations

from typing import Literal

from claude_force.clock import HOUR_US
from claude_force.database import Connection
from claude_force.query.cells import Union, parts_of
from claude_force.query.filter import OF_UNCOUNTED, SERIES_NAMES, UNCOUNTED, Dimension, Filter, where, within
from claude_force.result import ErrorGroup
from claude_force.rollup import ARCHIVED, EACH_SERIES, ERA, HOUR


def errors(connection: Connection, chosen: Filter) -> list[ErrorGroup]:
    """The failures by their kind, in no particular order."""
    parts = parts_of(connection, chosen, HOUR)
    union = Union()
    archived = [(ARCHIVED, *span) for span in parts.points(HOUR_US)]
    for level, first, end in (*parts.buckets, *archived):
        union.add(
            "SELECT series_id, error_type, failures, first_us, last_us FROM rollup_errors "
            f"WHERE level = {level} AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    names, named = chosen.conditions("workflow_id")
    sources = [("executions", edge, "success = 0") for edge in parts.edges]
    for tables, window, more in (*sources, (UNCOUNTED, parts.inside, f"success = 0 AND {OF_UNCOUNTED}")):
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


def has_name(connection: Connection, dimension: Dimension, name: str) -> bool:
    """Whether a name occurs in a dimension."""
    return bool(connection.fetch(f"{_names(dimension)} AND {dimension} = :name LIMIT 1", {"name": name}))


def names(connection: Connection, dimension: Dimension) -> list[str]:
    """Every name that occurs in a dimension, sorted."""
    return sorted(row[0] for row in connection.fetch(_names(dimension)))


def first_names(connection: Connection, dimension: Literal["agent_name", "model"], limit: int) -> list[str]:
    """The names that a dimension had first, in the order in which they came. Once it has so many they stay the same."""
    rows = connection.fetch(
        f"SELECT {dimension} FROM series GROUP BY {dimension} ORDER BY MIN(series_id) LIMIT :most", {"most": limit}
    )
    return [row[0] for row in rows]


def _names(dimension: Dimension) -> str:
    if dimension == "workflow_id":
        return "SELECT DISTINCT workflow_id FROM executions WHERE workflow_id IS NOT NULL"
    # A series stays when its executions are deleted.
    return (
        f"SELECT DISTINCT {dimension} FROM series WHERE {dimension} <> '' AND series_id IN ("
        f"SELECT series_id FROM rollups WHERE scope = {EACH_SERIES} AND level = {ERA} "
        f"UNION SELECT series_id FROM {UNCOUNTED} WHERE {OF_UNCOUNTED})"
    )
