"""What telemetry said: outcomes by session and day, which records came to which host, headless runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.filter import IS_OF_SERIES, SERIES, SESSION, Filter, where
from claude_force.database.rows.telemetry import HeadlessRun, OutcomeSum, TelemetryKind
from claude_force.time_windows import Window


def outcomes(connection: Connection, filters: Filter, names: Sequence[str] = ()) -> list[OutcomeSum]:
    """The outcomes of the days (UTC) that the period touches, of these names or of all: those of the sessions asked
    for. For other names of the filter, those of the sessions of which any execution matches."""
    conditions, parameters = _days(filters.window)
    if names:
        named = {f"name_{index}": name for index, name in enumerate(names)}
        conditions.append(f"name IN ({', '.join(f':{key}' for key in named)})")
        parameters |= named
    if filters.sessions:
        asked = {f"asked_{index}": session for index, session in enumerate(filters.sessions)}
        conditions.append(f"session_id IN ({', '.join(f':{key}' for key in asked)})")
        parameters |= asked
    matching, matched = _other_conditions(filters)
    if matching:
        conditions.append(f"session_id IN (SELECT {SESSION} FROM executions{SERIES}{where([IS_OF_SERIES, *matching])})")
    rows = connection.fetch(
        f"SELECT {', '.join(OutcomeSum._fields)} FROM outcomes{where(conditions)} "
        "ORDER BY day_us, session_id, name, kind",
        parameters | matched,
    )
    return [OutcomeSum(*row) for row in rows]


def _days(window: Window) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if window.start_us is not None:
        conditions.append("day_us >= :first_us")
        parameters["first_us"] = window.start_us - window.start_us % DAY_US
    if window.end_us is not None:
        conditions.append("day_us < :end_us")
        parameters["end_us"] = window.end_us
    return conditions, parameters


def _other_conditions(filters: Filter) -> tuple[list[str], dict[str, Any]]:
    dimensions = [dimension for dimension, names in filters.names() if names and dimension != "session_id"]
    return filters.conditions(*dimensions) if dimensions else ([], {})


def telemetry_kinds(connection: Connection, host: str | None = None) -> list[TelemetryKind]:
    """Which records came, the latest first: to one host, or to all."""
    of_host = where(["host = :host"] if host is not None else [])
    rows = connection.fetch(
        f"SELECT {', '.join(TelemetryKind._fields)} FROM telemetry_kinds{of_host} "
        "ORDER BY last_us DESC, host, service, name, ignored",
        {"host": host} if host is not None else {},
    )
    return [TelemetryKind(*row) for row in rows]


def headless_runs(connection: Connection, limit: int, session_id: str | None = None) -> list[HeadlessRun]:
    """The last runs of `claude-force run`, the latest first: of one session, or of all."""
    of_session = where(["session_id = :session_id"] if session_id is not None else [])
    rows = connection.fetch(
        f"SELECT {', '.join(HeadlessRun._fields)} FROM headless_runs{of_session} "
        "ORDER BY started_us DESC, run_id LIMIT :limit",
        {"limit": limit} | ({"session_id": session_id} if session_id is not None else {}),
    )
    return [HeadlessRun(*row) for row in rows]


def outcome_days(connection: Connection) -> tuple[int, int] | None:
    """The first and the last day with outcomes; None if there are none."""
    ((first_us, last_us),) = connection.fetch("SELECT MIN(day_us), MAX(day_us) FROM outcomes")
    return None if first_us is None else (first_us, last_us)


def outcome_sessions(connection: Connection) -> list[str]:
    """The sessions with outcomes, by name; without what came without a session."""
    rows = connection.fetch("SELECT DISTINCT session_id FROM outcomes WHERE session_id <> '' ORDER BY session_id")
    return [row[0] for row in rows]


def newest_on_host(connection: Connection, host: str, source: str) -> int | None:
    """When the newest execution of a source on a host ended; None if there is none. It reads from the newest one on."""
    rows = connection.fetch(
        f"SELECT executions.timestamp_us FROM executions{SERIES} WHERE {IS_OF_SERIES} "
        "AND executions.host = :host AND source = :source ORDER BY executions.timestamp_us DESC LIMIT 1",
        {"host": host, "source": source},
    )
    return int(rows[0][0]) if rows else None
