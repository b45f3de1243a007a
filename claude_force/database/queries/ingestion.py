"""The state of ingestion: how far each file was read, which identities belong to which execution, which usages were
reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

from claude_force.database.contract import Connection, Row
from claude_force.database.queries.executions import KEYS_AT_ONCE, uid_batches
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, SERIES, SESSION, where
from claude_force.database.rows.cursor import CURSOR_FIELDS, Cursor
from claude_force.executions.deduplication import REPLAY, REPORTED_FIELDS, Observation, ReportedUsage, keys_of
from claude_force.executions.record import CLAUDE_CODE, RESULT, TELEMETRY, ExecutionRow, columns

_CURSORS = f"SELECT {', '.join(CURSOR_FIELDS)} FROM source_files"
_REPORTS_AT_ONCE = 500
_NAMES_AT_ONCE = 500
_RUN_ID, _INSTANT, _WORKFLOW = columns("run_id", "timestamp_us", "workflow_id")


def cursors(connection: Connection, host: str | None = None, source: str | None = None) -> list[Cursor]:
    """The cursors of the files of a host and a source (None: of every one), by host and path."""
    chosen = {name: value for name, value in (("host", host), ("source", source)) if value is not None}
    condition = where([f"{name} = :{name}" for name in chosen])
    rows = connection.fetch(f"{_CURSORS}{condition} ORDER BY host, path", chosen)
    return [Cursor(**dict(zip(CURSOR_FIELDS, row, strict=True))) for row in rows]


def last_read(connection: Connection) -> int | None:
    """When a file was last read, on any host; None if none was."""
    last_us = connection.fetch("SELECT MAX(last_read_us) FROM source_files")[0][0]
    return None if last_us is None else int(last_us)


def executions_of(connection: Connection, identities: Iterable[bytes]) -> dict[bytes, bytes]:
    """The uid of the execution of each known identity."""
    uids: dict[bytes, bytes] = {}
    # Sorted: keys that are close together lie on one page.
    for condition, part in uid_batches(sorted(identities), "identity"):
        rows = connection.fetch(f"SELECT identity, uid FROM identities WHERE {condition}", part)
        uids.update(rows)
    return uids


def has_identities(connection: Connection) -> bool:
    """Whether any identity is known."""
    return bool(connection.fetch("SELECT 1 FROM identities LIMIT 1"))


def identities_of(connection: Connection, uids: Sequence[bytes]) -> dict[bytes, bytes]:
    """The identities of some executions, each with its uid.

    Reads the table: an index would make every ingestion slower, for what only replication asks."""
    if len(uids) <= KEYS_AT_ONCE:
        ((condition, part),) = uid_batches(uids)
        return dict(connection.fetch(f"SELECT identity, uid FROM identities WHERE {condition}", part))
    wanted = set(uids)
    between = identities_between(connection, min(wanted), max(wanted))
    return {identity: uid for identity, uid in between if uid in wanted}


def identities_between(connection: Connection, first: bytes, last: bytes) -> Iterator[Row]:
    """The identities of the executions whose uids are between two, these included, each with its uid. Reads the
    table, too."""
    return connection.stream(
        "SELECT identity, uid FROM identities WHERE uid >= :first AND uid <= :last", {"first": first, "last": last}
    )


def known_identities(
    connection: Connection, observations: Sequence[Observation], more: Set[bytes] = frozenset()
) -> dict[bytes, bytes]:
    """The uid of the execution of each known identity of some observations, and of `more`. A session with executions
    from its transcript is a REPLAY to results, also if it was read before sessions had keys."""
    known = executions_of(connection, keys_of(observations) | more)
    results = {
        session: observation.session
        for observation in observations
        if observation.is_result and observation.session and observation.session not in known
        if (session := observation.row[_WORKFLOW])
    }
    return known | {results[session]: REPLAY for session in transcribed(connection, list(results))}


def transcribed(connection: Connection, sessions: Sequence[str]) -> set[str]:
    """Those of some sessions that have executions from a transcript or from telemetry."""
    found: set[str] = set()
    for start in range(0, len(sessions), _NAMES_AT_ONCE):
        names = {f"name_{index}": name for index, name in enumerate(sessions[start : start + _NAMES_AT_ONCE])}
        rows = connection.fetch(
            f"SELECT DISTINCT {SESSION} FROM executions{SERIES} WHERE {IS_OF_SERIES} "
            f"AND source IN ('{CLAUDE_CODE}', '{TELEMETRY}') "
            f"AND {SESSION} IN ({', '.join(f':{name}' for name in names)})",
            names,
        )
        found.update(row[0] for row in rows)
    return found


def results_of(connection: Connection, session: str) -> list[ExecutionRow]:
    """The executions from results of a session."""
    return connection.fetch(
        f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND source = '{RESULT}' "
        "AND workflow_id = :session",
        {"session": session},
    )


def results_among(connection: Connection, sessions: Sequence[str]) -> list[ExecutionRow]:
    """The executions from results of some sessions."""
    if not connection.fetch(f"SELECT 1 FROM series WHERE source = '{RESULT}' LIMIT 1"):
        return []
    return [row for session in sessions for row in results_of(connection, session)]


def pending_count(connection: Connection) -> int:
    """How many executions are not rolled up yet."""
    return int(connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0])


def pending_uids(connection: Connection, uids: list[Any]) -> set[Any]:
    """The uids that are not rolled up yet."""
    pending: set[Any] = set()
    for condition, part in uid_batches(uids):
        pending.update(row[0] for row in connection.fetch(f"SELECT uid FROM uncounted WHERE {condition}", part))
    return pending


def reported(connection: Connection) -> int:
    """How many reported usages are not applied yet."""
    return int(connection.fetch("SELECT COUNT(*) FROM reported_usages")[0][0])


def reported_usages(connection: Connection) -> list[ReportedUsage]:
    """The reported usages that are not applied yet, oldest first."""
    rows = connection.fetch(f"SELECT {', '.join(REPORTED_FIELDS)} FROM reported_usages ORDER BY until_us, run_id")
    return [ReportedUsage(*row) for row in rows]


def executions_of_runs(
    connection: Connection, reports: Sequence[ReportedUsage]
) -> dict[ReportedUsage, list[ExecutionRow]]:
    """For each report, the executions of its run within its period, oldest first."""
    executions: dict[ReportedUsage, list[ExecutionRow]] = {}
    for start in range(0, len(reports), _REPORTS_AT_ONCE):
        part = reports[start : start + _REPORTS_AT_ONCE]
        runs = {f"run_{index}": run_id for index, run_id in enumerate({report.run_id for report in part})}
        period = {"since_us": min(item.since_us for item in part), "until_us": max(item.until_us for item in part)}
        rows = connection.fetch(
            f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND timestamp_us >= :since_us "
            f"AND timestamp_us <= :until_us AND run_id IN ({', '.join(f':{name}' for name in runs)}) "
            "ORDER BY timestamp_us, executions.uid",
            runs | period,
        )
        for report in part:
            executions[report] = [
                row
                for row in rows
                if row[_RUN_ID] == report.run_id and report.since_us <= row[_INSTANT] <= report.until_us
            ]
    return executions
