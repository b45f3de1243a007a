"""One pass over everything that executions come from: what is new in each file, and nothing twice.

Rows and how far their file was read are stored together, so a pass can end at any moment, and the next one goes on.
What cannot be read is said and does not stop the rest. Time is an argument.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from claude_force.database.contract import Database, Progress
from claude_force.database.queries import ingestion as query
from claude_force.database.queries import known_uids
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import IngestResult, Store
from claude_force.executions.deduplication import Observation, ReportedUsage, Resolution, keys_of
from claude_force.executions.pricing import Costs, PriceTable, Usage
from claude_force.executions.record import CLAUDE_CODE, ExecutionRow, column, getter
from claude_force.executions.rollups import Sums
from claude_force.executions.totals import Added
from claude_force.ingest import spool
from claude_force.ingest.jsonl_source import Batch, JsonlSource, Rejected, holds_executions
from claude_force.ingest.loader import DryRun, RejectLog
from claude_force.ingest.tail import (
    FoundFile,
    begin,
    found_file,
    is_unchanged,
    read_to,
    read_whole,
    renamed,
    storable,
    unread,
    whole_lines,
)
from claude_force.ingest.transcripts.agent_types import Agents
from claude_force.ingest.transcripts.locate import agent_ids, place_of
from claude_force.ingest.transcripts.source import Part, TranscriptSource

WAITING, JSONL = "spool", "executions"
"""Kinds of sources beside the transcripts."""

SIGHTINGS_AT_ONCE, FILES_AT_ONCE = 2000, 500
"""What is stored in one transaction, at the least, while there is more to read."""

REJECTED_NAMED = 3
"""So many rejected lines are named at a time; all of them are in the file of rejected lines."""

PROBLEMS_NAMED = 50
"""So many problems of a source are told apart in one pass."""

_priced_by = getter("model", "timestamp_us", "service_tier", "web_searches")
_INSTANT = column("timestamp_us")
_TOKENS = slice(column("input_tokens"), column("cache_write_1h_tokens") + 1)


@dataclass(slots=True)
class SourceReport:
    """What a pass did with one kind of source. `problems` are paths with what was wrong, `skipped` counts by reason
    what is no execution although it looks like one; `changed` are executions that got better figures. `notes` and
    `cost_too_low` count executions of which a person should hear (see `sources.jsonl`)."""

    files: int = 0
    unchanged: int = 0
    lines: int = 0
    added: int = 0
    known: int = 0
    changed: int = 0
    rejected: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    cost_too_low: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    more_problems: int = 0

    def reject(self, path: str, rejected: Sequence[Rejected]) -> None:
        """Count lines that were refused, and name the first of them."""
        self.rejected += len(rejected)
        for item in rejected[:REJECTED_NAMED]:
            self.say(Path(path), f"line {item.line:,}: {item.reason}")
        if len(rejected) > REJECTED_NAMED:
            first = rejected[REJECTED_NAMED].line
            self.say(Path(path), f"and {len(rejected) - REJECTED_NAMED:,} more lines from line {first:,} on")

    def say(self, path: Path, problem: str) -> None:
        """Note what is wrong with a path, once; of very many only the number is kept."""
        found = (storable(path), problem)
        if len(self.problems) >= PROBLEMS_NAMED:
            self.more_problems += 1
        elif found not in self.problems:
            self.problems.append(found)


class Target(Protocol):
    """Where sightings go."""

    def ingest(
        self, observations: Sequence[Observation], cursors: Iterable[Cursor], reports: Iterable[ReportedUsage]
    ) -> IngestResult:
        """Store them, and how far files were read."""


class RowTarget(Protocol):
    """Where rows of executions go."""

    def add_rows(self, rows: Sequence[ExecutionRow], sums: Sums | None, cursor: Cursor | None) -> Added:
        """Store them, and how far their file was read."""


class DryIntake:
    """A target that stores nothing and says what a store would have added."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = DryRun(database)
        self._learned: dict[bytes, bytes] = {}

    def add_rows(self, rows: Sequence[ExecutionRow], sums: Sums | None, cursor: Cursor | None) -> Added:  # noqa: ARG002
        """Count the executions that are neither stored nor were seen before."""
        return self._rows.add_rows(rows, sums)

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],  # noqa: ARG002  (the protocol's name)
        reports: Iterable[ReportedUsage],  # noqa: ARG002  (the protocol's name)
    ) -> IngestResult:
        """Count the sightings of what is neither stored nor was seen before."""
        with self._database.read() as connection:
            known = query.executions_of(connection, self._database, keys_of(observations))
        found = Resolution(known | self._learned)
        for observation in observations:
            found.resolve(observation)
        self._learned |= found.learned
        added = len(found.rows) - len(known_uids(self._database, list(found.rows)))
        return IngestResult(added, len(observations) - added)


