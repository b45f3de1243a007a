"""Writes to the export queue, inside the caller's transaction.

An execution enters the queue of every exporter when the roll-ups count it. That happens once for each execution, under
the lock of the roll-ups, so the queue does not depend on the order in which executions arrive or commit: a late one
with an earlier timestamp is queued like any other. Executions that were stored before an exporter's first push are not
queued; the exporter reads them as a backfill.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.executions import uid_batches
from claude_force.database.rows.exporters import COLUMNS, TEAM, ExporterState, rows_kind

_QUEUE = "export_queue (kind, uid, changes, is_sent)"
_CHANGED = "ON CONFLICT (kind, uid) DO UPDATE SET changes = export_queue.changes + 1"


class Acked(NamedTuple):
    """An execution that was sent or rejected, and how often it had changed when it was read from the queue."""

    uid: bytes
    changes: int


def register(connection: Connection, kind: str, destination: str, now_us: int, since_us: int | None) -> None:
    """Start an exporter, or start it again at another destination: with all executions (`since_us` None), or with those
    since an instant. The caller holds the lock of the roll-ups."""
    forget(connection, kind)
    state = ExporterState(kind, destination, int(since_us is None), None, None, now_us, None, 0)
    connection.insert_all(f"exporters ({COLUMNS})", [tuple(state)], "")
    if since_us is not None:
        # Uncounted executions enter the queue when they are counted.
        connection.execute(
            f"INSERT INTO {_QUEUE} SELECT CAST(:kind AS TEXT), uid, 0, 0 FROM executions "
            "WHERE timestamp_us >= :since_us "
            "AND NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)",
            {"kind": kind, "since_us": since_us},
        )


def forget(connection: Connection, kind: str) -> int:
    """Delete an exporter and its queue. Returns how many exporters there were, 0 or 1. The caller holds the lock of the
    roll-ups."""
    for queued in (kind, rows_kind(kind)):
        connection.execute("DELETE FROM export_queue WHERE kind = :kind", {"kind": queued})
    return connection.execute("DELETE FROM exporters WHERE kind = :kind", {"kind": kind})


def enqueue(connection: Connection, uids: Iterable[Any], *, is_change: bool = False) -> None:
    """Queue executions for every exporter. `is_change` marks those that the exporters have sent already. The caller
    holds the lock of the roll-ups."""
    kinds = [row[0] for row in connection.fetch("SELECT kind FROM exporters")]
    if kinds:
        rows = [(kind, uid, 0, int(is_change)) for uid in uids for kind in kinds]
        connection.insert_all(_QUEUE, rows, _CHANGED)


def enqueue_identified(connection: Connection, uids: Collection[Any]) -> None:
    """Queue executions that got another identity, if they are stored, for the exporter that sends identities. The
    caller holds the lock of the roll-ups."""
    if uids and connection.fetch("SELECT 1 FROM exporters WHERE kind = :kind", {"kind": TEAM}):
        for condition, part in uid_batches(sorted(uids)):
            found = connection.fetch(f"SELECT uid FROM executions WHERE {condition}", part)
            connection.insert_all(_QUEUE, [(TEAM, row[0], 0, 1) for row in found], _CHANGED)


def remember_rows(connection: Connection, kind: str, digests: Iterable[bytes]) -> None:
    """Note the digests of rows of other tables that the receiver has now."""
    rows = [(rows_kind(kind), digest, 0, 1) for digest in sorted(digests)]
    connection.insert_all(_QUEUE, rows, "ON CONFLICT DO NOTHING")


def forget_rows(connection: Connection, kind: str, digests: Iterable[bytes]) -> None:
    """Forget the digests of rows that are not there any more."""
    for condition, part in uid_batches(sorted(digests)):
        connection.execute(
            f"DELETE FROM export_queue WHERE kind = :kind AND {condition}", part | {"kind": rows_kind(kind)}
        )


def requeue(connection: Connection, kind: str, uids: Iterable[Any]) -> None:
    """Queue executions that the receiver could not take."""
    connection.insert_all(_QUEUE, [(kind, uid, 0, 0) for uid in uids], "ON CONFLICT DO NOTHING")


def ack(connection: Connection, kind: str, done: Sequence[Acked]) -> None:
    """Remove from the queue what was sent. An execution that changed in the meantime stays, as a change."""
    by_changes: dict[int, list[bytes]] = {}
    for uid, changes in done:
        by_changes.setdefault(changes, []).append(uid)
    for changes, uids in by_changes.items():
        for condition, part in uid_batches(uids):
            where = f"WHERE kind = :kind AND {condition}"
            connection.execute(
                f"DELETE FROM export_queue {where} AND changes = :changes", part | {"kind": kind, "changes": changes}
            )
            connection.execute(f"UPDATE export_queue SET is_sent = 1 {where}", part | {"kind": kind})


def record_backfill(connection: Connection, kind: str, last: tuple[int, bytes] | None) -> None:
    """Store how far the backfill of an exporter got: the instant and uid of the last execution, or None for the end."""
    at_us, uid = last or (None, None)
    connection.execute(
        "UPDATE exporters SET has_history = :is_backfilling, walked_us = COALESCE(:at_us, walked_us), "
        "walked_uid = COALESCE(:uid, walked_uid) WHERE kind = :kind",
        {
            "kind": kind, "is_backfilling": int(last is not None), "at_us": at_us,
            "uid": uid,
        },
    )  # fmt: skip


def record_push(connection: Connection, kind: str, sent: int, pushed_us: int | None = None) -> None:
    """Count the executions sent; `pushed_us` is when everything due had been sent, None if something is left."""
    connection.execute(
        "UPDATE exporters SET sent = sent + :sent, pushed_us = COALESCE(:pushed_us, pushed_us) WHERE kind = :kind",
        {"kind": kind, "sent": sent, "pushed_us": pushed_us},
    )
