"""Storing what several sources saw of executions, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from claude_force.database.contract import Connection
from claude_force.database.queries.executions import uid_batches
from claude_force.database.queries.sightings import SIGHTING_COLUMNS
from claude_force.executions.record import ExecutionRow
from claude_force.executions.sightings import BySource, encode_fields

_COLUMNS = (*SIGHTING_COLUMNS, "fields")
_columns_of = attrgetter(*SIGHTING_COLUMNS)
_INTO = f"sightings (uid, source, {', '.join(_COLUMNS)})"
_REPLACE = "ON CONFLICT (uid, source) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
_FORGET_DELETED = """
DELETE FROM sightings WHERE NOT EXISTS (SELECT 1 FROM executions WHERE executions.uid = sightings.uid)
AND NOT EXISTS (SELECT 1 FROM archived WHERE archived.uid = sightings.uid)
"""


def save_sightings(connection: Connection, sightings: Iterable[tuple[bytes, ExecutionRow, BySource]]) -> None:
    """Store all sightings of some executions, each with its uid and as it is stored now."""
    rows = [
        (
            uid,
            source,
            *_columns_of(seen),
            encode_fields(seen, row),
        )
        for uid, row, by_source in sightings
        for source, seen in by_source.items()
    ]
    connection.insert_all(_INTO, rows, _REPLACE)


def forget_sightings(connection: Connection, rows: Sequence[ExecutionRow]) -> None:
    """Delete the sightings of stored executions."""
    for condition, part in uid_batches([row[0] for row in rows]):
        connection.execute(f"DELETE FROM sightings WHERE {condition}", part)


def forget_deleted(connection: Connection) -> None:
    """Delete what belongs to no stored or archived execution."""
    connection.execute(_FORGET_DELETED)