@dataclass(slots=True)
class TranscriptPass:
    """One pass over transcripts. `host` is this machine, `rejects` the file of rejected lines (None: they are only
    counted), `now_us` the time of the pass."""

    target: Target
    source: TranscriptSource
    cursors: dict[str, Cursor]
    rejects: RejectLog | None
    now_us: int
    progress: Progress | None = None
    report: SourceReport = field(default_factory=SourceReport)
    _parts: list[Part] = field(default_factory=list)
    _sightings: int = 0

    def run(self, found: Sequence[FoundFile]) -> SourceReport:
        """Read what is new in these files, in their order. Raises DatabaseError, or InputError where rejected lines
        cannot be written; what was stored before that stays."""
        agents = Agents(self.report.say)
        for file in found:
            self.report.files += 1
            known = self.cursors.get(file.name)
            if is_unchanged(known, _now(file)):
                self.report.unchanged += 1
                continue
            for part in self._read(file, known, agents):
                self._take(part)
            if self.progress is not None:
                self.progress(file.size)
        self._store()
        return self.report

    def _read(self, file: FoundFile, known: Cursor | None, agents: Agents) -> Iterator[Part]:
        """What is new in a file. One that took the place of another is read after what is new in that."""
        try:
            with file.path.open("rb") as stream:
                # As it is now that it is open.
                file = _as_open(stream, file)
                cursor, is_other = begin(stream, file, known, host=self.source.host or "", source=CLAUDE_CODE)
                if is_other and known is not None:
                    for older in renamed(file, known):
                        yield from self._read(older, replace(known, path=older.name), agents)
                place = place_of(file.path, agents)
                yield from self.source.read(stream, file, cursor, place)
        except (OSError, ValueError, RecursionError) as error:
            problem = "vanished before it was read" if isinstance(error, FileNotFoundError) else _reason(error)
            self.report.say(file.path, problem)
            cursor = known or unread(file, host=self.source.host or "", source=CLAUDE_CODE)
            if not isinstance(error, FileNotFoundError):
                yield Part(replace(cursor, problem=problem))

    def _take(self, part: Part) -> None:
        self.report.lines += part.lines
        self.report.skipped.update(part.skipped)
        if part.cursor.problem is not None:
            self.report.say(Path(part.cursor.path), part.cursor.problem)
        if self.rejects is not None:
            self.rejects.write(part.cursor.path, part.rejected)
        self.report.reject(part.cursor.path, part.rejected)
        part.rejected = []
        part.cursor = replace(part.cursor, last_read_us=self.now_us)
        self._parts.append(part)
        self._sightings += len(part.observations)
        if self._sightings >= SIGHTINGS_AT_ONCE or len(self._parts) >= FILES_AT_ONCE:
            self._store()

    def _store(self) -> None:
        if not self._parts:
            return
        observations = [observation for part in self._parts for observation in part.observations]
        reports = [replace(report, read_us=self.now_us) for part in self._parts for report in part.reports]
        taken = self.target.ingest(observations, [part.cursor for part in self._parts], reports)
        self.report.added += taken.added
        self.report.known += taken.known
        self.report.changed += taken.changed
        self._parts, self._sightings = [], 0


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"[:200]


