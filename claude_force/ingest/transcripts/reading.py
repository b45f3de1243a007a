"""Read what is new in transcripts, step by step, without storing anything."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.record import CLAUDE_CODE
from claude_force.ingest.find_files import FoundFile, found_file
from claude_force.ingest.jsonl_source import holds_executions
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.tail import is_unchanged, resume, unread
from claude_force.ingest.transcripts.agent_types import AgentTypes
from claude_force.ingest.transcripts.context import context_of
from claude_force.ingest.transcripts.source import TranscriptBatch, TranscriptSource


class Kind(Enum):
    """What a step is: some lines of a file, its end, or the whole of a file that has nothing new, or that holds
    executions in place of a transcript."""

    BATCH = 1
    END = 2
    UNCHANGED = 3
    EXECUTIONS = 4


class Step(NamedTuple):
    """A step of reading a file. `problems` were met since the step before, each with its path."""

    kind: Kind
    file: FoundFile
    batch: TranscriptBatch | None
    problems: list[tuple[Path, str]]


@dataclass(slots=True)
class TranscriptFiles:
    """Reads transcripts. `cursors` say how far those of this machine were read, by path."""

    options: IngestOptions
    cursors: dict[str, Cursor]
    _problems: list[tuple[Path, str]] = field(default_factory=list)

    def unread_bytes(self, found: Iterable[FoundFile]) -> int:
        """How much of some files is new, at most."""
        total = 0
        for file in found:
            known = self.cursors.get(file.name)
            if not is_unchanged(known, file):
                total += max(file.size - known.position, 0) if known is not None else file.size
        return total

    def read(self, found: Iterable[FoundFile]) -> Generator[Step]:
        """The steps of reading what is new in some files, in their order."""
        source = TranscriptSource(self.options.prices, self.options.host or None, self.options.user)
        agent_types, has_read = AgentTypes(self._add_problem), False
        for file in found:
            known = self.cursors.get(file.name)
            # A file is asked as long as no response was read from it: it may have been empty before.
            if not (known is not None and known.responses) and holds_executions(file.path):
                yield self._step(Kind.EXECUTIONS, file)
            elif is_unchanged(known, _refreshed(file) if has_read else file):
                yield self._step(Kind.UNCHANGED, file)
            else:
                has_read = True
                for batch in self._read_file(file, known, source, agent_types):
                    yield self._step(Kind.BATCH, file, batch)
                yield self._step(Kind.END, file)

    def _step(self, kind: Kind, file: FoundFile, batch: TranscriptBatch | None = None) -> Step:
        problems, self._problems = self._problems, []
        return Step(kind, file, batch, problems)

    def _add_problem(self, path: Path, problem: str) -> None:
        self._problems.append((path, problem))

    def _read_file(
        self, file: FoundFile, known: Cursor | None, source: TranscriptSource, agent_types: AgentTypes
    ) -> Iterator[TranscriptBatch]:
        """What is new in a file, after what is new in the file that had its name before."""
        try:
            with resume(file, known, host=self.options.host, source=CLAUDE_CODE) as tail:
                for renamed, cursor in tail.renamed:
                    yield from self._read_file(renamed, cursor, source, agent_types)
                yield from source.read(tail, context_of(file.path, agent_types))
        except FileNotFoundError:
            self._add_problem(file.path, "vanished before it was read")
        except (OSError, ValueError, RecursionError) as error:
            problem = _reason(error)
            self._add_problem(file.path, problem)
            cursor = known or unread(file, host=self.options.host, source=CLAUDE_CODE)
            yield TranscriptBatch(replace(cursor, problem=problem))


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"[:200]


def _refreshed(file: FoundFile) -> FoundFile:
    """The file as it is now. Other files were read since it was found, and they may refer to lines added since."""
    try:
        return found_file(file.path)
    except OSError:
        return file._replace(mtime_ns=-1)
