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

from collections.abc import Iterable, Sequence
from operator import itemgetter, sub

from claude_force import query
from claude_force.clock import ALL_TIME, Window
from claude_force.database import Connection, Database, Row
from claude_force.record import FIELDS, ExecutionMetrics, to_row
from claude_force.result import Added
from claude_force.rollup import (
    LABELS,
    Sums,
    places_of,
    sum_up,
)
from claude_force.store.counting import Progress, count, count_waiting, recount, series_ids

COUNTED_AT_ONCE = 100
"""So many new rows are counted in their own transaction; fewer wait."""

UNCOUNTED_LIMIT = 1000
"""When so many rows wait, the next transaction that looks counts them all."""

LOOK_EVERY = 10
"""Whether so many rows wait is looked at by the first of so many small additions of a store."""

_KEPT = [name for name in FIELDS if name not in LABELS and name != "uid"]
_values_of = itemgetter(*(FIELDS.index(name) for name in _KEPT))
_COLUMNS = ("uid", "series_id", *_KEPT)

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
            ids = series_ids(connection, series)
            stored = [(encode(row[0]), ids[place], *_values_of(row)) for row, place in zip(rows, places, strict=True)]
            new = connection.insert_new("executions", _COLUMNS, stored)
            if len(new) >= COUNTED_AT_ONCE:
                is_whole = sums is not None and len(new) == len(rows)
                count(connection, sums if sums and is_whole else sum_up(_those_of(rows, stored, new)))
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
            count_waiting(connection)

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
            count_waiting(connection)
            before = [row for row in stored if _price_of(row)[:2] != wanted[row[0]][:2]]
            if not before:
                return 0
            after = [_with_price(row, wanted[row[0]]) for row in before]
            connection.execute_many(
                _REPRICE, [dict(zip(_PRICE_NAMES, _price_of(row), strict=True)) | {"uid": row[0]} for row in after]
            )
            old, new = sum_up(before), sum_up(after)
            difference = {key: tuple(map(sub, cell, old.cells[key])) for key, cell in new.cells.items()}
            count(connection, Sums(new.series, cells=difference))
        return len(before)

    def delete(self, window: Window) -> int:
        """Delete the executions of a window; how many there were."""
        conditions = (("timestamp_us >= :start_us", window.start_us), ("timestamp_us < :end_us", window.end_us))
        known = [condition for condition, edge in conditions if edge is not None]
        with self.database.write() as connection:
            connection.wait_for_turn()
            count_waiting(connection)
            deleted = connection.execute(
                f"DELETE FROM executions{' WHERE ' if known else ''}{' AND '.join(known)}",
                {"start_us": window.start_us, "end_us": window.end_us},
            )
            if deleted:
                connection.execute(_FORGET_DELETED)
                recount(connection, window)
        return deleted

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make all roll-ups anew from the executions, in one transaction; how many executions were counted."""
        with self.database.write() as connection:
            connection.wait_for_turn()
            connection.execute("DELETE FROM uncounted")
            return recount(connection, ALL_TIME, progress)


def _those_of(rows: Sequence[Row], stored: Sequence[Row], new: Sequence[Row]) -> Sequence[Row]:
    """The rows of what was newly stored, each once."""
    if len(new) == len(rows):
        return rows
    # Of equal identities the first was stored.
    by_uid = {kept[0]: row for kept, row in zip(reversed(stored), reversed(rows), strict=True)}
    return [by_uid[kept[0]] for kept in new]


def _with_price(row: Row, price: Row) -> Row:
    return (*row[: _PRICE.start], *price, *row[_PRICE.stop :])
