"""Rows of executions, in the caller's transaction: inserting new ones, changing stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Database, Row
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.queries.executions import uid_batches
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.rollups import add_to_rollups, rebuild, series_ids
from claude_force.database.writes.step_usage import add_step_usage, delete_step_usage, replace_step_usage
from claude_force.executions.record import FIELDS, ExecutionRow, columns, getter
from claude_force.executions.rollups import LABELS, Sums, index_series, merged_windows, sum_up
from claude_force.time_windows import Window

DIRECT_ROLLUP_ROWS = 100
"""A transaction with so many new rows rolls them up itself; fewer become pending."""

_FIELDS = [name for name in FIELDS if name not in LABELS and name != "uid"]
_values_of = getter(*_FIELDS)
_COLUMNS = ("uid", "series_id", *_FIELDS)
_INSTANT, _STEPS = columns("timestamp_us", "steps")
_REVISE = f"UPDATE executions SET {', '.join(f'{name} = :{name}' for name in _FIELDS)} WHERE uid = :uid"


def insert_rows(
    connection: Connection, database: Database, rows: Sequence[ExecutionRow], sums: Sums | None = None
) -> int:
    """Insert the rows whose uid is neither stored nor archived; returns how many. DIRECT_ROLLUP_ROWS or more are rolled
    up at once, which needs the roll-up lock; fewer become pending. `sums` are those of the rows, if the caller has
    them."""
    stored = _to_store(connection, database, rows, sums)
    new = connection.insert_new("executions", _COLUMNS, stored, "archived")
    if new and any(row[_STEPS] is not None for row in rows):
        _add_steps_of_new(connection, rows, stored, {row[0] for row in new})
    if len(new) >= DIRECT_ROLLUP_ROWS:
        is_whole = sums is not None and len(new) == len(rows)
        add_to_rollups(connection, sums if sums and is_whole else sum_up(_those_of(rows, stored, new)))
        enqueue(connection, [row[0] for row in new])
    elif new:
        connection.insert_all("uncounted (uid)", [row[:1] for row in new], "ON CONFLICT DO NOTHING")
    return len(new)


def reinsert_rows(connection: Connection, database: Database, rows: Sequence[ExecutionRow]) -> None:
    """Insert rows that the roll-ups contain already and whose uids are not stored."""
    stored = _to_store(connection, database, rows, None)
    connection.insert_all(f"executions ({', '.join(_COLUMNS)})", stored, "ON CONFLICT DO NOTHING")
    add_step_usage(connection, rows, [row[0] for row in stored])
    enqueue(connection, [row[0] for row in stored], is_change=True)


def _to_store(connection: Connection, database: Database, rows: Sequence[ExecutionRow], sums: Sums | None) -> list[Row]:
    """The rows of the table `executions`."""
    series, indexes = (sums.series, sums.series_of_rows) if sums else index_series(rows)
    ids, encode = series_ids(connection, series), database.encode_uid
    return [(encode(row[0]), ids[index], *_values_of(row)) for row, index in zip(rows, indexes, strict=True)]


def _add_steps_of_new(
    connection: Connection, rows: Sequence[ExecutionRow], stored: Sequence[Row], new: set[Any]
) -> None:
    """Add what the steps of newly stored rows move."""
    by_uid = _by_uid(rows, stored)
    uids = [uid for uid in by_uid if uid in new]
    add_step_usage(connection, [by_uid[uid] for uid in uids], uids)


def _those_of(rows: Sequence[ExecutionRow], stored: Sequence[Row], new: Sequence[Row]) -> Sequence[ExecutionRow]:
    """The execution rows of newly stored table rows, each once."""
    if len(new) == len(rows):
        return rows
    by_uid = _by_uid(rows, stored)
    return [by_uid[table_row[0]] for table_row in new]


def _by_uid(rows: Sequence[ExecutionRow], stored: Sequence[Row]) -> dict[Any, ExecutionRow]:
    """The execution rows by uid as the engine has it. Of rows with equal uids the first was stored."""
    return {table_row[0]: row for table_row, row in zip(reversed(stored), reversed(rows), strict=True)}


def revise_rows(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change stored rows (uids as the engine has them), except their labels, and rebuild the roll-ups of their days.
    Needs the roll-up lock."""
    if not after:
        return
    connection.execute_many(
        _REVISE, [dict(zip(_FIELDS, _values_of(row), strict=True)) | {"uid": row[0]} for row in after]
    )
    replace_step_usage(connection, before, after)
    pending = file_queries.pending_uids(connection, [row[0] for row in after])
    enqueue(connection, [row[0] for row in after if row[0] not in pending], is_change=True)
    days = {row[_INSTANT] // DAY_US for row in (*before, *after) if row[0] not in pending}
    for window in merged_windows(days, DAY_US):
        rebuild(connection, Window(window.start_us, window.end_us))


def delete_rows(connection: Connection, rows: Sequence[ExecutionRow]) -> None:
    """Delete stored rows (uids as the engine has them), and rebuild the roll-ups of their days. Needs the roll-up
    lock."""
    uids = [row[0] for row in rows]
    pending = file_queries.pending_uids(connection, uids)
    for condition, part in uid_batches(uids):
        for table in ("executions", "uncounted", "export_queue"):
            connection.execute(f"DELETE FROM {table} WHERE {condition}", part)
    delete_step_usage(connection, uids)
    for window in merged_windows({row[_INSTANT] // DAY_US for row in rows if row[0] not in pending}, DAY_US):
        rebuild(connection, Window(window.start_us, window.end_us))
