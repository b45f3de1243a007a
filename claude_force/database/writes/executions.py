"""Rows of executions, in the caller's transaction: inserting new ones, changing stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Database, Row
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.queries.executions import uid_batches
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.rollups import (
    add_to_rollups,
    rebuild,
    rebuild_named,
    replace_sums,
    series_id,
    series_ids,
)
from claude_force.database.writes.run_parents import LIST_RUN, list_runs, list_runs_of_block, run_of, runs_of
from claude_force.database.writes.step_usage import add_step_usage, delete_step_usage, replace_step_usage
from claude_force.executions.columns import LABELS, Columns, Rows, blocks_of, by_column, labels_of
from claude_force.executions.record import FIELDS, ExecutionRow, columns, getter
from claude_force.executions.rollups import SPAN_NAMES, Sums, add_block, merged_windows
from claude_force.executions.seats import SEAT_NAMES
from claude_force.time_windows import Window

DIRECT_ROLLUP_ROWS = 100
"""A transaction with so many new rows rolls them up itself; fewer become pending."""

_FIELDS = [name for name in FIELDS if name not in LABELS and name != "uid"]
_values_of = getter(*_FIELDS)
_COLUMNS = ("uid", "series_id", *_FIELDS)
_INSTANT, _STEPS, _RUN = columns("timestamp_us", "steps", "run_id")
_place_of = getter("timestamp_us", "duration_us", "success", "error_type", "steps", *LABELS, *SEAT_NAMES)
"""What decides in which buckets, bins, series and seats of the roll-ups an execution is."""

_names_of = getter(*SPAN_NAMES, "run_id")

_OF_SERIES = " AND ".join(f"{name} = :{name}" for name in LABELS)
_INSERT_ALONE = f"""
WITH new AS (
    INSERT INTO executions ({", ".join(_COLUMNS)})
    SELECT :uid, series_id, {", ".join(f":{name}" for name in _FIELDS)} FROM series WHERE {_OF_SERIES}
    ON CONFLICT DO NOTHING RETURNING uid
)
INSERT INTO uncounted (uid) SELECT uid FROM new
"""


def insert_alone(database: Database, row: ExecutionRow) -> bool:
    """Insert an execution of a known series in a transaction of its own, where the engine can do that in one go; it
    becomes pending. Its uid must be one that nobody has seen: whether it is archived is not asked. False if nothing was
    stored: the engine cannot, or the execution is not as usual."""
    if not database.writes_together or row[_STEPS] is not None:
        return False
    values = dict(zip(FIELDS, row, strict=True)) | dict(zip(LABELS, labels_of(row), strict=True))
    runs = [(LIST_RUN, dict(zip(("run_id", "session_id"), run, strict=True))) for run in runs_of((row,))]
    inserted, *_ = database.write_together([(_INSERT_ALONE, values), *runs])
    return inserted > 0


def insert_rows(connection: Connection, rows: Rows, sums: Sums | None = None) -> int:
    """Insert the executions whose uid is neither stored nor archived; returns how many. DIRECT_ROLLUP_ROWS or more are
    rolled up at once, which needs the roll-up lock; fewer become pending. `sums` are those of the rows, if the caller
    has them."""
    if len(rows) < DIRECT_ROLLUP_ROWS:
        return _insert_few(connection, list(rows))
    new: list[Any] = []
    for block in blocks_of(rows):
        inserted = _insert_columns(connection, block)
        list_runs_of_block(connection, block)
        if inserted and block.has("steps"):
            _add_steps(connection, list(_only(block, set(inserted))))
        new += inserted
    if len(new) < DIRECT_ROLLUP_ROWS:
        _list_as_pending(connection, new)
        return len(new)
    if sums is None or len(new) < len(rows):
        sums, left = Sums(), set(new)
        for block in blocks_of(rows):
            add_block(sums, _only(block, left))
    add_to_rollups(connection, sums)
    enqueue(connection, new)
    return len(new)


def insert_row(connection: Connection, row: ExecutionRow) -> int:
    """`insert_rows` for a row, which becomes pending: what recording does for each execution."""
    stored = (row[0], series_id(connection, labels_of(row)), *_values_of(row))
    new = connection.insert_new("executions", _COLUMNS, (stored,), "archived")
    if row[_RUN] is not None:
        # Also of one that is stored: a coordinator that failed while it was committed has lost the run.
        list_runs(connection, (row,))
    if not new:
        return 0
    if row[_STEPS] is not None:
        add_step_usage(connection, (row,), stored[:1])
    connection.insert_all("uncounted (uid)", (stored[:1],), "ON CONFLICT DO NOTHING")
    return 1


def _insert_few(connection: Connection, rows: Sequence[ExecutionRow]) -> int:
    new = connection.insert_new("executions", _COLUMNS, _to_store(connection, rows), "archived")
    if new and any(row[_STEPS] is not None for row in rows):
        _add_steps(connection, list(_only(by_column(rows), set(new))))
    list_runs(connection, rows)
    _list_as_pending(connection, new)
    return len(new)


def _list_as_pending(connection: Connection, uids: Sequence[Any]) -> None:
    connection.insert_all("uncounted (uid)", [(uid,) for uid in uids], "ON CONFLICT DO NOTHING")


def _add_steps(connection: Connection, rows: Sequence[ExecutionRow]) -> None:
    add_step_usage(connection, rows, [row[0] for row in rows])


def _insert_columns(connection: Connection, found: Columns) -> Sequence[Any]:
    """Insert those that are new; returns their uids."""
    ids = series_ids(connection, found.series)
    uids = found.each["uid"]
    each = {"uid": uids, "series_id": [ids[place] for place in found.places]} | {
        name: column for name, column in found.each.items() if name != "uid"
    }
    return connection.insert_columns("executions", each, found.same, "archived")


def reinsert_rows(connection: Connection, rows: Sequence[ExecutionRow]) -> None:
    """Insert rows that the roll-ups contain already and whose uids are not stored."""
    stored = _to_store(connection, rows)
    connection.insert_all(f"executions ({', '.join(_COLUMNS)})", stored, "ON CONFLICT DO NOTHING")
    add_step_usage(connection, rows, [row[0] for row in stored])
    list_runs(connection, rows)
    enqueue(connection, [row[0] for row in stored], is_change=True)


def _to_store(connection: Connection, rows: Sequence[ExecutionRow]) -> list[Row]:
    """The rows of the table `executions`."""
    ids = series_ids(connection, list(map(labels_of, rows)))
    return [(row[0], series, *_values_of(row)) for row, series in zip(rows, ids, strict=True)]


def _only(block: Columns, left: set[Any]) -> Columns:
    """The executions with these uids. They are taken out of `left`: of executions with equal uids the first was
    stored."""
    return block.only(uid in left and left.discard(uid) is None for uid in block.each["uid"])  # type: ignore[func-returns-value]


def revise_rows(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change stored rows, and the roll-ups with them. Needs the roll-up lock."""
    if not after:
        return
    connection.update_all("executions", ("uid", *_FIELDS), [(row[0], *_values_of(row)) for row in after])
    renamed = [new for old, new in zip(before, after, strict=True) if labels_of(old) != labels_of(new)]
    if renamed:
        ids = series_ids(connection, list(map(labels_of, renamed)))
        moved = [(row[0], series) for row, series in zip(renamed, ids, strict=True)]
        connection.update_all("executions", ("uid", "series_id"), moved)
    replace_step_usage(connection, before, after)
    list_runs(connection, [new for old, new in zip(before, after, strict=True) if run_of(old) != run_of(new)])
    pending = file_queries.pending_uids(connection, [row[0] for row in after])
    enqueue(connection, [row[0] for row in after if row[0] not in pending], is_change=True)
    _recount(connection, [pair for pair in zip(before, after, strict=True) if pair[0][0] not in pending])


