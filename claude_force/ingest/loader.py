"""Store batches of executions and report what became of their lines: the one way in for `import`, `ingest` and the
spool."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from claude_force.database.contract import Progress
from claude_force.database.rows.cursor import Cursor
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.target import Target

if TYPE_CHECKING:
    from claude_force.ingest.jsonl_source import Batch


@dataclass(slots=True)
class Loader:
    """Stores executions in `target` and counts them in `report`. `rejects` is None for a dry run. `restore` stores
    archived executions again; otherwise they stay archived. `reprice` gives stored executions the cost that they have
    in the file."""

    target: Target
    rejects: RejectLog | None
    restore: bool = False
    reprice: bool = False
    report: SourceReport = field(default_factory=SourceReport)

    def load(self, path: str, batches: Iterable[Batch], now_us: int, progress: Progress | None = None) -> SourceReport:
        """Store the batches of a whole file. Executions that are dated after `now_us` get a note. Returns `report`.

        Raises DatabaseError or InputError. The batches before that are stored; loading the file again is safe.
        """
        self.report.files += 1
        for batch in batches:
            self._store(batch)
            self._reject(path, batch)
            if batch.latest_us > now_us:
                instants = chain.from_iterable(block.values("timestamp_us") for block in batch.rows.columns())
                future = sum(instant > now_us for instant in instants)
                self.report.add_notes(Counter({"dated after now; reports of the last days leave it out": future}))
            if progress is not None:
                progress(batch.position)
        return self.report

    def load_batch(self, path: str, batch: Batch, cursor: Cursor) -> None:
        """Store one batch of a growing file, and how far it was read. Raises DatabaseError or InputError."""
        # First, because lines before the cursor are never read again.
        self._reject(path, batch)
        self._store(batch, cursor)

    def _store(self, batch: Batch, cursor: Cursor | None = None) -> None:
        added, duplicates = self.target.add_rows(batch.rows, batch.sums, cursor)
        # Lines without a uid come from the program that recorded them, not from an archive.
        is_from_archive = self.restore and duplicates and not batch.without_uid
        restored = 0
        # A block at a time: rows need ten times the memory of blocks.
        for block in batch.rows.columns() if duplicates and (is_from_archive or self.reprice) else ():
            rows = list(block)
            restored += self.target.restore(rows) if is_from_archive else 0
            self.report.repriced += self.target.reprice(rows) if self.reprice else 0
        self.report.lines += batch.lines
        self.report.added += added
        self.report.restored += restored
        self.report.known += duplicates - restored
        self.report.cost_too_low += batch.cost_too_low
        self.report.add_notes(batch.notes)

    def _reject(self, path: str, batch: Batch) -> None:
        if self.rejects is not None:
            self.rejects.write(path, batch.rejected)
        self.report.reject(path, batch.rejected)


@contextmanager
def without_gc() -> Iterator[None]:
    """Rows and entries hold no reference cycles; searching for some takes 5 to 10 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
