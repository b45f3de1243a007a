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

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import sub

from claude_force.database import queries
from claude_force.database.contract import Connection, Database, Progress
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes.archives import archive_rows, forget, restore_rows, tombstone
from claude_force.database.writes.executions import DIRECT_ROLLUP_ROWS, put_rows
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.ingestion import IngestResult, apply_reported_usage, ingest, save_cursors
from claude_force.database.writes.rollups import apply_pending, count, rebuild
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.record import (
    COST_GIVEN,
    COST_NONE,
    ExecutionMetrics,
    ExecutionRow,
    columns,
    getter,
    to_row,
)
from claude_force.executions.rollups import Sums, sum_up
from claude_force.executions.totals import Added
from claude_force.windows import ALL_TIME, Window

PENDING_LIMIT = 1000
"""When so many rows wait, the next transaction that looks counts them all."""

PENDING_CHECK_EVERY = 10
"""Whether so many rows wait is looked at by the first of so many small additions of a store."""

_COSTS = ("cost_nanousd", "reference_cost_nanousd", "price_version", "recorded_cost_nanousd", "recorded_basis")
_REPRICE = f"UPDATE executions SET {', '.join(f'{name} = :{name}' for name in _COSTS)} WHERE uid = :uid"
_FORGET_DELETED = """
DELETE FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE executions.uid = uncounted.uid)
"""

