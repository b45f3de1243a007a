"""Maintaining the roll-ups, in the caller's transaction: adding sums to them, and rebuilding them for a period.

A transaction that changes roll-ups holds the roll-up lock (`Connection.lock_rollups`). So the list of pending rows can
only grow meanwhile, and a row of it is rolled up only by the transaction that removes it from the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from claude_force.clock import DAY_US, EARLIEST_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Progress
from claude_force.database.queries import Filter
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.numbered import Numbered
from claude_force.database.writes.run_parts import add_parts, delete_parts, rebuild_parts
from claude_force.database.writes.seats import (
    BIN_VALUES,
    FOLD_SEAT_BINS,
    FOLD_SEATS,
    SUM_SEATS,
    add_finest_seats,
    add_seats,
    delete_seats,
)
from claude_force.database.writes.spans import add_spans, delete_spans, rebuild_spans
from claude_force.executions.columns import LABELS, Labels
from claude_force.executions.record import ExecutionRow
from claude_force.executions.rollup_rows import spread_aggregates, spread_bins, spread_errors
from claude_force.executions.rollups import (
    ALL_SERIES,
    ARCHIVED,
    DAY,
    EACH_SERIES,
    HOUR,
    LEVELS_US,
    Sums,
    negated,
    sum_up,
)
from claude_force.executions.totals import TOTALS
from claude_force.time_windows import Window

_SERIES = Numbered("series", "series_id", LABELS)

_ROLLUPS = f"rollups (scope, level, bucket, series_id, {', '.join(TOTALS)})"
_ADD_ROLLUPS = "ON CONFLICT (scope, level, bucket, series_id) DO UPDATE SET " + ", ".join(
    f"{name} = rollups.{name} + excluded.{name}" for name in TOTALS
)
_DURATIONS = "rollup_durations (scope, level, bucket, series_id, bin, executions)"
_ADD_DURATIONS = (
    "ON CONFLICT (scope, level, bucket, series_id, bin) "
    "DO UPDATE SET executions = rollup_durations.executions + excluded.executions"
)
_ERRORS = "rollup_errors (level, bucket, series_id, error_type, failures, first_us, last_us)"
_ADD_ERRORS = """
ON CONFLICT (level, bucket, series_id, error_type) DO UPDATE SET
    failures = rollup_errors.failures + excluded.failures,
    first_us = CASE WHEN excluded.first_us < rollup_errors.first_us
        THEN excluded.first_us ELSE rollup_errors.first_us END,
    last_us = CASE WHEN excluded.last_us > rollup_errors.last_us THEN excluded.last_us ELSE rollup_errors.last_us END
