"""What targets are to get that get each execution once, in the transaction in hand.

An execution is put in the queue of every target when the roll-ups count it, which happens to each exactly once and by
who has the turn. So nothing depends on the order in which executions arrive or commit: one that comes in late, with an
earlier time, waits like any other. What there was when a target began is not put in the queue but walked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection, Database
from claude_force.database.queries.executions import uid_batches
from claude_force.database.rows.exporters import ExporterState

_QUEUE = "export_queue (kind, uid, changes, is_sent)"
_CHANGED = "ON CONFLICT (kind, uid) DO UPDATE SET changes = export_queue.changes + 1"


class Acked(NamedTuple):
    """What a target got, or is never to get, and how often it had changed when it was read."""

    uid: bytes
    changes: int


def begin(connection: Connection, kind: str, destination: str, now_us: int, since_us: int | None) -> None:
    """Let a target begin, or begin anew at another destination: with all of history (`since_us` None), or with what is
    since a time. What is not counted yet is put in the queue when it is. By who has the turn."""
    forget(connection, kind)
    state = ExporterState(kind, destination, int(since_us is None), None, None, now_us, None, 0)
    connection.insert_all(f"exporters ({', '.join(ExporterState._fields)})", [tuple(state)], "")
    if since_us is not None:
        connection.execute(
            f"INSERT INTO {_QUEUE} SELECT CAST(:kind AS TEXT), uid, 0, 0 FROM executions "
            "WHERE timestamp_us >= :since_us "
            "AND NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)",
            {"kind": kind, "since_us": since_us},
        )


def forget(connection: Connection, kind: str) -> int:
    """Forget a target and what waits for it; whether there was one. By who has the turn."""
    connection.execute("DELETE FROM export_queue WHERE kind = :kind", {"kind": kind})
    return connection.execute("DELETE FROM exporters WHERE kind = :kind", {"kind": kind})


def enqueue(connection: Connection, uids: Iterable[Any], *, is_change: bool = False) -> None:
    """Put executions, whose uids are as the engine has them, in the queue of every target: new ones, or ones that
    changed, which a target has already unless they wait for it. By who has the turn."""
    kinds = [row[0] for row in connection.fetch("SELECT kind FROM exporters")]
    if kinds:
        rows = [(kind, uid, 0, int(is_change)) for uid in uids for kind in kinds]
        connection.insert_all(_QUEUE, rows, _CHANGED)


def put_off(connection: Connection, kind: str, uids: Iterable[Any]) -> None:
    """Let executions, whose uids are as the engine has them, wait for a target that could not take them."""
    connection.insert_all(_QUEUE, [(kind, uid, 0, 0) for uid in uids], "ON CONFLICT DO NOTHING")


def ack(connection: Connection, database: Database, kind: str, done: Sequence[Acked]) -> None:
    """Take off the queue of a target what it got. One that changed meanwhile stays, as a change."""
    by_changes: dict[int, list[Any]] = {}
    for uid, changes in done:
        by_changes.setdefault(changes, []).append(database.encode_uid(uid))
    for changes, uids in by_changes.items():
        for condition, part in uid_batches(uids):
            place = f"WHERE kind = :kind AND {condition}"
            connection.execute(
                f"DELETE FROM export_queue {place} AND changes = :changes", part | {"kind": kind, "changes": changes}
            )
            connection.execute(f"UPDATE export_queue SET is_sent = 1 {place}", part | {"kind": kind})


def walk(connection: Connection, database: Database, kind: str, last: tuple[int, bytes] | None) -> None:
    """Keep how far history was sent to a target: to the execution of this instant and uid, or (None) all of it."""
    at_us, uid = last or (None, None)
    connection.execute(
        "UPDATE exporters SET has_history = :has_history, walked_us = COALESCE(:at_us, walked_us), "
        "walked_uid = COALESCE(:uid, walked_uid) WHERE kind = :kind",
        {
            "kind": kind, "has_history": int(last is not None), "at_us": at_us,
            "uid": None if uid is None else database.encode_uid(uid),
        },
    )  # fmt: skip


def note(connection: Connection, kind: str, sent: int, pushed_us: int | None = None) -> None:
    """Count what was sent to a target; `pushed_us` is when it had got all that was due."""
    connection.execute(
        "UPDATE exporters SET sent = sent + :sent, pushed_us = COALESCE(:pushed_us, pushed_us) WHERE kind = :kind",
        {"kind": kind, "sent": sent, "pushed_us": pushed_us},
    )
