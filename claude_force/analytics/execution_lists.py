"""The newest executions of a filter, or of a run, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from claude_force.analytics.names import known_names
from claude_force.analytics.run_trees import RunTree
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.queries.runs import newest_of_run
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window

MOST_LISTED = 200
"""A page with more is slow to read, for people and for browsers."""


class ExecutionList(NamedTuple):
    """The newest executions, the newest first, and how many match in all."""

    executions: list[ExecutionMetrics]
    matching: int


def newest_executions(database: Database, chosen: Filter, limit: int = MOST_LISTED) -> ExecutionList:
    """The newest executions that match. Raises UnknownName and DatabaseError."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        found = queries.newest(connection, database, limit, chosen)
        if len(found) == limit:
            return ExecutionList(found, queries.totals(connection, chosen).executions)
    return ExecutionList(found, len(found))


def executions_of_run(database: Database, tree: RunTree, limit: int = MOST_LISTED) -> ExecutionList:
    """The newest executions of the run that a tree shows: its own ones; those of all below it if it is a session, a
    workflow or a headless run. Raises DatabaseError."""
    root = tree.root
    if root.began_us is None or root.ended_us is None:
        return ExecutionList([], 0)
    chosen = Filter(Window(root.began_us, root.ended_us + 1), sessions=tuple(tree.sessions))
    with database.read() as connection:
        if root.kind in ("prompt", "agent"):
            found = newest_of_run(connection, database, limit, chosen, root.id)
            return ExecutionList(found, root.own.executions)
        if root.kind == "workflow":
            chosen = replace(chosen, workflows=(root.id,))
        return ExecutionList(queries.newest(connection, database, limit, chosen), root.totals.executions)