"""

_THESE_ARCHIVED = f"level = {ARCHIVED} AND bucket >= :first AND bucket < :end"
_ARCHIVED_ROLLUPS = (
    f"INSERT INTO {_ROLLUPS} SELECT scope, {HOUR}, bucket, series_id, {', '.join(TOTALS)} "
    f"FROM rollups WHERE scope = {EACH_SERIES} AND {_THESE_ARCHIVED} {_ADD_ROLLUPS}"
)
_ARCHIVED_ERRORS = (
    f"INSERT INTO {_ERRORS} SELECT {HOUR}, bucket, series_id, error_type, failures, first_us, last_us "
    f"FROM rollup_errors WHERE {_THESE_ARCHIVED} {_ADD_ERRORS}"
)
_ARCHIVED_DURATIONS = (
    f"INSERT INTO {_DURATIONS} SELECT scope, {DAY}, bucket, series_id, bin, executions "
    f"FROM rollup_durations WHERE scope = {EACH_SERIES} AND {_THESE_ARCHIVED} {_ADD_DURATIONS}"
)
_ADD_ARCHIVED = ((HOUR, _ARCHIVED_ROLLUPS), (HOUR, _ARCHIVED_ERRORS), (DAY, _ARCHIVED_DURATIONS))
"""Add the archived sums to the finest level of each kind of sum: the level, and the statement."""

_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_LEVEL_BELOW = "level = :below AND bucket >= :below_first AND bucket < :below_end"
_FOLD_ROLLUPS = (
    f"INSERT INTO {_ROLLUPS} SELECT {EACH_SERIES}, :level, bucket / :ratio, series_id, {_SUMS} "
    f"FROM rollups WHERE scope = {EACH_SERIES} AND {_LEVEL_BELOW} GROUP BY 3, 4"
)
_FOLD_ERRORS = (
    f"INSERT INTO {_ERRORS} "
    "SELECT :level, bucket / :ratio, series_id, error_type, SUM(failures), MIN(first_us), MAX(last_us) "
    f"FROM rollup_errors WHERE {_LEVEL_BELOW} GROUP BY 2, 3, 4"
)
_FOLD_DURATIONS = (
    f"INSERT INTO {_DURATIONS} SELECT {EACH_SERIES}, :level, bucket / :ratio, series_id, bin, SUM(executions) "
    f"FROM rollup_durations WHERE scope = {EACH_SERIES} AND {_LEVEL_BELOW} GROUP BY 3, 4, 5"
)
_FOLDS = (
    (HOUR, _FOLD_ROLLUPS),
    (HOUR, _FOLD_ERRORS),
    (DAY, _FOLD_DURATIONS),
    (DAY, FOLD_SEATS),
    (DAY, FOLD_SEAT_BINS),
)
"""Make the sums of a level from those of the level below: the finest level, and the statement for those above."""

_THESE = f"scope = {EACH_SERIES} AND level = :level AND bucket >= :first AND bucket < :end"
_ALL_ROLLUPS = (
    f"INSERT INTO {_ROLLUPS} SELECT {ALL_SERIES}, level, bucket, 0, {_SUMS} "
    f"FROM rollups WHERE {_THESE} GROUP BY level, bucket"
)
_ALL_DURATIONS = (
    f"INSERT INTO {_DURATIONS} SELECT {ALL_SERIES}, level, bucket, 0, bin, SUM(executions) "
    f"FROM rollup_durations WHERE {_THESE} GROUP BY level, bucket, bin"
)
_SUM_SERIES = (_ALL_ROLLUPS, _ALL_DURATIONS, SUM_SEATS)
"""Make the sums of all series from those of each series."""

_SCOPES = (ALL_SERIES, EACH_SERIES)
_REBUILD_PAGE = 20_000


def series_ids(connection: Connection, series: Sequence[Labels]) -> list[int]:
    """The ids of series, in their order."""
    return _SERIES.ids(connection, series)


def series_id(connection: Connection, labels: Labels) -> int:
    """The id of a series; a new one gets the next."""
    return _SERIES.id(connection, labels)


def apply_pending(connection: Connection) -> None:
    """Roll up the pending rows, and queue them for the exporters. Needs the roll-up lock."""
    pending = [row[0] for row in connection.fetch("DELETE FROM uncounted RETURNING uid")]
    if pending:
        rows = queries.rows_of(connection, pending)
        add_to_rollups(connection, sum_up(rows))
        enqueue(connection, [row[0] for row in rows])


def add_to_rollups(connection: Connection, sums: Sums) -> None:
    """Add sums to the roll-ups of every level and scope."""
    ids = series_ids(connection, sums.series)
    rows = spread_aggregates(sums, ids)
    connection.insert_all(_ROLLUPS, rows, _ADD_ROLLUPS)
    for scope, level, counts in spread_bins(sums, ids):
        _add_bins(connection, scope, level, counts)
    connection.insert_all(_ERRORS, spread_errors(sums, ids), _ADD_ERRORS)
    add_spans(connection, sums.spans)
    add_parts(connection, sums, ids)
    add_seats(connection, sums, ids, rows)


def _add_bins(connection: Connection, scope: int, level: int, counts: Sequence[tuple[int, int]]) -> None:
    # The database takes the keys apart: it gets two values for each count instead of six.
    connection.insert_all(_DURATIONS, counts, _ADD_DURATIONS, f"{scope}, {level}, {BIN_VALUES}")


def replace_sums(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change the sums of rolled-up rows from what they were to what they are. Their instants, durations and errors must
    be the same."""
    # Taken away and added, not as one difference: a step with its first price may add a series.
    for sums in (negated(sum_up(before)), sum_up(after)):
        add_to_rollups(connection, replace(sums, bins=Counter(), seat_bins=Counter(), errors={}, spans={}))