_costs_of = getter(*_COSTS)
_used_of = getter(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "service_tier", "web_searches",
)  # fmt: skip
"""What a cost is made from, beside the model and the time."""


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

    def add_rows(self, rows: Sequence[ExecutionRow], sums: Sums | None = None, cursor: Cursor | None = None) -> Added:
        """The same for the rows of records (see `record.to_row`). `sums` are theirs, where they were made already.
        `cursor` is how far the file was read that they are from, kept in the same transaction."""
        if not rows and cursor is None:
            return Added()
        with self.database.write() as connection:
            if len(rows) >= DIRECT_ROLLUP_ROWS:
                # Before anything else, so that who waits for it keeps nobody waiting.
                connection.lock_rollups()
            added = put_rows(connection, self.database, rows, sums) if rows else 0
            if cursor is not None:
                save_cursors(connection, [cursor])
            if 0 < added < DIRECT_ROLLUP_ROWS:
                self._count_when_many(connection)
        return Added(added, len(rows) - added)

    def ingest(
        self, sightings: Sequence[Observation], cursors: Iterable[Cursor], reports: Iterable[ReportedUsage] = ()
    ) -> IngestResult:
        """Store the responses that were seen in files, and how far these were read, in one transaction.

        Raises DatabaseError; then all of it is stored or nothing is, and taking it in again is safe.
        """
        with self.database.write() as connection:
            connection.lock_rollups()
            taken = ingest(connection, self.database, sightings, cursors, reports)
            if file_queries.pending_count(connection) >= PENDING_LIMIT:
                apply_pending(connection)
        return taken

    def apply_reported_usage(
        self, price: Callable[[ExecutionRow], ExecutionRow], runs: Collection[str], now_us: int
    ) -> int:
        """Take the usages that were reported of responses whose own was never final; how many there were. `price`
        makes an execution with another usage what it costs; `runs` are those whose own files were read after the
        reports. Reports that nothing is known for yet are kept."""
        with self.database.write() as connection:
            connection.lock_rollups()
            return apply_reported_usage(connection, price, runs, now_us)

    def _count_when_many(self, connection: Connection) -> None:
        """Count the rows that wait when they are many. To look takes as long as to insert, so not every time."""
        self._adds += 1
        if self._adds % PENDING_CHECK_EVERY != 1:
            return
        # Where another has the turn, the next that looks counts them: an execution must not wait for an import.
        if file_queries.pending_count(connection) >= PENDING_LIMIT and connection.try_lock_rollups():
            apply_pending(connection)

    def reprice(self, rows: Sequence[ExecutionRow]) -> int:
        """Give stored executions the costs that these rows have; how many changed. Rows without a cost, and rows that
        are not stored, change nothing; nor does a cost that is the same change its version.

        What the cost was before the first time that it changed, and what it came from, is kept with the execution. All
        rows are changed in one transaction."""
        encode = self.database.encode_uid
        wanted = {encode(row[0]): row for row in rows if _costs_of(row)[0] is not None}
        if not wanted:
            return 0
        with self.database.write() as connection:
            connection.lock_rollups()
            stored = queries.rows_of(connection, list(wanted))
            # After reading, so that whatever was read is counted, and is counted as it was read.
            apply_pending(connection)
            # A usage that changed since it was priced has a newer cost.
            before = [
                row
                for row in stored
                if _costs_of(row)[:2] != _costs_of(wanted[row[0]])[:2] and _used_of(row) == _used_of(wanted[row[0]])
            ]
            if not before:
                return 0
            after = [_with_costs(row, _costs_of(wanted[row[0]])) for row in before]
            connection.execute_many(
                _REPRICE, [dict(zip(_COSTS, _costs_of(row), strict=True)) | {"uid": row[0]} for row in after]
            )
            old, new = sum_up(before), sum_up(after)
            difference = {key: tuple(map(sub, cell, old.aggregates[key])) for key, cell in new.aggregates.items()}
            count(connection, Sums(new.series, aggregates=difference))
            enqueue(connection, [row[0] for row in before], is_change=True)
        return len(before)

    def delete(self, window: Window) -> int:
        """Delete the executions of a window; how many there were. Archived ones are deleted by whole days (of UTC)."""
        conditions = (("timestamp_us >= :start_us", window.start_us), ("timestamp_us < :end_us", window.end_us))
        known = [condition for condition, edge in conditions if edge is not None]
        with self.database.write() as connection:
            connection.lock_rollups()
            apply_pending(connection)
            deleted = connection.execute(
                f"DELETE FROM executions{' WHERE ' if known else ''}{' AND '.join(known)}",
                {"start_us": window.start_us, "end_us": window.end_us},
            )
            if deleted:
                connection.execute(_FORGET_DELETED)
            forgotten = forget(connection, window)
            if deleted or forgotten:
                rebuild(connection, window)
        return deleted + forgotten

    def archive(self, rows: Sequence[ExecutionRow], now_us: int) -> int:
        """Delete those of some executions that are stored exactly as these rows, and remember them as archived; how
        many. No sum of any report changes. By who has read the rows from an archive that is safely on the disk."""
        if not rows:
            return 0
        digests = list(map(tombstone, rows))
        with self.database.write() as connection:
            connection.lock_rollups()
            return archive_rows(connection, self.database, rows, digests, now_us)

    def restore(self, rows: Sequence[ExecutionRow]) -> int:
        """Store those of some rows again that were archived exactly so; how many. No sum of any report changes."""
        with self.database.read() as connection:
            known = queries.tombstones(connection, self.database, [row[0] for row in rows])
        wanted = {row[0]: row for row in rows if row[0] in known}
        found = [(row, digest) for row in wanted.values() if (digest := tombstone(row)) == known[row[0]]]
        if not found:
            return 0
        with self.database.write() as connection:
            connection.lock_rollups()
            return restore_rows(connection, self.database, [row for row, _ in found], [digest for _, digest in found])

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make all roll-ups anew from the executions, in one transaction; how many executions were counted."""
        with self.database.write() as connection:
            connection.lock_rollups()
            enqueue(connection, [row[0] for row in connection.fetch("DELETE FROM uncounted RETURNING uid")])
            return rebuild(connection, ALL_TIME, progress)


def _with_costs(row: ExecutionRow, costs: ExecutionRow) -> ExecutionRow:
    """The row with the costs that `costs` begins with. Where the cost itself is the same, so are its version and what
    was recorded."""
    old_cost, _, old_version, recorded, basis = _costs_of(row)
    cost, reference, version = costs[:3]
    if cost == old_cost:
        version = old_version
    elif basis is None:
        recorded, basis = old_cost, COST_NONE if old_cost is None else old_version or COST_GIVEN
    changed = list(row)
    for place, value in zip(columns(*_COSTS), (cost, reference, version, recorded, basis), strict=True):
        changed[place] = value
    return tuple(changed)
