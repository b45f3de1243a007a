"""What targets are still to get that get each execution once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection, Database, Row
from claude_force.database.queries.executions import rows_of, uid_batches
from claude_force.database.rows.exporters import ExporterState
from claude_force.executions.record import ExecutionRow, column

_STATES = f"SELECT {', '.join(ExporterState._fields)} FROM exporters"
_INSTANT = column("timestamp_us")


class Waiting(NamedTuple):
    """An execution that waits for a target: how often it changed since it was put in the queue, whether the target may
    have it already, and its row; None where it is not stored any more, or was not asked for."""

    uid: bytes
    changes: int
    is_sent: bool
    row: ExecutionRow | None = None


def exporters(connection: Connection, database: Database) -> list[ExporterState]:
    """The targets that there are."""
    return [_state(database, row) for row in connection.fetch(f"{_STATES} ORDER BY kind")]


def exporter(connection: Connection, database: Database, kind: str) -> ExporterState | None:
    """A target; None where nothing was pushed to it yet."""
    rows = connection.fetch(f"{_STATES} WHERE kind = :kind", {"kind": kind})
    return _state(database, rows[0]) if rows else None


def _state(database: Database, row: Row) -> ExporterState:
    found = ExporterState(*row)
    return found if found.walked_uid is None else found._replace(walked_uid=database.decode_uid(found.walked_uid))


def waiting(connection: Connection, database: Database, kind: str, after: bytes | None, size: int) -> list[Waiting]:
    """The first executions after a uid that wait for a target, by uid, which is nearly by time."""
    place = "" if after is None else " AND uid > :after"
    parameters = {"kind": kind} | ({} if after is None else {"after": database.encode_uid(after)})
    queued = connection.fetch(
        f"SELECT uid, changes, is_sent FROM export_queue WHERE kind = :kind{place} ORDER BY uid LIMIT {size}",
        parameters,
    )
    rows = {row[0]: row for row in database.decode_rows(rows_of(connection, [entry[0] for entry in queued]))}
    found = [(database.decode_uid(uid), changes, is_sent) for uid, changes, is_sent in queued]
    return [Waiting(uid, changes, bool(is_sent), rows.get(uid)) for uid, changes, is_sent in found]


def queued(connection: Connection, database: Database, kind: str, uids: Sequence[Any]) -> list[Waiting]:
    """Those of some executions, whose uids are as the engine has them, that wait for a target; without their rows."""
    found: list[Row] = []
    for condition, part in uid_batches(uids):
        sql = f"SELECT uid, changes, is_sent FROM export_queue WHERE kind = :kind AND {condition}"
        found += connection.fetch(sql, part | {"kind": kind})
    return [Waiting(database.decode_uid(uid), changes, bool(is_sent)) for uid, changes, is_sent in found]


def number_since(connection: Connection, since_us: int | None) -> int:
    """How many executions there are since a time; None is all time."""
    sql = "SELECT COUNT(*) FROM executions WHERE timestamp_us >= :since_us"
    return int(connection.fetch(sql, {"since_us": since_us or 0})[0][0])


def number_due(connection: Connection, database: Database, state: ExporterState) -> int:
    """How many executions a target is still to get: those in its queue, those that will be, and what history has."""
    waiting = "SELECT uid FROM export_queue WHERE kind = :kind UNION SELECT uid FROM uncounted"
    parameters: dict[str, Any] = {"kind": state.kind}
    if not state.has_history:
        return int(connection.fetch(f"SELECT COUNT(*) FROM ({waiting}) AS waiting", parameters)[0][0])
    if state.walked_uid is None:
        return number_since(connection, None)
    place = {"walked_us": state.walked_us, "walked_uid": database.encode_uid(state.walked_uid)}
    sql = f"SELECT COUNT(*) FROM executions WHERE (timestamp_us, uid) > (:walked_us, :walked_uid) OR uid IN ({waiting})"
    return int(connection.fetch(sql, parameters | place)[0][0])


def number_waiting(connection: Connection, kind: str) -> int:
    """How many executions wait for a target."""
    return int(connection.fetch("SELECT COUNT(*) FROM export_queue WHERE kind = :kind", {"kind": kind})[0][0])


def not_sent(connection: Connection, rows: Sequence[ExecutionRow]) -> set[Any]:
    """The uids of those of some rows, which have them as the engine does, that a target is still to get."""
    found: set[Any] = set()
    for condition, part in uid_batches([row[0] for row in rows]):
        # By the kinds as well: the queue is in their order, and would be read as a whole.
        sql = f"SELECT uid FROM export_queue WHERE kind IN (SELECT kind FROM exporters) AND {condition}"
        found.update(row[0] for row in connection.fetch(sql, part))
    walks = connection.fetch("SELECT walked_us, walked_uid FROM exporters WHERE has_history = 1")
    for walked_us, walked_uid in walks:
        ahead = walked_us is None
        found.update(row[0] for row in rows if ahead or (row[_INSTANT], row[0]) > (walked_us, walked_uid))
    return found
