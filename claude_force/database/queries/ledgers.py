"""Ledgers of sessions, and the executions that the store has of these sessions."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import known_ranges
from claude_force.database.queries.filter import SERIES, SESSION, Filter, where, within
from claude_force.executions.ledgers import WHOLE_SESSION, Ledger, LedgerEntry
from claude_force.executions.record import CLAUDE_CODE
from claude_force.time_windows import Window

_IS_CLAUDE_CODE = f"source = '{CLAUDE_CODE}'"
_IS_WHOLE = f"model = '{WHOLE_SESSION}'"
_NAMES_AT_ONCE = 10_000

_MOVED = f"""
SELECT {SESSION}, series.model, SUM(step_usage.cost_nanousd)
FROM step_usage CROSS JOIN executions{SERIES}
LEFT JOIN session_ledgers AS whole ON whole.session_id = {SESSION} AND whole.{_IS_WHOLE}
WHERE step_usage.timestamp_us >= :start_us AND step_usage.timestamp_us < :end_us AND executions.uid = step_usage.uid
    AND series.series_id = step_usage.series_id AND {_IS_CLAUDE_CODE} AND {SESSION} IS NOT NULL
    AND executions.timestamp_us <= COALESCE(whole.at_us, executions.timestamp_us)
GROUP BY 1, 2
"""
"""What the steps of executions move from the cost of one model to that of another."""


def instants_of(connection: Connection, sessions: Sequence[str]) -> dict[str, int]:
    """The instant of the stored ledger of each of some sessions."""
    found: dict[str, int] = {}
    for start in range(0, len(sessions), _NAMES_AT_ONCE):
        names = {f"name_{index}": name for index, name in enumerate(sessions[start : start + _NAMES_AT_ONCE])}
        among = ", ".join(f":{name}" for name in names)
        sql = f"SELECT session_id, at_us FROM session_ledgers WHERE {_IS_WHOLE} AND session_id IN ({among})"
        found.update((session_id, int(at_us)) for session_id, at_us in connection.fetch(sql, names))
    return found


def sessions_with_ledger(connection: Connection, filters: Filter) -> list[str]:
    """The sessions whose ledger was written in the period: those asked for, or all if the filter has no names. What
    other names a session has is known from its executions alone."""
    if any(names for dimension, names in filters.names() if dimension != "session_id"):
        return []
    period, parameters = within(filters.window)
    conditions = [_IS_WHOLE, *(condition.replace("timestamp_us", "at_us") for condition in period)]
    if filters.sessions:
        named = {f"name_{index}": name for index, name in enumerate(filters.sessions)}
        conditions.append(f"session_id IN ({', '.join(f':{key}' for key in named)})")
        parameters |= named
    return [
        row[0] for row in connection.fetch(f"SELECT session_id FROM session_ledgers{where(conditions)}", parameters)
    ]


def ledgers(connection: Connection, sessions: Sequence[str]) -> dict[str, Ledger]:
    """The ledgers of some sessions."""
    found: dict[str, list[LedgerEntry]] = {}
    for start in range(0, len(sessions), _NAMES_AT_ONCE):
        names = {f"name_{index}": name for index, name in enumerate(sessions[start : start + _NAMES_AT_ONCE])}
        among = ", ".join(f":{name}" for name in names)
        for row in connection.fetch(
            f"SELECT {', '.join(LedgerEntry._fields)} FROM session_ledgers WHERE session_id IN ({among}) "
            "ORDER BY session_id, model",
            names,
        ):
            found.setdefault(row[0], []).append(LedgerEntry(*row))
    return {session_id: tuple(entries) for session_id, entries in found.items()}


def moved_by_model(connection: Connection, window: Window) -> dict[str, dict[str, int]]:
    """What steps move between the models of each session in an interval, up to the instant of its ledger."""
    found: dict[str, dict[str, int]] = {}
    period = {"start_us": window.start_us, "end_us": window.end_us}
    for session_id, model, moved in connection.fetch(_MOVED, period):
        found.setdefault(session_id, {})[model] = int(moved)
    return found


def original_sessions(connection: Connection) -> dict[str, str]:
    """The original of each copied session."""
    return {row[0]: row[1] for row in connection.fetch("SELECT session_id, original_id FROM copied_sessions")}


def last_archived(connection: Connection) -> int | None:
    """The instant of the last archived execution; None if none is archived."""
    _, archived = known_ranges(connection)
    return None if archived is None else archived.last_us
