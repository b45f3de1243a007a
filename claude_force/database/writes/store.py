"""Every write of executions. Adding is idempotent: a record whose `uid` is stored already changes nothing.

The transaction that writes rows also updates the roll-ups, or lists the rows as pending, so that roll-ups and pending
rows together always cover all rows. Many rows are rolled up at once; a few become pending, since each recorded
execution would otherwise change a dozen sums on a dozen pages.

On a server, other transactions add rows and list them as pending at any moment; each statement sees what was committed
before it. See `rollups` for the lock that protects the sums.

An error from `add` does not mean that the records are absent (a commit can fail after it took effect). The right
reaction is to add the same records again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from claude_force.database import queries
from claude_force.database.contract import Connection, Database, Progress, Row
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.queries.filter import where, within
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import sightings
from claude_force.database.writes.archives import archive_rows, forget, restore_rows, tombstone
from claude_force.database.writes.executions import DIRECT_ROLLUP_ROWS, insert_alone, insert_row, insert_rows
from claude_force.database.writes.export_queue import enqueue
from claude_force.database.writes.ingestion import IngestResult, apply_reported_usage, ingest, save_cursors
from claude_force.database.writes.ledgers import save_ledgers
from claude_force.database.writes.rollups import apply_pending, rebuild, replace_sums
from claude_force.database.writes.run_parents import list_all_runs, save_parents
from claude_force.database.writes.step_usage import forget_deleted, replace_step_usage
from claude_force.executions.billed_steps import decode_steps, encode_steps, keep_recorded
from claude_force.executions.columns import Rows
from claude_force.executions.costs import has_other_costs, keep_known_costs, known_cost
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import (
    COST_GIVEN,
    COST_NONE,
    ExecutionMetrics,
    ExecutionRow,
    columns,
    getter,
    to_row,
)
from claude_force.executions.rollups import Sums
from claude_force.executions.run_parents import RunParent
from claude_force.executions.sightings import Price
from claude_force.executions.statistics import DailyTokens
from claude_force.executions.totals import Added
from claude_force.time_windows import ALL_TIME, Window

PENDING_LIMIT = 1000
"""With so many pending rows, the next transaction that checks rolls them all up."""

PENDING_CHECK_EVERY = 50
"""A store checks the number of pending rows at every so many small additions."""

_COSTS = ("cost_nanousd", "reference_cost_nanousd", "price_version", "recorded_cost_nanousd", "recorded_basis", "steps")
_FORGET_DELETED = """
DELETE FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE executions.uid = uncounted.uid)
"""

_STATISTICS = f"daily_statistics ({', '.join(DailyTokens._fields)})"
_SAVE_STATISTICS = """
ON CONFLICT (machine, day, model) DO UPDATE
SET tokens = excluded.tokens, has_cache_tokens = excluded.has_cache_tokens
"""

_costs_of = getter(*_COSTS)
_used_of = getter(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "service_tier", "web_searches", "inference_geo", "provider",
)  # fmt: skip
"""What a cost depends on, apart from the model and the time."""


class Store:
    """The write side of a database. `price` gives an execution that several sources saw the costs of its usage."""

    def __init__(self, database: Database, price: Price | None = None) -> None:
        self.database = database
        self._price = price
        self._adds = 0

    def add(self, records: Iterable[ExecutionMetrics]) -> Added:
        """Store records in one transaction; returns how many were new.

        Raises DatabaseError. Then either all of them are stored or none is, and adding them again is safe.
        """
        return self.add_rows([to_row(record) for record in records])

    def add_new(self, record: ExecutionMetrics) -> None:
        """`add` for a record whose uid was just made, so that no store has it. A server stores it in one statement.

        Raises DatabaseError. Then it may be stored nevertheless, so it is added again by `add`.
        """
        row = to_row(record)
        if not insert_alone(self.database, row):
            self.add_rows([row])
        elif self._is_time_to_check():
            with self.database.write() as connection:
                self._apply_many_pending(connection)

    def add_rows(self, rows: Rows, sums: Sums | None = None, cursor: Cursor | None = None) -> Added:
        """`add` for rows (see `record.to_row`). `sums` are those of the rows, if they are known. `cursor` is how far
        their file was read, stored in the same transaction."""
        if not rows and cursor is None:
            return Added()
        with self.database.write() as connection:
            if len(rows) >= DIRECT_ROLLUP_ROWS:
                # First, so that a transaction that waits for this lock holds no other.
                connection.lock_rollups()
            if len(rows) == 1 < DIRECT_ROLLUP_ROWS:
                added = insert_row(connection, next(iter(rows)))
            else:
                added = insert_rows(connection, rows, sums) if rows else 0
            if cursor is not None:
                save_cursors(connection, [cursor])
            if 0 < added < DIRECT_ROLLUP_ROWS and self._is_time_to_check():
                self._apply_many_pending(connection)
        return Added(added, len(rows) - added)

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],
        reports: Iterable[ReportedUsage] = (),
        ledgers: Sequence[Ledger] = (),
        parents: Sequence[RunParent] = (),
    ) -> IngestResult:
        """Store observations, ledgers and parents of runs from files, and how far the files were read, in one
        transaction.

        Raises DatabaseError. Then either all of it is stored or nothing is, and ingesting it again is safe.
        """
        with self.database.write() as connection:
            connection.lock_rollups()
            # First, so that the runs of the executions are listed already.
            save_parents(connection, parents)
            result = ingest(connection, self.database, observations, cursors, reports, self._price)
            save_ledgers(connection, ledgers)
            if file_queries.pending_count(connection) >= PENDING_LIMIT:
                apply_pending(connection)
        return result

    def save_statistics(self, days: Sequence[DailyTokens], cursor: Cursor) -> None:
        """Store the days of a file of statistics in place of what they were, and that the file was read. Days that it
        no longer has are kept: Claude Code drops old ones when it counts anew."""
        with self.database.write() as connection:
            connection.insert_all(_STATISTICS, [tuple(day) for day in days], _SAVE_STATISTICS)
            save_cursors(connection, [cursor])

    def apply_reported_usage(
        self, price: Callable[[ExecutionRow], ExecutionRow], runs: Collection[str], now_us: int
    ) -> int:
        """Give executions the usage that was reported for them, where their own was never final; returns how many.

        `price` returns an execution with the cost of its usage; `runs` are those whose own files were read after the
        reports. A report stays until its response is stored, or it is too old."""
        with self.database.write() as connection:
            connection.lock_rollups()
            return apply_reported_usage(connection, price, runs, now_us)

    def _is_time_to_check(self) -> bool:
        """Whether to look at the number of pending rows: looking takes as long as an insert, so not every time."""
        self._adds += 1
        return self._adds % PENDING_CHECK_EVERY == 1

    def _apply_many_pending(self, connection: Connection) -> None:
        """Roll up the pending rows if they are many."""
        # Without waiting for the lock: recording an execution must not wait for an import.
        if file_queries.pending_count(connection) >= PENDING_LIMIT and connection.try_lock_rollups():
            apply_pending(connection)

    def reprice(self, rows: Sequence[ExecutionRow]) -> int:
        """Give stored executions the costs of these rows, in one transaction; returns how many changed. Rows that are
        not stored, and rows without a cost, change nothing, but for steps with one in an execution without. A cost that
        stays the same keeps its price version.

        The execution keeps the cost from before its first change, and where that came from."""
        repriced = {row[0]: row for row in rows if known_cost(row) is not None}
        if not repriced:
            return 0
        with self.database.write() as connection:
            connection.lock_rollups()
            stored = queries.rows_of(connection, list(repriced))
            # After reading, so that every row that was read is rolled up with the values that were read.
            apply_pending(connection)
            # Not if its usage changed since it was priced: then its cost is newer.
            known = [row for row in stored if _used_of(row) == _used_of(repriced[row[0]])]
            wanted = [(row, keep_known_costs(row, repriced[row[0]])) for row in known]
            changes = [(row, _with_costs(row, _costs_of(new))) for row, new in wanted if has_other_costs(row, new)]
            if changes:
                _change_costs(connection, *zip(*changes, strict=True))
        return len(changes)

    def delete(self, window: Window) -> int:
        """Delete the executions of a window; returns how many. Archived ones are deleted by whole days (UTC)."""
        period, parameters = within(window)
        with self.database.write() as connection:
            connection.lock_rollups()
            apply_pending(connection)
            deleted = connection.execute(f"DELETE FROM executions{where(period)}", parameters)
            if deleted:
                connection.execute(_FORGET_DELETED)
                forget_deleted(connection)
            forgotten = forget(connection, window)
            if deleted or forgotten:
                sightings.forget_deleted(connection)
                rebuild(connection, window)
        return deleted + forgotten

    def archive(self, rows: Sequence[ExecutionRow], now_us: int) -> int:
        """Delete the executions that are stored exactly as these rows, and list them as archived; returns how many. No
        total changes. The caller must have read the rows from an archive that is safely on the disk."""
        if not rows:
            return 0
        digests = list(map(tombstone, rows))
        with self.database.write() as connection:
            connection.lock_rollups()
            return archive_rows(connection, rows, digests, now_us)

    def restore(self, rows: Sequence[ExecutionRow]) -> int:
        """Store the rows again that are archived exactly so; returns how many. No total changes."""
        with self.database.read() as connection:
            known = queries.tombstones(connection, [row[0] for row in rows])
        candidates = {row[0]: row for row in rows if row[0] in known}
        digests = {uid: tombstone(row) for uid, row in candidates.items()}
        same = [uid for uid, digest in digests.items() if digest == known[uid]]
        if not same:
            return 0
        with self.database.write() as connection:
            connection.lock_rollups()
            rows, matching = [candidates[uid] for uid in same], [digests[uid] for uid in same]
            return restore_rows(connection, rows, matching)

    def rebuild(self, progress: Progress | None = None) -> int:
        """Rebuild all roll-ups from the executions, in one transaction, and list their runs; returns how many
        executions were read."""
        with self.database.write() as connection:
            connection.lock_rollups()
            list_all_runs(connection)
            enqueue(connection, [row[0] for row in connection.fetch("DELETE FROM uncounted RETURNING uid")])
            return rebuild(connection, ALL_TIME, progress)


def _change_costs(connection: Connection, before: Sequence[ExecutionRow], after: Sequence[ExecutionRow]) -> None:
    """Change the costs of stored rows, and the sums and queues that depend on them."""
    connection.update_all("executions", ("uid", *_COSTS), [(row[0], *_costs_of(row)) for row in after])
    replace_step_usage(connection, before, after)
    replace_sums(connection, before, after)
    enqueue(connection, [row[0] for row in before], is_change=True)


def _with_costs(row: ExecutionRow, costs: Row) -> ExecutionRow:
    """The row with these costs (in the order of _COSTS). If the cost itself stays the same, so do its price version and
    the recorded cost."""
    old_cost, _, old_version, recorded, basis, old_steps = _costs_of(row)
    cost, reference, version, *_, steps = costs
    # Without a cost, steps get theirs.
    is_first = basis is None and (cost != old_cost or cost is None)
    if cost == old_cost:
        version = old_version
    if is_first:
        recorded, basis = old_cost, COST_NONE if old_cost is None else old_version or COST_GIVEN
    steps = encode_steps(keep_recorded(decode_steps(old_steps), decode_steps(steps), is_first=is_first))
    changed = list(row)
    for position, value in zip(columns(*_COSTS), (cost, reference, version, recorded, basis, steps), strict=True):
        changed[position] = value
    return tuple(changed)