def add_finest(connection: Connection, sums: Sums, hours: int, days: int) -> None:
    """Add sums by series to two levels only: those by hour to the level `hours`, those by day to `days`. What has names
    is not added."""
    ids = series_ids(connection, sums.series)
    by_hour = [(EACH_SERIES, hours, *row[2:]) for row in spread_aggregates(sums, ids) if row[:2] == (EACH_SERIES, HOUR)]
    errors = [(hours, *row[1:]) for row in spread_errors(sums, ids) if row[0] == HOUR]
    connection.insert_all(_ROLLUPS, by_hour, _ADD_ROLLUPS)
    for scope, level, counts in spread_bins(sums, ids):
        if (scope, level) == (EACH_SERIES, DAY):
            _add_bins(connection, scope, days, counts)
    connection.insert_all(_ERRORS, errors, _ADD_ERRORS)


def add_named(connection: Connection, sums: Sums) -> None:
    """Add what is known by names that only rows have: the spans and the parts of runs."""
    add_spans(connection, sums.spans)
    add_parts(connection, sums, series_ids(connection, sums.series))


def rebuild_named(connection: Connection, days: Collection[int]) -> None:
    """Make the spans and the parts of runs of some days from the executions that are rolled up."""
    if days:
        connection.refuse_missing_rows()
    rebuild_spans(connection, days)
    rebuild_parts(connection, days)


def rebuild(connection: Connection, window: Window, progress: Progress | None = None) -> int:
    """Rebuild the roll-ups of every bucket that overlaps a window, from its rows and from the archived sums; returns
    the number of rows read. Needs the roll-up lock."""
    connection.refuse_missing_rows()
    start = (EARLIEST_US if window.start_us is None else window.start_us) // DAY_US * DAY_US
    end = -(-(LATEST_US if window.end_us is None else window.end_us) // DAY_US) * DAY_US
    spans = [{"level": level, "first": start // size, "end": -(-end // size)} for level, size in enumerate(LEVELS_US)]
    for span in spans:
        _delete_buckets(connection, span)
        delete_seats(connection, span)
    delete_spans(connection, start // DAY_US, end // DAY_US)
    delete_parts(connection, start // DAY_US, end // DAY_US)
    row_count = _add_rows(connection, Window(start, end), progress)
    for level, sql in _ADD_ARCHIVED:
        connection.execute(sql, {name: spans[level][name] for name in ("first", "end")})
    for span in spans:
        for finest, sql in _FOLDS:
            if span["level"] > finest:
                connection.execute(sql, span | _below(**span))
        for sql in _SUM_SERIES:
            connection.execute(sql, span)
    return row_count


def _delete_buckets(connection: Connection, span: dict[str, int]) -> None:
    # With the scope in the condition, so that the primary key, whose first column it is, serves the search.
    scoped = [f"{table} WHERE scope = {scope} AND" for table in ("rollups", "rollup_durations") for scope in _SCOPES]
    for source in (*scoped, "rollup_errors WHERE"):
        connection.execute(f"DELETE FROM {source} level = :level AND bucket >= :first AND bucket < :end", span)


def _below(level: int, first: int, end: int) -> dict[str, int]:
    """The buckets of the next finer level that make up the buckets [first, end) of a level."""
    ratio = LEVELS_US[level] // LEVELS_US[level - 1]
    return {"below": level - 1, "ratio": ratio, "below_first": first * ratio, "below_end": end * ratio}


def _add_rows(connection: Connection, window: Window, progress: Progress | None) -> int:
    """Add the rows of whole days to the finest level of each kind of sum; returns how many. Without pending rows: other
    transactions may add some at any moment, and these are rolled up when they leave the list."""
    row_count, after = 0, None
    while rows := queries.rolled_up_page(connection, Filter(window), after, _REBUILD_PAGE):
        sums = sum_up(rows)
        add_finest(connection, sums, HOUR, DAY)
        add_named(connection, sums)
        add_finest_seats(connection, sums, series_ids(connection, sums.series))
        row_count, after = row_count + len(rows), rows[-1]
        if progress is not None:
            progress(len(rows))
    return row_count
