"""Maintaining `rollup_runs`, in the caller's transaction, which holds the roll-up lock.

Sums of parts are added up. Where executions leave, or get other names, the parts of their days are made again: where a
run began and how it ended cannot be taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.run_parts import PARTS_OF_ROWS
from claude_force.executions.rollups import Sums, unpacked
from claude_force.executions.run_parts import PART_TOTALS

_SUMS = (*PART_TOTALS, "failed_nanousd", "failed_unpriced")
_PARTS = f"rollup_runs (day, session_id, name, workflow_id, series_id, {', '.join(_SUMS)}, began_us, code)"
_ADD_PARTS = f"""
ON CONFLICT (day, session_id, name, workflow_id, series_id) DO UPDATE SET
    {", ".join(f"{name} = rollup_runs.{name} + excluded.{name}" for name in _SUMS)},
    began_us = CASE WHEN rollup_runs.began_us IS NULL OR excluded.began_us < rollup_runs.began_us
        THEN excluded.began_us ELSE rollup_runs.began_us END,
    code = CASE WHEN rollup_runs.code IS NULL OR excluded.code > rollup_runs.code
        THEN excluded.code ELSE rollup_runs.code END
"""


def add_parts(connection: Connection, sums: Sums, ids: Sequence[int]) -> None:
    """Add the parts of runs in sums. `ids` are the ids of `sums.series` in the database."""
    rows = [
        (*names, ids[series], *unpacked(part.cell)[: len(PART_TOTALS)], *part[1:])
        for (*names, series), part in sums.parts.items()
    ]
    connection.insert_all(_PARTS, rows, _ADD_PARTS)


def rebuild_parts(connection: Connection, days: Iterable[int]) -> None:
    """Make the parts of some days (their numbers since the epoch, UTC) from the executions that are rolled up."""
    for day in sorted(days):
        delete_parts(connection, day, day + 1)
        period = {"start_us": day * DAY_US, "end_us": (day + 1) * DAY_US}
        connection.execute(f"INSERT INTO {_PARTS} {PARTS_OF_ROWS}", period)


def delete_parts(connection: Connection, first: int, end: int) -> None:
    """Delete the parts of the days [first, end)."""
    connection.execute("DELETE FROM rollup_runs WHERE day >= :first AND day < :end", {"first": first, "end": end})
