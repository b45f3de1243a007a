"""Rows of executions in the transaction in hand: putting in new ones, changing some."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Database, Row
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.rollups import count, rebuild, series_ids
from claude_force.executions.record import FIELDS, ExecutionRow, column, getter
from claude_force.executions.rollups import LABELS, Sums, merged_windows, places_of, sum_up
from claude_force.windows import Window

DIRECT_ROLLUP_ROWS = 100
"""So many new rows are counted in their own transaction; fewer wait."""

_KEPT = [name for name in FIELDS if name not in LABELS and name != "uid"]
_values_of = getter(*_KEPT)
_COLUMNS = ("uid", "series_id", *_KEPT)
_INSTANT = column("timestamp_us")
_REVISE = f"UPDATE executions SET {', '.join(f'{name} = :{name}' for name in _KEPT)} WHERE uid = :uid"


def put_rows(connection: Connection, database: Database, rows: Sequence[ExecutionRow], sums: Sums | None = None) -> int:
    """Put in those rows whose uid is new, also among the archived; how many. Many are counted, for which the turn must
    have been waited for; a few wait. `sums` are those of the rows, where they were made already."""
    stored = _to_store(connection, database, rows, sums)
    new = connection.insert_new("executions", _COLUMNS, stored, "archived")
    if len(new) >= DIRECT_ROLLUP_ROWS:
        is_whole = sums is not None and len(new) == len(rows)
        count(connection, sums if sums and is_whole else sum_up(_those_of(rows, stored, new)))
        enqueue(connection, [row[0] for row in new])
    elif new:
        connection.insert_all("uncounted (uid)", [row[:1] for row in new], "ON CONFLICT DO NOTHING")
    return len(new)


def put_back(connection: Connection, database: Database, rows: Sequence[ExecutionRow]) -> None:
    """Put in rows that are counted already, and whose uids are not there."""
    stored = _to_store(connection, database, rows, None)
    connection.insert_all(f"executions ({', '.join(_COLUMNS)})", stored, "ON CONFLICT DO NOTHING")
    enqueue(connection, [row[0] for row in stored], is_change=True)


def _to_store(connection: Connection, database: Database, rows: Sequence[ExecutionRow], sums: Sums | None) -> list[Row]:
    """Rows as the table has them."""
    series, places = (sums.series, sums.places) if sums else places_of(rows)
    ids, encode = series_ids(connection, series), database.encode_uid
    return [(encode(row[0]), ids[place], *_values_of(row)) for row, place in zip(rows, places, strict=True)]


def _those_of(rows: Sequence[ExecutionRow], stored: Sequence[Row], new: Sequence[Row]) -> Sequence[ExecutionRow]:
    """The rows of what was newly stored, each once."""
    if len(new) == len(rows):
        return rows
    # Of equal identities the first was stored.
    by_uid = {kept[0]: row for kept, row in zip(reversed(stored), reversed(rows), strict=True)}
    return [by_uid[kept[0]] for kept in new]


def revise_rows(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change stored rows (uids are as the engine has them) from what they were to what they are to be; their labels
    stay. By who has the turn: the days of those that were counted are counted anew."""
    if not after:
        return
    connection.execute_many(
        _REVISE, [dict(zip(_KEPT, _values_of(row), strict=True)) | {"uid": row[0]} for row in after]
    )
    waiting = file_queries.pending_uids(connection, [row[0] for row in after])
    enqueue(connection, [row[0] for row in after if row[0] not in waiting], is_change=True)
    days = {row[_INSTANT] // DAY_US for row in (*before, *after) if row[0] not in waiting}
    for window in merged_windows(days, DAY_US):
        rebuild(connection, Window(window.start_us, window.end_us))
