"""What the exporters that send each execution once still have to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection, Row
from claude_force.database.queries.executions import rows_of, uid_batches
from claude_force.database.rows.exporters import COLUMNS, ExporterState, rows_kind
from claude_force.executions.record import ExecutionRow, column

_STATES = f"SELECT {COLUMNS} FROM exporters"
_INSTANT = column("timestamp_us")


class QueueEntry(NamedTuple):
    """A queued execution: how often it changed since it was queued, and whether the receiver may have it already. `row`
    is None if the execution was deleted, or if the query does not read it."""

    uid: bytes
    changes: int
    is_sent: bool
    row: ExecutionRow | None = None


def exporters(connection: Connection) -> list[ExporterState]:
    """All exporters that have pushed, by kind."""
    return [ExporterState(*row) for row in connection.fetch(f"{_STATES} ORDER BY kind")]


def exporter(connection: Connection, kind: str) -> ExporterState | None:
    """One exporter; None if it has never pushed."""
    rows = connection.fetch(f"{_STATES} WHERE kind = :kind", {"kind": kind})
    return ExporterState(*rows[0]) if rows else None


def queued_page(connection: Connection, kind: str, after: bytes | None, size: int) -> list[QueueEntry]:
    """The first `size` queued executions after a uid, by uid, which is nearly by time."""
    page = "" if after is None else " AND uid > :after"
    parameters = {"kind": kind, "after": after}
    queued = connection.fetch(
        f"SELECT uid, changes, is_sent FROM export_queue WHERE kind = :kind{page} ORDER BY uid LIMIT {size}",
        parameters,
    )
    rows = {row[0]: row for row in rows_of(connection, [entry[0] for entry in queued])}
    return [QueueEntry(uid, changes, bool(is_sent), rows.get(uid)) for uid, changes, is_sent in queued]


def queued_among(connection: Connection, kind: str, uids: Sequence[Any]) -> list[QueueEntry]:
    """The entries of those executions that are queued, without their rows."""
    entries: list[Row] = []
    for condition, part in uid_batches(uids):
        sql = f"SELECT uid, changes, is_sent FROM export_queue WHERE kind = :kind AND {condition}"
        entries += connection.fetch(sql, part | {"kind": kind})
    return [QueueEntry(uid, changes, bool(is_sent)) for uid, changes, is_sent in entries]


def count_since(connection: Connection, since_us: int | None) -> int:
    """How many executions there are since an instant; None counts all."""
    sql = "SELECT COUNT(*) FROM executions WHERE timestamp_us >= :since_us"
    return int(connection.fetch(sql, {"since_us": since_us or 0})[0][0])


def count_due(connection: Connection, state: ExporterState) -> int:
    """How many executions an exporter still has to send: those queued, those not counted yet, and the backfill."""
    queued = "SELECT uid FROM export_queue WHERE kind = :kind UNION SELECT uid FROM uncounted"
    parameters: dict[str, Any] = {"kind": state.kind}
    if not state.is_backfilling:
        return int(connection.fetch(f"SELECT COUNT(*) FROM ({queued}) AS queued", parameters)[0][0])
    if state.backfilled_uid is None:
        return count_since(connection, None)
    position = {"at_us": state.backfilled_us, "uid": state.backfilled_uid}
    sql = f"SELECT COUNT(*) FROM executions WHERE (timestamp_us, uid) > (:at_us, :uid) OR uid IN ({queued})"
    return int(connection.fetch(sql, parameters | position)[0][0])


def sent_rows(connection: Connection, kind: str) -> set[bytes]:
    """The digests of the rows of other tables that the receiver has."""
    found = connection.fetch("SELECT uid FROM export_queue WHERE kind = :kind", {"kind": rows_kind(kind)})
    return {row[0] for row in found}


def not_sent(connection: Connection, rows: Sequence[ExecutionRow]) -> set[bytes]:
    """The uids of those rows that some exporter still has to send."""
    uids: set[bytes] = set()
    for condition, part in uid_batches([row[0] for row in rows]):
        # The condition on the kind lets the primary key (kind, uid) answer; without it the whole queue is read.
        sql = f"SELECT uid FROM export_queue WHERE kind IN (SELECT kind FROM exporters) AND {condition}"
        uids.update(row[0] for row in connection.fetch(sql, part))
    backfills = connection.fetch("SELECT walked_us, walked_uid FROM exporters WHERE has_history = 1")
    for at_us, uid in backfills:
        uids.update(row[0] for row in rows if at_us is None or (row[_INSTANT], row[0]) > (at_us, uid))
    return uids