def _now(file: FoundFile) -> FoundFile:
    """The file as it stands now: what was read meanwhile may tell of lines that came after it was found."""
    try:
        return found_file(file.path)
    except OSError:
        return replace(file, mtime_ns=-1)


def _as_open(stream: BinaryIO, file: FoundFile) -> FoundFile:
    return found_file(file.path, os.fstat(stream.fileno()))


@dataclass(slots=True)
class ExecutionsPass:
    """One pass over a file of executions that grows (see `sources.jsonl`). `cursors` are those of this host."""

    target: RowTarget
    zone: tzinfo
    prices: PriceTable | None
    host: str
    cursors: dict[str, Cursor]
    rejects: RejectLog | None
    now_us: int
    report: SourceReport = field(default_factory=SourceReport)

    def run(self, path: Path) -> SourceReport:
        """Read what is new in a file. Raises DatabaseError, or InputError where rejected lines cannot be written."""
        try:
            self._read(found_file(path), self.cursors.get(storable(path)))
        except OSError as error:
            self.report.say(path, error.strerror or str(error))
        return self.report

    def _read(self, file: FoundFile, known: Cursor | None) -> None:
        self.report.files += 1
        if is_unchanged(known, file):
            self.report.unchanged += 1
            return
        with file.path.open("rb") as stream:
            file = _as_open(stream, file)
            cursor, is_other = begin(stream, file, known, host=self.host, source=JSONL)
            if is_other and known is not None:
                for older in renamed(file, known):
                    self._read(older, replace(known, path=older.name))
            if not self._add(stream, file, cursor):
                # A line may be equal to one before the place where reading went on, so all are read.
                cursor, _ = begin(stream, file, None, host=self.host, source=JSONL)
                self._add(stream, file, cursor)

    def _add(self, stream: BinaryIO, file: FoundFile, cursor: Cursor) -> bool:
        """Add what is new from where a cursor stands; False where something could be told from what was read before
        only by reading that again."""
        source = JsonlSource(self.zone, self.prices)
        begun_us, goes_on = int(cursor.state or 0), cursor.position > 0
        latest_us = begun_us
        lines = whole_lines(stream, cursor.position, file.size)
        for batch in source.read(lines, number=cursor.lines + 1, end=cursor.position):
            if goes_on and any(_is_of_content(row) and row[_INSTANT] <= begun_us for row in batch.rows):
                return False
            latest_us = max([latest_us, *(row[_INSTANT] for row in batch.rows)])
            cursor = replace(
                read_to(lines, cursor, batch.end) if batch.lines else cursor,
                lines=cursor.lines + batch.lines,
                responses=cursor.responses + len(batch.rows),
                rejected=cursor.rejected + len(batch.rejected),
                last_read_us=self.now_us,
                state=str(latest_us),
                problem=batch.rejected[-1].reason if source.is_broken_off else None,
            )
            self._store(batch, cursor)
        if cursor.problem is None:
            whole = read_whole(read_to(lines, cursor, cursor.position), file)
            self.target.add_rows((), None, replace(whole, state=str(latest_us), last_read_us=self.now_us))
        return True

    def _store(self, batch: Batch, cursor: Cursor) -> None:
        if self.rejects is not None:
            self.rejects.write(cursor.path, batch.rejected)
        self.report.reject(cursor.path, batch.rejected)
        self.report.notes += batch.notes
        self.report.cost_too_low += batch.cost_too_low
        found = self.target.add_rows(batch.rows, batch.sums, cursor)
        self.report.lines += batch.lines
        self.report.added += found.added
        self.report.known += found.duplicates


def _is_of_content(row: ExecutionRow) -> bool:
    """Whether an execution brought no identity, so that it has one of its content and its ordinal."""
    return bool(row[0][6] >> 4 == 8)


class IngestInputs(NamedTuple):
    """What a pass reads: files of executions that wait for the database, files of executions, transcripts in their
    order; and what was wrong with finding them."""

    waiting: Sequence[Path]
    executions: Sequence[Path]
    transcripts: Sequence[FoundFile]
    report: SourceReport


