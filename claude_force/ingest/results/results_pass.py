"""Read what is new in files with output of `claude -p`, and in the standard input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path

from claude_force.database.rows.cursor import Cursor
from claude_force.errors import InputError, InvalidRecord
from claude_force.executions.record import RESULT
from claude_force.ingest.find_files import FoundFile, found_file
from claude_force.ingest.input import STDIN_NAME
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.report import SourceReport
from claude_force.ingest.results.runs import RunReader
from claude_force.ingest.results.source import Counts, read_results
from claude_force.ingest.tail import is_unchanged, unread
from claude_force.ingest.target import Target

_HEAD_BYTES = 4096


@dataclass(slots=True)
class ResultsPass:
    """One pass. `cursors` are those of this host, by path. A file that changed is read as a whole: what it had before
    is recognised."""

    target: Target
    options: IngestOptions
    cursors: dict[str, Cursor]
    report: SourceReport = field(default_factory=SourceReport)

    def run(self, paths: Iterable[Path]) -> SourceReport:
        """Read what is new in these files. Raises DatabaseError, or InputError if rejected lines cannot be written."""
        for path in paths:
            try:
                self._read_file(found_file(path))
            except OSError as error:
                self.report.add_problem(path, error.strerror or str(error))
        return self.report

    def run_stream(self, stream: BufferedReader, known_totals: Mapping[str, int]) -> SourceReport:
        """Read the standard input, or a copy of an output, to its end; `known_totals` as in `RunReader`. Raises
        InputError if it is not output of `claude -p`."""
        self.report.files += 1
        reader = self._reader(known_totals)
        try:
            counts = read_results(stream, stream.peek(_HEAD_BYTES), reader)
        except InvalidRecord as error:
            raise InputError(f"{STDIN_NAME}: {error}") from None
        if not reader.sessions and counts.lines:
            raise InputError(
                f"{STDIN_NAME} is not output of claude -p --output-format json or stream-json; "
                "for executions: claude-force import -"
            )
        if not counts.lines:
            self.report.add_problem(Path(STDIN_NAME), "nothing came; did claude -p end before its first line?")
        self._store(STDIN_NAME, reader, counts, self.options.now_us, None)
        return self.report

    def _reader(self, known_totals: Mapping[str, int] = {}) -> RunReader:
        return RunReader(self.options.prices, self.options.host or None, known_totals, user=self.options.user)

    def _read_file(self, file: FoundFile) -> None:
        self.report.files += 1
        if is_unchanged(self.cursors.get(file.name), file):
            self.report.unchanged += 1
            return
        reader = self._reader()
        with file.path.open("rb") as stream:
            try:
                counts = read_results(stream, stream.peek(_HEAD_BYTES), reader)
            except InvalidRecord as error:
                self.report.add_problem(file.path, str(error))
                return
        cursor = replace(
            unread(file, host=self.options.host, source=RESULT),
            position=file.size,
            size=file.size,
            mtime_ns=file.mtime_ns,
            lines=counts.lines,
            responses=sum(len(session.runs) for session in reader.sessions.values()),
            rejected=len(counts.rejected),
            last_read_us=self.options.now_us,
        )
        self._store(file.name, reader, counts, file.mtime_ns // 1000, cursor)

    def _store(self, name: str, reader: RunReader, counts: Counts, end_us: int, cursor: Cursor | None) -> None:
        if self.options.rejects is not None:
            self.options.rejects.write(name, counts.rejected)
        self.report.reject(name, counts.rejected)
        observations = list(reader.observations(end_us))
        result = self.target.ingest(observations, [cursor] if cursor else [])
        self.report.lines += counts.lines
        self.report.added += result.added
        self.report.known += result.known
        self.report.changed += result.changed
        self.report.add_notes(Counter(reader.notes))
