"""Names of agents, models, workflows, sessions, branches, projects, sources and labels."""

from __future__ import annotations

from typing import Literal

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import IS_PENDING, NAME_SQL, PENDING, ROW_NAMES, FilterDimension, begins
from claude_force.database.queries.spans import SPANS
from claude_force.executions.rollups import EACH_SERIES, ERA


def has_name(connection: Connection, dimension: FilterDimension, name: str) -> bool:
    """Whether a name occurs in a dimension."""
    sql = f"SELECT 1 FROM ({_names(dimension)}) AS known WHERE name = :name LIMIT 1"
    return bool(connection.fetch(sql, {"name": name}))


def names(connection: Connection, dimension: FilterDimension, begin: str = "") -> list[str]:
    """Every name that occurs in a dimension and begins so, sorted."""
    if not begin:
        return sorted(row[0] for row in connection.fetch(_names(dimension)))
    condition, parameters = begins("name", begin)
    found = connection.fetch(f"SELECT name FROM ({_names(dimension)}) AS known WHERE {condition}", parameters)
    return sorted(row[0] for row in found)


def first_names(connection: Connection, dimension: Literal["agent_name", "model"], limit: int) -> list[str]:
    """The first `limit` names of a dimension, in the order in which they occurred. So many names stay the same."""
    rows = connection.fetch(
        f"SELECT {dimension} FROM series GROUP BY {dimension} ORDER BY MIN(series_id) LIMIT :most", {"most": limit}
    )
    return [row[0] for row in rows]


def _names(dimension: FilterDimension) -> str:
    if dimension == "run_label":
        return "SELECT DISTINCT label AS name FROM run_labels"
    if dimension in ROW_NAMES:
        name = NAME_SQL[dimension]
        return (
            f"SELECT {name} AS name FROM {SPANS} WHERE {name} IS NOT NULL "
            f"UNION SELECT {name} FROM {PENDING} WHERE {IS_PENDING} AND {name} IS NOT NULL"
        )
    # A series row stays when its executions are deleted, so only series with sums or pending rows count.
    return (
        f"SELECT DISTINCT {dimension} AS name FROM series WHERE {dimension} <> '' AND series_id IN ("
        f"SELECT series_id FROM rollups WHERE scope = {EACH_SERIES} AND level = {ERA} "
        f"UNION SELECT series_id FROM {PENDING} WHERE {IS_PENDING} "
        "UNION SELECT series_id FROM uncounted CROSS JOIN step_usage WHERE step_usage.uid = uncounted.uid)"
    )