class IngestOptions(NamedTuple):
    """How a pass reads. Without `prices` there are no costs; without `rejects` it is a dry run, which stores nothing.
    `zone` is that of times without an offset, `host` this machine, `now_us` the time of the pass."""

    prices: PriceTable | None
    zone: tzinfo
    host: str
    rejects: RejectLog | None
    now_us: int


def run_pass(
    database: Database, sources: IngestInputs, options: IngestOptions, progress: Progress | None = None
) -> dict[str, SourceReport]:
    """One pass over all sources; what it did, by the kind of source. Raises DatabaseError, or InputError where rejected
    lines cannot be written; what was stored before that stays, and the next pass goes on."""
    reports = {WAITING: SourceReport(), JSONL: SourceReport(), CLAUDE_CODE: sources.report}
    store = Store(database)
    target = DryIntake(database) if options.rejects is None else store
    if options.rejects is not None:
        _drain(sources.waiting, store, options.rejects, options.now_us, reports[WAITING])
    cursors = known_cursors(database, options.host, CLAUDE_CODE)
    # Any folder may hold files of executions; one that was empty, or held nothing of a transcript, may be one now.
    unknown = [file for file in sources.transcripts if file.name not in cursors or not cursors[file.name].responses]
    executions = {file.path for file in unknown if holds_executions(file.path)}
    known = known_cursors(database, options.host, JSONL)
    following = ExecutionsPass(
        target, options.zone, options.prices, options.host, known, options.rejects, options.now_us, reports[JSONL]
    )
    for path in dict.fromkeys([*sources.executions, *sorted(executions)]):
        following.run(path)
    reading = TranscriptSource(options.prices, options.host or None)
    TranscriptPass(target, reading, cursors, options.rejects, options.now_us, progress, reports[CLAUDE_CODE]).run(
        [file for file in sources.transcripts if file.path not in executions]
    )
    if options.rejects is not None:
        runs = agent_ids(sources.transcripts)
        reports[CLAUDE_CODE].changed += apply_reported_usage(store, options.prices, runs, options.now_us)
    return reports


def new_files(database: Database, sources: IngestInputs, options: IngestOptions) -> list[FoundFile]:
    """The transcripts in which something is new, as far as can be told without opening them."""
    cursors = known_cursors(database, options.host, CLAUDE_CODE)
    return [file for file in sources.transcripts if not is_unchanged(cursors.get(file.name), file)]


def _drain(waiting: Sequence[Path], store: Store, rejects: RejectLog, now_us: int, report: SourceReport) -> None:
    report.files = sum(path.exists() for path in waiting)
    drained = spool.drain(waiting, store, rejects, now_us)
    report.lines, report.added, report.known = drained.read, drained.added, drained.duplicates
    report.rejected = drained.rejected
    for source, item in drained.examples:
        report.say(Path(source), f"line {item.line:,}: {item.reason}")


def known_cursors(database: Database, host: str, source: str) -> dict[str, Cursor]:
    """How far the files of a source on this host were read, by path."""
    with database.read() as connection:
        return {cursor.path: cursor for cursor in query.cursors(connection, host) if cursor.source == source}


def apply_reported_usage(store: Store, prices: PriceTable | None, runs: Collection[str], now_us: int) -> int:
    """Take better figures for responses whose usage was never final, where another record told them; how many. `runs`
    are the sub-agents whose files were in this pass."""
    with store.database.read() as connection:
        if not query.reported(connection):
            return 0
    return store.apply_reported_usage(lambda row: _priced(row, prices), runs, now_us)


def _priced(row: ExecutionRow, prices: PriceTable | None) -> ExecutionRow:
    """The row with the costs of its tokens; without, where there are no prices."""
    model, instant, tier, searches = _priced_by(row)
    costs: Costs = (None, None, None)
    if prices is not None:
        costs = prices.complete(model, Usage(*row[_TOKENS]), instant, costs, tier=tier, searches=searches)
    priced = list(row)
    for name, value in zip(("cost_nanousd", "reference_cost_nanousd", "price_version"), costs, strict=True):
        priced[column(name)] = value
    return tuple(priced)
