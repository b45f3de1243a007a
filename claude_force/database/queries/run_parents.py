"""Runs by their id, and what started them: see `executions.run_parents`."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import begins
from claude_force.executions.run_parents import RunName, RunParent

_SELECT = f"SELECT {', '.join(RunParent._fields)} FROM run_parents WHERE"
_AT_ONCE = 500


def known_parents(connection: Connection, runs: Sequence[RunName]) -> dict[RunName, RunParent]:
    """The stored rows of some runs."""
    wanted, found = set(runs), {}
    ids = sorted({run_id for run_id, _ in runs})
    for start in range(0, len(ids), _AT_ONCE):
        named = {f"run_{index}": run_id for index, run_id in enumerate(ids[start : start + _AT_ONCE])}
        rows = connection.fetch(f"{_SELECT} run_id IN ({', '.join(f':{name}' for name in named)})", named)
        found.update({row[:2]: RunParent(*row) for row in rows})
    return {name: parent for name, parent in found.items() if name in wanted}


def parents_in_session(connection: Connection, session_id: str) -> list[RunParent]:
    """The runs of a session, by id."""
    rows = connection.fetch(f"{_SELECT} session_id = :session_id ORDER BY run_id", {"session_id": session_id})
    return [RunParent(*row) for row in rows]


def runs_with_id(connection: Connection, run_id: str) -> list[RunName]:
    """The runs with an id, of whichever session."""
    rows = connection.fetch(f"{_SELECT} run_id = :run_id ORDER BY session_id", {"run_id": run_id})
    return [(row[0], row[1]) for row in rows]


def runs_that_begin(connection: Connection, begin: str) -> list[RunName]:
    """The runs whose id begins so."""
    condition, parameters = begins("run_id", begin)
    rows = connection.fetch(f"{_SELECT} {condition} ORDER BY run_id, session_id", parameters)
    return [(row[0], row[1]) for row in rows]
