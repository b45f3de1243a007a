"""Ledgers of sessions, and the executions that the store has of these sessions."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import known_ranges
from claude_force.database.queries.filter import IS_OF_SERIES, SERIES, Filter, where, within
from claude_force.executions.ledgers import WHOLE_SESSION, Ledger, LedgerEntry, Spent
from claude_force.executions.record import CLAUDE_CODE, PROVISIONAL

_SESSION = "COALESCE(executions.session_id, executions.workflow_id)"
_IS_CLAUDE_CODE = f"source = '{CLAUDE_CODE}'"
_IS_WHOLE = f"model = '{WHOLE_SESSION}'"
_LEDGER = f"JOIN session_ledgers AS whole ON whole.session_id = {_SESSION} AND whole.{_IS_WHOLE}"
_NAMES_AT_ONCE = 10_000

_SPENT = f"""
SELECT whole.session_id, series.model, COUNT(*), COUNT(executions.cost_nanousd),
    COALESCE(SUM(executions.cost_nanousd), 0), COALESCE(SUM(CASE WHEN usage_basis = '{PROVISIONAL}' THEN 1 END), 0),
    MIN(executions.timestamp_us)
FROM executions{SERIES} {_LEDGER}
WHERE {IS_OF_SERIES} AND {_IS_CLAUDE_CODE} AND executions.timestamp_us <= whole.at_us
GROUP BY 1, 2
"""

_MOVED = f"""
SELECT whole.session_id, series.model, SUM(step_usage.cost_nanousd)
FROM step_usage CROSS JOIN executions{SERIES} {_LEDGER}
WHERE executions.uid = step_usage.uid AND series.series_id = step_usage.series_id AND {_IS_CLAUDE_CODE}
    AND executions.timestamp_us <= whole.at_us
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


def ledgers(connection: Connection, filters: Filter) -> list[Ledger]:
    """The ledgers that were written in the period, of sessions of which any execution matches the names."""
    period, parameters = within(filters.window)
    conditions = [_IS_WHOLE, *(condition.replace("timestamp_us", "at_us") for condition in period)]
    names, named = filters.conditions()
    if names:
        matching = f"SELECT {_SESSION} FROM executions{SERIES}{where([IS_OF_SERIES, *names])}"
        conditions.append(f"session_id IN ({matching})")
    rows = connection.fetch(
        f"SELECT {', '.join(LedgerEntry._fields)} FROM session_ledgers WHERE session_id IN ("
        f"SELECT session_id FROM session_ledgers{where(conditions)}) ORDER BY session_id, model",
        parameters | named,
    )
    found: dict[str, list[LedgerEntry]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(LedgerEntry(*row))
    return [tuple(entries) for entries in found.values()]


def spent_by_model(connection: Connection) -> dict[str, dict[str, Spent]]:
    """What each session with a ledger spent by model, up to the instant of the ledger."""
    found: dict[str, dict[str, Spent]] = {}
    for session_id, model, *sums in connection.fetch(_SPENT):
        found.setdefault(session_id, {})[model] = Spent(*map(int, sums))
    for session_id, model, moved in connection.fetch(_MOVED):
        of_session = found.setdefault(session_id, {})
        of_session[model] = of_session.get(model, Spent()).plus(Spent(cost_nanousd=int(moved)))
    return found


def original_sessions(connection: Connection) -> dict[str, str]:
    """The original of each copied session."""
    return {row[0]: row[1] for row in connection.fetch("SELECT session_id, original_id FROM copied_sessions")}


def sessions_without_ledger(connection: Connection, filters: Filter) -> int:
    """How many sessions with a matching execution in the period have no ledger at all."""
    period, parameters = within(filters.window)
    names, named = filters.conditions()
    conditions = [IS_OF_SERIES, _IS_CLAUDE_CODE, f"{_SESSION} IS NOT NULL", *period, *names]
    rows = connection.fetch(
        f"SELECT COUNT(*) FROM (SELECT DISTINCT {_SESSION} AS name FROM executions{SERIES}{where(conditions)}) "
        f"AS sessions WHERE name NOT IN (SELECT session_id FROM session_ledgers WHERE {_IS_WHOLE})",
        parameters | named,
    )
    return int(rows[0][0])


def last_archived(connection: Connection) -> int | None:
    """The instant of the last archived execution; None if none is archived."""
    _, archived = known_ranges(connection)
    return None if archived is None else archived.last_us
