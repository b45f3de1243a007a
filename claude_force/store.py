"""Every write. Adding is idempotent: a record whose `uid` is there already changes nothing and is counted.

The roll-ups (see `rollup`) and the list of the rows that they do not count yet are written in the transaction that
writes the rows, so that both together are always all rows. Many rows are counted at once; a few wait, since a recorded
execution that changed a dozen sums would change a dozen pages.

On a server others add rows, and put them on the list, at any moment; each statement sees what was committed before it.
Who changes the roll-ups has the turn, so the list can only grow under him, and no row of it is counted by any other way
than by taking it off.

An error from `add` does not mean that the records are absent (a commit can fail after the fact), so the right answer to
one is to add the same records again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter, sub

from claude_force import query
from claude_force.clock import ALL_TIME, DAY_US, EARLIEST_US, LATEST_US, Window
from claude_force.database import Connection, Database, Row
from claude_force.query import Filter
from claude_force.record import FIELDS, ExecutionMetrics, to_row
from claude_force.result import TOTALS, Added
from claude_force.rollup import (
    ALL_SERIES,
    DAY,
    EACH_SERIES,
    HOUR,
    LABELS,
    LEVELS_US,
    Labels,
    Sums,
    places_of,
    spread_bins,
    spread_cells,
    spread_errors,
    sum_up,
)

COUNTED_AT_ONCE = 100
"""So many new rows are counted in their own transaction; fewer wait."""

UNCOUNTED_LIMIT = 1000
"""When so many rows wait, the next transaction that looks counts them all."""

LOOK_EVERY = 10
"""Whether so many rows wait is looked at by the first of so many small additions of a store."""

_KEPT = [name for name in FIELDS if name not in LABELS and name != "uid"]
_values_of = itemgetter(*(FIELDS.index(name) for name in _KEPT))
_COLUMNS = ("uid", "series_id", *_KEPT)

_SERIES_ID = f"SELECT series_id FROM series WHERE {' AND '.join(f'{name} = :{name}' for name in LABELS)}"
_NEW_SERIES = f"""
INSERT INTO series (series_id, {", ".join(LABELS)})
SELECT COALESCE(MAX(series_id), 0) + 1, {", ".join(f"CAST(:{name} AS TEXT)" for name in LABELS)} FROM series WHERE 1 = 1
ON CONFLICT DO NOTHING
"""

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
_FOLDS = ((HOUR, _FOLD_ROLLUPS), (HOUR, _FOLD_ERRORS), (DAY, _FOLD_DURATIONS))
"""How sums come from those of the level below, from the level above the finest on."""

_THESE = f"scope = {EACH_SERIES} AND level = :level AND bucket >= :first AND bucket < :end"
_ALL_ROLLUPS = (
    f"INSERT INTO {_ROLLUPS} SELECT {ALL_SERIES}, level, bucket, 0, {_SUMS} "
    f"FROM rollups WHERE {_THESE} GROUP BY level, bucket"
)
_ALL_DURATIONS = (
    f"INSERT INTO {_DURATIONS} SELECT {ALL_SERIES}, level, bucket, 0, bin, SUM(executions) "
    f"FROM rollup_durations WHERE {_THESE} GROUP BY level, bucket, bin"
)
_TOTALS = (_ALL_ROLLUPS, _ALL_DURATIONS)
"""How the sums of all series come from those of each."""

_REPRICE = """
UPDATE executions
SET cost_nanousd = :cost_nanousd, reference_cost_nanousd = :reference_cost_nanousd, price_version = :price_version
WHERE uid = :uid
"""
_FORGET_DELETED = """
DELETE FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE executions.uid = uncounted.uid)
"""

_PRICE_NAMES = ("cost_nanousd", "reference_cost_nanousd", "price_version")
_PRICE = slice(FIELDS.index(_PRICE_NAMES[0]), FIELDS.index(_PRICE_NAMES[-1]) + 1)
_price_of = itemgetter(_PRICE)

_RECOUNT_PAGE = 20_000


Progress = Callable[[int], None]
"""Called with how many executions were counted since the last call."""


class Store:
    """The write side of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._adds = 0

    def add(self, records: Iterable[ExecutionMetrics]) -> Added:
        """Store records, in one transaction, and say how many were new.

        Raises DatabaseError; then either all of them are stored or none is, and adding them again is safe.
        """
        return self.add_rows([to_row(record) for record in records])

    def add_rows(self, rows: Sequence[Row], sums: Sums | None = None) -> Added:
        """The same for the rows of records (see `record.to_row`). `sums` are theirs, where they were made already."""
        if not rows:
            return Added()
        encode = self.database.encode_uid
        series, places = (sums.series, sums.places) if sums else places_of(rows)
        with self.database.write() as connection:
            if len(rows) >= COUNTED_AT_ONCE:
                # Before anything else, so that who waits for it keeps nobody waiting.
                connection.wait_for_turn()
            ids = _series_ids(connection, series)
            stored = [(encode(row[0]), ids[place], *_values_of(row)) for row, place in zip(rows, places, strict=True)]
            new = connection.insert_new("executions", _COLUMNS, stored)
            if len(new) >= COUNTED_AT_ONCE:
                is_whole = sums is not None and len(new) == len(rows)
                _count(connection, sums if sums and is_whole else sum_up(_those_of(rows, stored, new)))
            elif new:
                connection.insert_all("uncounted (uid)", [row[:1] for row in new], "ON CONFLICT DO NOTHING")
                self._count_when_many(connection)
        return Added(len(new), len(rows) - len(new))

    def _count_when_many(self, connection: Connection) -> None:
        """Count the rows that wait when they are many. To look takes as long as to insert, so not every time."""
        self._adds += 1
        if self._adds % LOOK_EVERY != 1:
            return
        waiting = connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0]
        # Where another has the turn, the next that looks counts them: an execution must not wait for an import.
        if waiting >= UNCOUNTED_LIMIT and connection.try_turn():
            _count_waiting(connection)

    def reprice(self, rows: Sequence[Row]) -> int:
        """Give stored executions the costs that these rows have; how many changed. Rows without a cost, and rows that
        are not stored, change nothing."""
        encode = self.database.encode_uid
        wanted = {encode(row[0]): _price_of(row) for row in rows if _price_of(row)[0] is not None}
        if not wanted:
            return 0
        with self.database.write() as connection:
            connection.wait_for_turn()
            stored = query.rows_of(connection, list(wanted))
            # After reading, so that whatever was read is counted, and is counted as it was read.
            _count_waiting(connection)
            before = [row for row in stored if _price_of(row)[:2] != wanted[row[0]][:2]]
            if not before:
                return 0
            after = [_with_price(row, wanted[row[0]]) for row in before]
            connection.execute_many(
                _REPRICE, [dict(zip(_PRICE_NAMES, _price_of(row), strict=True)) | {"uid": row[0]} for row in after]
            )
            old, new = sum_up(before), sum_up(after)
            difference = {key: tuple(map(sub, cell, old.cells[key])) for key, cell in new.cells.items()}
            _count(connection, Sums(new.series, cells=difference))
        return len(before)

    def delete(self, window: Window) -> int:
        """Delete the executions of a window; how many there were."""
        conditions = (("timestamp_us >= :start_us", window.start_us), ("timestamp_us < :end_us", window.end_us))
        known = [condition for condition, edge in conditions if edge is not None]
        with self.database.write() as connection:
            connection.wait_for_turn()
            _count_waiting(connection)
            deleted = connection.execute(
                f"DELETE FROM executions{' WHERE ' if known else ''}{' AND '.join(known)}",
                {"start_us": window.start_us, "end_us": window.end_us},
            )
            if deleted:
                connection.execute(_FORGET_DELETED)
                _recount(connection, window)
        return deleted

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make all roll-ups anew from the executions, in one transaction; how many executions were counted."""
        with self.database.write() as connection:
            connection.wait_for_turn()
            connection.execute("DELETE FROM uncounted")
            return _recount(connection, ALL_TIME, progress)


def _those_of(rows: Sequence[Row], stored: Sequence[Row], new: Sequence[Row]) -> Sequence[Row]:
    """The rows of what was newly stored, each once."""
    if len(new) == len(rows):
        return rows
    # Of equal identities the first was stored.
    by_uid = {kept[0]: row for kept, row in zip(reversed(stored), reversed(rows), strict=True)}
    return [by_uid[kept[0]] for kept in new]


def _series_ids(connection: Connection, series: Sequence[Labels]) -> list[int]:
    """The numbers of series, in their order; new series get the next ones. Looked up each time: what a process
    remembers may be of another file by now."""
    ids = {labels: _series_id(connection, labels) for labels in sorted(series)}
    return [ids[labels] for labels in series]


def _series_id(connection: Connection, labels: Labels) -> int:
    named = dict(zip(LABELS, labels, strict=True))
    while not (found := connection.fetch(_SERIES_ID, named)):
        # On a server another process may take the number or add the series at the same time; then look again.
        connection.execute(_NEW_SERIES, named)
    return int(found[0][0])


def _count_waiting(connection: Connection) -> None:
    """Count the rows that wait, by who has the turn. What is deleted from the list is counted by who deleted it, and by
    nobody else."""
    waiting = [row[0] for row in connection.fetch("DELETE FROM uncounted RETURNING uid")]
    if waiting:
        _count(connection, sum_up(query.rows_of(connection, waiting)))


def _count(connection: Connection, sums: Sums) -> None:
    """Add sums to the roll-ups of every level and scope."""
    ids = _series_ids(connection, sums.series)
    connection.insert_all(_ROLLUPS, spread_cells(sums, ids), _ADD_ROLLUPS)
    connection.insert_all(_DURATIONS, spread_bins(sums, ids), _ADD_DURATIONS)
    connection.insert_all(_ERRORS, spread_errors(sums, ids), _ADD_ERRORS)


def _with_price(row: Row, price: Row) -> Row:
    return (*row[: _PRICE.start], *price, *row[_PRICE.stop :])


def _recount(connection: Connection, window: Window, progress: Progress | None = None) -> int:
    """Make the roll-ups of every bucket that meets a window what its rows come to; how many rows were read."""
    start = (EARLIEST_US if window.start_us is None else window.start_us) // DAY_US * DAY_US
    end = -(-(LATEST_US if window.end_us is None else window.end_us) // DAY_US) * DAY_US
    spans = [{"level": level, "first": start // size, "end": -(-end // size)} for level, size in enumerate(LEVELS_US)]
    for span in spans:
        for table in ("rollups", "rollup_durations", "rollup_errors"):
            for scope in ("",) if table == "rollup_errors" else ("scope = 0 AND ", "scope = 1 AND "):
                connection.execute(
                    f"DELETE FROM {table} WHERE {scope}level = :level AND bucket >= :first AND bucket < :end", span
                )
    count = _count_finest(connection, Window(start, end), progress)
    for span in spans:
        for lowest, sql in _FOLDS:
            if span["level"] > lowest:
                connection.execute(sql, span | _below(**span))
        for sql in _TOTALS:
            connection.execute(sql, span)
    return count


def _below(level: int, first: int, end: int) -> dict[str, int]:
    """The buckets of the next finer level that make up some buckets."""
    ratio = LEVELS_US[level] // LEVELS_US[level - 1]
    return {"below": level - 1, "ratio": ratio, "below_first": first * ratio, "below_end": end * ratio}


def _count_finest(connection: Connection, window: Window, progress: Progress | None) -> int:
    """Count the rows of whole days, at the finest level of each kind of sum, by series. Not those on the list: others
    may have added them since it was counted."""
    count, after = 0, None
    while rows := query.counted_page(connection, Filter(window), after, _RECOUNT_PAGE):
        sums = sum_up(rows)
        ids = _series_ids(connection, sums.series)
        cells = [row for row in spread_cells(sums, ids) if row[:2] == (EACH_SERIES, HOUR)]
        bins = [row for row in spread_bins(sums, ids) if row[:2] == (EACH_SERIES, DAY)]
        errors = [row for row in spread_errors(sums, ids) if row[0] == HOUR]
        connection.insert_all(_ROLLUPS, cells, _ADD_ROLLUPS)
        connection.insert_all(_DURATIONS, bins, _ADD_DURATIONS)
        connection.insert_all(_ERRORS, errors, _ADD_ERRORS)
        count, after = count + len(rows), rows[-1]
        if progress is not None:
            progress(len(rows))
    return count
