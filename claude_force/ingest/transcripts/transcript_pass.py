"""Read what is new in transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from claude_force.database.contract import Progress
from claude_force.database.rows.cursor import Cursor
from claude_force.executions.record import CLAUDE_CODE, column
from claude_force.ingest.find_files import FoundFile, found_file
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.report import SourceReport
from claude_force.ingest.tail import is_unchanged, resume, unread
from claude_force.ingest.target import Target
from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.locate import context_of
from claude_force.ingest.transcripts.source import TranscriptBatch, TranscriptSource

OBSERVATIONS_PER_TRANSACTION, BATCHES_PER_TRANSACTION = 2000, 500
"""A transaction is committed when it has either of these."""

_PROJECT = column("project")


@dataclass(slots=True)
class TranscriptPass:
    """One pass. `cursors` are those of this host, by path."""

    target: Target
    options: IngestOptions
    cursors: dict[str, Cursor]
    progress: Progress | None = None
    report: SourceReport = field(default_factory=SourceReport)
    folders: set[str] = field(default_factory=set)
    """The folders of the responses that were read."""
    _pending: list[TranscriptBatch] = field(default_factory=list)
    _observations: int = 0

    def run(self, found: Sequence[FoundFile]) -> SourceReport:
        """Read what is new in these files, in their order. Raises DatabaseError, or InputError if rejected lines cannot
        be written; what was stored before that stays."""
        source = TranscriptSource(self.options.prices, self.options.host or None)
        agent_types = AgentTypes(self.report.add_problem)
        for file in found:
            self.report.files += 1
            known = self.cursors.get(file.name)
            if is_unchanged(known, _refreshed(file)):
                self.report.unchanged += 1
                continue
            for batch in self._read(file, known, source, agent_types):
                self._add(batch)
            if self.progress is not None:
                self.progress(file.size)
        self._store()
        return self.report

    def _read(
        self, file: FoundFile, known: Cursor | None, source: TranscriptSource, agent_types: AgentTypes
    ) -> Iterator[TranscriptBatch]:
        """What is new in a file, after what is new in the file that had its name before."""
        try:
            with resume(file, known, host=self.options.host, source=CLAUDE_CODE) as tail:
                for renamed, cursor in tail.renamed:
                    yield from self._read(renamed, cursor, source, agent_types)
                yield from source.read(tail, context_of(file.path, agent_types))
        except FileNotFoundError:
            self.report.add_problem(file.path, "vanished before it was read")
        except (OSError, ValueError, RecursionError) as error:
            problem = _reason(error)
            self.report.add_problem(file.path, problem)
            cursor = known or unread(file, host=self.options.host, source=CLAUDE_CODE)
            yield TranscriptBatch(replace(cursor, problem=problem))

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
        if self._observations >= OBSERVATIONS_PER_TRANSACTION or len(self._pending) >= BATCHES_PER_TRANSACTION:
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
        result = self.target.ingest(observations, cursors, reports, ledgers)
        self.report.added += result.added
        self.report.known += result.known
        self.report.changed += result.changed
        self._pending, self._observations = [], 0


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"[:200]


def _refreshed(file: FoundFile) -> FoundFile:
    """The file as it is now. Other files were read since it was found, and they may refer to lines added since."""
    try:
        return found_file(file.path)
    except OSError:
        return replace(file, mtime_ns=-1)
