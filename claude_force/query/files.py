"""What is kept of the files that are followed: how far each was read, what responses are known by, and what was
reported of some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from claude_force.cursor import CURSOR_FIELDS, Cursor
from claude_force.database import Connection, Database, Row
from claude_force.query.filter import COLUMNS, OF_SERIES, SERIES
from claude_force.sighting import ReportedUsage

_CURSORS = f"SELECT {', '.join(CURSOR_FIELDS)} FROM source_files"
_REPORTED = tuple(field.name for field in fields(ReportedUsage))
_AT_ONCE = 500


def cursors(connection: Connection, host: str | None = None) -> list[Cursor]:
    """How far the files of a host (None: of every host) were read, by path."""
    condition = "" if host is None else " WHERE host = :host"
    rows = connection.fetch(f"{_CURSORS}{condition} ORDER BY host, path", {} if host is None else {"host": host})
    return [Cursor(**dict(zip(CURSOR_FIELDS, row, strict=True))) for row in rows]


def executions_of(connection: Connection, database: Database, identities: Iterable[bytes]) -> dict[bytes, bytes]:
    """The uid of the execution that each identity is known for, where it is known."""
    found: dict[bytes, bytes] = {}
    wanted = [database.encode_uid(identity) for identity in identities]
    for start in range(0, len(wanted), _AT_ONCE):
        part = {f"identity_{place}": value for place, value in enumerate(wanted[start : start + _AT_ONCE])}
        rows = connection.fetch(
            f"SELECT identity, uid FROM identities WHERE identity IN ({', '.join(f':{name}' for name in part)})", part
        )
        found.update((database.decode_uid(identity), database.decode_uid(uid)) for identity, uid in rows)
    return found


def waiting(connection: Connection) -> int:
    """How many executions wait to be counted."""
    return int(connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0])


def uncounted_of(connection: Connection, uids: list[Any]) -> set[Any]:
    """Those of some executions, with uids as the engine has them, that wait to be counted."""
    found: set[Any] = set()
    for start in range(0, len(uids), _AT_ONCE):
        part = {f"uid_{place}": uid for place, uid in enumerate(uids[start : start + _AT_ONCE])}
        condition = f"uid IN ({', '.join(f':{name}' for name in part)})"
        found.update(row[0] for row in connection.fetch(f"SELECT uid FROM uncounted WHERE {condition}", part))
    return found


def reported(connection: Connection) -> int:
    """How many reports of usages were not taken yet."""
    return int(connection.fetch("SELECT COUNT(*) FROM reported_usages")[0][0])


def reported_usages(connection: Connection) -> list[tuple[ReportedUsage, list[Row]]]:
    """What was reported and not taken yet, each with the executions of its run at its time, oldest first; uids are as
    the engine has them."""
    reports = [
        ReportedUsage(*row)
        for row in connection.fetch(f"SELECT {', '.join(_REPORTED)} FROM reported_usages ORDER BY until_us, run_id")
    ]
    return [(report, _of_run(connection, report)) for report in reports]


def _of_run(connection: Connection, report: ReportedUsage) -> list[Row]:
    return connection.fetch(
        f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {OF_SERIES} AND timestamp_us >= :since_us "
        "AND timestamp_us <= :until_us AND run_id = :run_id ORDER BY timestamp_us, executions.uid",
        {"since_us": report.since_us, "until_us": report.until_us, "run_id": report.run_id},
    )
