"""What the steps of executions add to the sums of series (table `step_usage`), in the caller's transaction.

The table is made from the column `steps` of the executions, and changes whenever that does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_force.database.contract import Connection
from claude_force.database.queries.executions import uid_batches
from claude_force.database.writes.rollups import series_ids
from claude_force.executions.billed_steps import Share
from claude_force.executions.record import ExecutionRow, column
from claude_force.executions.rollups import shares_of

_STEPS, _INSTANT = column("steps"), column("timestamp_us")
_INTO = f"step_usage (uid, series_id, timestamp_us, {', '.join(Share._fields)})"
_FORGET_DELETED = """
DELETE FROM step_usage WHERE NOT EXISTS (SELECT 1 FROM executions WHERE executions.uid = step_usage.uid)
"""


def add_step_usage(connection: Connection, rows: Sequence[ExecutionRow], uids: Sequence[Any]) -> None:
    """Add what the steps of newly stored executions move. `uids` are those of the rows."""
    moved = [
        (uid, row[_INSTANT], labels, share)
        for row, uid in zip(rows, uids, strict=True)
        if row[_STEPS] is not None
        for labels, share in shares_of(row).items()
    ]
    if moved:
        ids = series_ids(connection, [labels for _, _, labels, _ in moved])
        found = zip(moved, ids, strict=True)
        connection.insert_all(_INTO, [(uid, series, at, *share) for (uid, at, _, share), series in found], "")


def replace_step_usage(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change what the steps of stored executions move."""
    delete_step_usage(connection, [row[0] for row in before if row[_STEPS] is not None])
    add_step_usage(connection, after, [row[0] for row in after])


def delete_step_usage(connection: Connection, uids: Sequence[Any]) -> None:
    """Delete what the steps of some executions move."""
    for condition, part in uid_batches(uids):
        connection.execute(f"DELETE FROM step_usage WHERE {condition}", part)


def forget_deleted(connection: Connection) -> None:
    """Delete what belongs to no stored execution."""
    connection.execute(_FORGET_DELETED)