def _recount(connection: Connection, changes: Sequence[tuple[ExecutionRow, ExecutionRow]]) -> None:
    """Change the roll-ups for rows that were rolled up as the first and are now stored as the second. Days in which
    instants, durations, errors or steps change are rebuilt: that these leave a bucket empty cannot be told from sums.
    Elsewhere the sums change alone, which takes a twentieth of the time."""
    moved = (row for pair in changes if _place_of(pair[0]) != _place_of(pair[1]) for row in pair)
    days = {row[_INSTANT] // DAY_US for row in moved}
    for window in merged_windows(days, DAY_US):
        rebuild(connection, Window(window.start_us, window.end_us))
    others = [pair for pair in changes if pair[0][_INSTANT] // DAY_US not in days]
    if others:
        replace_sums(connection, *zip(*others, strict=True))
    rebuild_named(connection, {old[_INSTANT] // DAY_US for old, new in others if _names_of(old) != _names_of(new)})


def delete_rows(connection: Connection, rows: Sequence[ExecutionRow]) -> None:
    """Delete stored rows, and rebuild the roll-ups of their days. Needs the roll-up lock."""
    uids = [row[0] for row in rows]
    pending = file_queries.pending_uids(connection, uids)
    for condition, part in uid_batches(uids):
        for table in ("executions", "uncounted", "export_queue"):
            connection.execute(f"DELETE FROM {table} WHERE {condition}", part)
    delete_step_usage(connection, uids)
    for window in merged_windows({row[_INSTANT] // DAY_US for row in rows if row[0] not in pending}, DAY_US):
        rebuild(connection, Window(window.start_us, window.end_us))
