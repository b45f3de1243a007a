"""Storing ledgers of sessions, and which sessions are copies of others.

The ledger of a fork begins with what its original had cost, and its copied responses count for the original. So its
ledger cannot be compared with its executions, and both must be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from claude_force.database.contract import Connection
from claude_force.database.queries.ledgers import instants_of
from claude_force.executions.deduplication import EntityResolver, Observation
from claude_force.executions.ledgers import Ledger, LedgerEntry, latest
from claude_force.executions.nearby import session_of
from claude_force.executions.record import ExecutionRow

_LEDGERS = f"session_ledgers ({', '.join(LedgerEntry._fields)})"
_FORGET = "DELETE FROM session_ledgers WHERE session_id = :session_id"


def save_ledgers(connection: Connection, ledgers: Sequence[Ledger]) -> None:
    """Store the latest ledger of each session in place of an older one. Saving one again changes nothing."""
    by_session = latest(ledgers)
    known = instants_of(connection, list(by_session)) if by_session else {}
    newer = [ledger for session_id, ledger in by_session.items() if ledger[0].at_us >= known.get(session_id, 0)]
    connection.execute_many(_FORGET, [{"session_id": ledger[0].session_id} for ledger in newer])
    connection.insert_all(_LEDGERS, [tuple(entry) for ledger in newer for entry in ledger], "ON CONFLICT DO NOTHING")


def copied_sessions(
    observations: Iterable[Observation], resolver: EntityResolver, stored: Mapping[bytes, ExecutionRow]
) -> dict[str, str]:
    """The sessions with responses that count for another one, and that other one."""
    found: dict[str, str] = {}
    for observation in observations:
        uid = resolver.known.get(observation.identities[0], b"")
        row = resolver.new_rows.get(uid) or stored.get(uid)
        if row is not None and row is not observation.row:
            session_id, counted_in = session_of(observation.row), session_of(row)
            if session_id and counted_in and session_id != counted_in:
                found[session_id] = counted_in
    return found


def save_copies(connection: Connection, originals: Mapping[str, str]) -> None:
    """Store the original of each copied session; the first one stays."""
    connection.insert_all(
        "copied_sessions (session_id, original_id)", list(originals.items()), "ON CONFLICT DO NOTHING"
    )
