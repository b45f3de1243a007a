"""Maintaining `run_parents`, in the caller's transaction.

The runs of executions are listed as these are stored, with a parent that is not known. What says the parent of a run
may come before or after its executions, or never.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from claude_force.database.contract import Connection
from claude_force.database.queries.run_parents import known_parents
from claude_force.executions.columns import Columns
from claude_force.executions.record import ExecutionRow, getter
from claude_force.executions.run_parents import RunName, RunParent, best_parents

run_of = getter("run_id", "session_id", "workflow_id")
"""The run of an execution, and what its session is taken from."""

_RUNS = "run_parents (run_id, session_id)"
LIST_RUN = f"INSERT INTO {_RUNS} VALUES (:run_id, :session_id) ON CONFLICT DO NOTHING"
_PARENTS = f"run_parents ({', '.join(RunParent._fields)})"
_REPLACE = "ON CONFLICT (run_id, session_id) DO UPDATE SET parent_id = excluded.parent_id, seen_us = excluded.seen_us"
_LIST_ALL = """
INSERT INTO run_parents (run_id, session_id)
SELECT DISTINCT run_id, COALESCE(session_id, workflow_id, '') FROM executions WHERE run_id IS NOT NULL
ON CONFLICT DO NOTHING
"""


def list_runs(connection: Connection, rows: Iterable[ExecutionRow]) -> None:
    """List the runs of some executions."""
    _list(connection, runs_of(rows))


def runs_of(rows: Iterable[ExecutionRow]) -> set[RunName]:
    """The runs of some executions."""
    return _named(map(run_of, rows))


def list_runs_of_block(connection: Connection, block: Columns) -> None:
    """The same for executions by the column."""
    if block and block.has("run_id"):
        values = zip(*map(block.values, ("run_id", "session_id", "workflow_id")), strict=True)
        _list(connection, _named(set(values)))


def list_all_runs(connection: Connection) -> None:
    """List the runs of all executions."""
    connection.execute(_LIST_ALL)


def _named(values: Iterable[tuple[Any, ...]]) -> set[RunName]:
    return {(run, session or workflow or "") for run, session, workflow in values if run}


def _list(connection: Connection, runs: Collection[RunName]) -> None:
    if runs:
        connection.insert_all(_RUNS, sorted(runs), "ON CONFLICT DO NOTHING")


def save_parents(connection: Connection, parents: Sequence[RunParent]) -> None:
    """Store what started some runs. Needs the roll-up lock, so that no other transaction stores others meanwhile."""
    if not parents:
        return
    found = best_parents(parents)
    known = known_parents(connection, list(found))
    best = best_parents([*known.values(), *found.values()])
    news = [tuple(parent) for name, parent in best.items() if parent != known.get(name)]
    connection.insert_all(_PARENTS, sorted(news), _REPLACE)
