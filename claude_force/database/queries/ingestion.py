"""What is kept of the files that are followed: how far each was read, what responses are known by, and what was
reported of some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from claude_force.database.contract import Connection, Database
from claude_force.database.queries.filter import COLUMNS, OF_SERIES, SERIES
from claude_force.database.rows.cursor import CURSOR_FIELDS, Cursor
from claude_force.executions.deduplication import REPORTED_FIELDS, ReportedUsage
from claude_force.executions.record import ExecutionRow, columns

_CURSORS = f"SELECT {', '.join(CURSOR_FIELDS)} FROM source_files"
_AT_ONCE = 500
_RUN_ID, _INSTANT = columns("run_id", "timestamp_us")


def cursors(connection: Connection, host: str | None = None) -> list[Cursor]:
    """How far the files of a host (None: of every host) were read, by path."""
    condition = "" if host is None else " WHERE host = :host"
    rows = connection.fetch(f"{_CURSORS}{condition} ORDER BY host, path", {} if host is None else {"host": host})
    return [Cursor(**dict(zip(CURSOR_FIELDS, row, strict=True))) for row in rows]


def last_read(connection: Connection) -> int | None:
    """When a file was read last, on any host; None where none was."""
    found = connection.fetch("SELECT MAX(last_read_us) FROM source_files")[0][0]
    return None if found is None else int(found)


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


def pending_count(connection: Connection) -> int:
    """How many executions wait to be counted."""
    return int(connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0])


def pending_uids(connection: Connection, uids: list[Any]) -> set[Any]:
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


def reported_usages(connection: Connection) -> list[ReportedUsage]:
    """What was reported and not taken yet, the oldest first."""
    rows = connection.fetch(f"SELECT {', '.join(REPORTED_FIELDS)} FROM reported_usages ORDER BY until_us, run_id")
    return [ReportedUsage(*row) for row in rows]


def executions_of_runs(
    connection: Connection, reports: Sequence[ReportedUsage]
) -> dict[ReportedUsage, list[ExecutionRow]]:
    """The executions of the run of each report at its time, the oldest first; uids are as the engine has them."""
    found: dict[ReportedUsage, list[ExecutionRow]] = {}
    for start in range(0, len(reports), _AT_ONCE):
        part = reports[start : start + _AT_ONCE]
        runs = {f"run_{place}": run_id for place, run_id in enumerate({report.run_id for report in part})}
        period = {"since_us": min(item.since_us for item in part), "until_us": max(item.until_us for item in part)}
        rows = connection.fetch(
            f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {OF_SERIES} AND timestamp_us >= :since_us "
            f"AND timestamp_us <= :until_us AND run_id IN ({', '.join(f':{name}' for name in runs)}) "
            "ORDER BY timestamp_us, executions.uid",
            runs | period,
        )
        for report in part:
            found[report] = [
                row
                for row in rows
                if row[_RUN_ID] == report.run_id and report.since_us <= row[_INSTANT] <= report.until_us
            ]
    return found
