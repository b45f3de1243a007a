"""Where ingestion stores what it read: the store, or a dry run that only counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from claude_force.database.contract import Database
from claude_force.database.queries import known_uids, tombstones
from claude_force.database.queries.sightings import resolver_of
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import IngestResult, Store
from claude_force.executions.columns import Rows
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import ExecutionRow
from claude_force.executions.rollups import Sums
from claude_force.executions.run_parents import RunParent
from claude_force.executions.sightings import Price
from claude_force.executions.totals import Added


class Target(Protocol):
    """What ingestion needs of a `Store`. Every method raises DatabaseError."""

    def add_rows(self, rows: Rows, sums: Sums | None = None, cursor: Cursor | None = None, /) -> Added:
        """Store executions, and how far their file was read. `sums` are those of the rows."""

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],
        reports: Iterable[ReportedUsage] = (),
        ledgers: Sequence[Ledger] = (),
        parents: Sequence[RunParent] = (),
        /,
    ) -> IngestResult:
        """Store observations, and how far their files were read."""

    def restore(self, rows: Sequence[ExecutionRow], /) -> int:
        """Store archived executions again, if exactly these rows were archived; how many."""

    def reprice(self, rows: Sequence[ExecutionRow], /) -> int:
        """Give stored executions the costs of these rows; how many changed."""


@contextmanager
def open_target(database: Database, *, is_dry_run: bool, price: Price | None = None) -> Iterator[Target]:
    """The store of a database, or a dry run over it. `price` prices what several sources saw."""
    if not is_dry_run:
        yield Store(database, price)
        return
    target = DryRun(database)
    try:
        yield target
    finally:
        target.close()


class DryRun:
    """A target that stores nothing and counts what a store would add."""

    def __init__(self, database: Database) -> None:
        from claude_force.ingest.equal_lines import OccurrenceCounter

        self._database = database
        self._added = OccurrenceCounter()
        self._restored = OccurrenceCounter()
        self._remembered: dict[bytes, bytes] = {}

    def add_rows(self, rows: Rows, _sums: Sums | None = None, _cursor: Cursor | None = None, /) -> Added:
        """Count the executions that are neither stored nor were in an earlier call."""
        known = known_uids(self._database, [row[0] for row in rows])
        new = sum(row[0] not in known and self._added.increment(row[0]) == 0 for row in rows)
        return Added(new, len(rows) - new)

    def ingest(
        self,
        observations: Sequence[Observation],
        _cursors: Iterable[Cursor],
        _reports: Iterable[ReportedUsage] = (),
        _ledgers: Sequence[Ledger] = (),
        _parents: Sequence[RunParent] = (),
        /,
    ) -> IngestResult:
        """Count the observations of executions that are neither stored nor were in an earlier call."""
        with self._database.read() as connection:
            resolver = resolver_of(connection, observations)
        resolver.known |= self._remembered
        resolver.match_all(observations)
        self._remembered |= resolver.remembered
        added = len(resolver.new_rows) - len(known_uids(self._database, list(resolver.new_rows)))
        return IngestResult(added, len(observations) - added)

    def restore(self, rows: Sequence[ExecutionRow], /) -> int:
        """Count the executions that were archived exactly so and were in no earlier call."""
        from claude_force.database.writes.archives import tombstone

        with self._database.read() as connection:
            known = tombstones(connection, [row[0] for row in rows])
        found = [row for row in rows if row[0] in known and tombstone(row) == known[row[0]]]
        return sum(self._restored.increment(row[0]) == 0 for row in found)

    def reprice(self, _rows: Sequence[ExecutionRow], /) -> int:
        """0: a dry run does not compare costs."""
        return 0

    def close(self) -> None:
        """Forget what was counted, and delete the temporary file that this may have needed."""
        self._added.clear()
        self._restored.clear()
