"""One pass over transcripts: read what is new, and store it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from claude_force.database.contract import Progress
from claude_force.database.rows.cursor import Cursor
from claude_force.executions.record import column
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.plan import IngestOptions, ShouldStop, never
from claude_force.ingest.prefetch import can_fork, from_second_process
from claude_force.ingest.report import SourceReport
from claude_force.ingest.target import Target
from claude_force.ingest.transcripts.reading import Kind, Step, TranscriptFiles
from claude_force.ingest.transcripts.source import TranscriptBatch

OBSERVATIONS_PER_TRANSACTION, BATCHES_PER_TRANSACTION = 8000, 2000
"""A transaction is committed when it has either of these. With fewer, the same pages are written more often."""

SHORT_BYTES = 16 * 1024 * 1024
"""Less than this is read in a tenth of a second, and a second process is not worth its start."""

_PORTIONS = 4
"""A pass that may be stopped commits so many times as often: what is left to store then takes time, too."""

_PROJECT = column("project")


def _leave_out(_file: FoundFile) -> bool:
    """A file of executions is not read."""
    return False


@dataclass(slots=True)
class TranscriptPass:
    """One pass. `cursors` are those of this host, by path. `read_executions` is called with a file among the
    transcripts that holds executions, when its turn comes; it returns whether the pass ends there. `is_stopped` tells
    whether that or `should_stop` ended it, which is asked after each batch."""

    target: Target
    options: IngestOptions
    cursors: dict[str, Cursor]
    progress: Progress | None = None
    should_stop: ShouldStop = never
    read_executions: Callable[[FoundFile], bool] = _leave_out
    is_stopped: bool = False
    report: SourceReport = field(default_factory=SourceReport)
    folders: set[str] = field(default_factory=set)
    """The folders of the responses that were read."""
    done: list[FoundFile] = field(default_factory=list)
    """The files of which nothing is left to read."""
    _pending: list[TranscriptBatch] = field(default_factory=list)
    _observations: int = 0

    def run(self, found: Sequence[FoundFile]) -> SourceReport:
        """Read what is new in these files, in their order. Raises DatabaseError, or InputError if rejected lines cannot
        be written, or the process that reads was killed; what was stored before that stays."""
        with closing(self._steps(found)) as steps:
            for step in steps:
                self._take(step)
                if self.is_stopped:
                    break
        self._store()
        return self.report

    def _steps(self, found: Sequence[FoundFile]) -> Generator[Step]:
        """The steps of reading, by a second process where there is much to read."""
        files = TranscriptFiles(self.options, self.cursors)
        steps = files.read(found)
        if not can_fork() or files.unread_bytes(found) < SHORT_BYTES:
            return steps
        if self.options.prices is not None:
            # Before the fork: both processes need them.
            self.options.prices.load()
        return from_second_process(steps, "transcripts")

    def _take(self, step: Step) -> None:
        """Take a step of reading in, and decide whether it is the last one."""
        file = step.file
        for path, problem in step.problems:
            self.report.add_problem(path, problem)
        if step.batch is not None:
            self._add(step.batch)
            # Not before the end of a file of which every line was read: it would count as unread.
            self.is_stopped = step.batch.cursor.position < file.size and self.should_stop()
        elif step.kind is Kind.EXECUTIONS:
            self.is_stopped = self.read_executions(file)
        elif step.kind is Kind.UNCHANGED:
            self.report.unchanged += 1
            self.done.append(file)
        else:
            self.done.append(file)
            self.is_stopped = self.should_stop()
            if self.progress is not None:
                self.progress(file.size)
        if step.kind in (Kind.UNCHANGED, Kind.END) or (step.batch is not None and self.is_stopped):
            self.report.files += 1

    def _add(self, batch: TranscriptBatch) -> None:
        path = batch.cursor.path
        self.report.lines += batch.lines
        self.report.skipped.update(batch.skipped)
        if batch.cursor.problem is not None:
            self.report.add_problem(Path(path), batch.cursor.problem)
        if self.options.rejects is not None:
            self.options.rejects.write(path, batch.rejected)
        self.report.reject(path, batch.rejected)
        batch.rejected = []
        self._pending.append(batch)
        self._observations += len(batch.observations)
        portions = 1 if self.should_stop is never else _PORTIONS
        if (
            self._observations * portions >= OBSERVATIONS_PER_TRANSACTION
            or len(self._pending) * portions >= BATCHES_PER_TRANSACTION
        ):
            self._store()

    def _store(self) -> None:
        if not self._pending:
            return
        now_us = self.options.now_us
        observations = [observation for batch in self._pending for observation in batch.observations]
        self.folders.update(filter(None, (observation.row[_PROJECT] for observation in observations)))
        cursors = [replace(batch.cursor, last_read_us=now_us) for batch in self._pending]
        reports = [replace(report, read_us=now_us) for batch in self._pending for report in batch.reports]
        ledgers = [ledger for batch in self._pending for ledger in batch.ledgers]
        parents = [parent for batch in self._pending for parent in batch.parents]
        result = self.target.ingest(observations, cursors, reports, ledgers, parents)
        self.report.added += result.added
        self.report.known += result.known
        self.report.changed += result.changed
        self._pending, self._observations = [], 0
