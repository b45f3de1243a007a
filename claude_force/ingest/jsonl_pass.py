"""Read what is new in the JSONL files of executions that other programs append to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.columns import Columns
from claude_force.ingest.find_files import FoundFile, found_file, path_text
from claude_force.ingest.jsonl_source import JsonlSource
from claude_force.ingest.loader import Loader
from claude_force.ingest.plan import IngestOptions, ShouldStop, never
from claude_force.ingest.report import SourceReport
from claude_force.ingest.sources import JSONL
from claude_force.ingest.tail import Tail, is_unchanged, resume
from claude_force.ingest.target import Target


@dataclass(slots=True)
class JsonlPass:
    """One pass. `cursors` are those of this host, by path. `is_stopped` tells whether `should_stop` ended it: it is
    asked after each transaction."""

    target: Target
    options: IngestOptions
    cursors: dict[str, Cursor]
    should_stop: ShouldStop = never
    is_stopped: bool = False
    report: SourceReport = field(default_factory=SourceReport)

    def run(self, path: Path) -> SourceReport:
        """Read what is new in a file. Raises DatabaseError, or InputError if rejected lines cannot be written."""
        try:
            self._read(found_file(path), self.cursors.get(path_text(path)))
        except OSError as error:
            self.report.add_problem(path, error.strerror or str(error))
        return self.report

    def _read(self, file: FoundFile, known: Cursor | None) -> None:
        self.report.files += 1
        if is_unchanged(known, file):
            self.report.unchanged += 1
            return
        with resume(file, known, host=self.options.host, source=JSONL) as tail:
            for renamed, cursor in tail.renamed:
                self._read(renamed, cursor)
            if not self._load(tail):
                self._load(tail.from_beginning())

    def _load(self, tail: Tail) -> bool:
        """Store what is new. False if that takes all lines of the file: a new line may equal one before the position,
        and only its ordinal among the equal lines gives it its identity."""
        source = JsonlSource(self.options.zone, self.options.prices)
        loader = Loader(self.target, self.options.rejects, report=self.report)
        # The state of the cursor is the latest timestamp that was read.
        begun_us, is_resumed = int(tail.cursor.state or 0), tail.cursor.position > 0
        latest_us = begun_us
        for batch in source.read(tail, number=tail.cursor.lines + 1, end=tail.cursor.position):
            if is_resumed and any(map(partial(_may_equal_earlier, begun_us), batch.rows.columns())):
                return False
            latest_us = max(latest_us, batch.latest_us)
            if batch.lines:
                tail.advance(batch.end)
            tail.cursor = replace(
                tail.cursor,
                lines=tail.cursor.lines + batch.lines,
                responses=tail.cursor.responses + len(batch.rows),
                rejected=tail.cursor.rejected + len(batch.rejected),
                last_read_us=self.options.now_us,
                state=str(latest_us),
                problem=batch.rejected[-1].reason if source.is_broken_off else None,
            )
            loader.load_batch(tail.cursor.path, batch, tail.cursor)
            if self.should_stop():
                self.is_stopped = True
                return True
        if tail.cursor.problem is None:
            whole = replace(tail.finish(), state=str(latest_us), last_read_us=self.options.now_us)
            self.target.add_rows((), None, whole)
        return True


def _may_equal_earlier(begun_us: int, block: Columns) -> bool:
    """Whether the line of an execution may equal one from before an instant: it had no uid, so that its uid was made
    from its content and its ordinal (UUID version 8), and its time is not later."""
    pairs = zip(block.values("uid"), block.values("timestamp_us"), strict=True)
    return any(instant <= begun_us and uid[6] >> 4 == 8 for uid, instant in pairs)
