"""Read executions from a JSONL file: of the guide, of claude-force 1.3, or exported by `analytics export`.

Every line that is not blank becomes a row or a `Rejected`; a bad line does not stop the others. A line without a `uid`
gets one from its content and its ordinal among the equal lines of the file. So two equal lines are two executions, and
reading the file again gives the same uids. Nothing here knows the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.columns import Blocks, by_column
from claude_force.executions.content_uids import content_identity, content_uid
from claude_force.executions.costs import billed_record, price_record
from claude_force.executions.jsonl.codec import RECORD, DecodedLine, content_digest, decode_line
from claude_force.executions.jsonl.damaged_lines import lost_bytes, split_damaged
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, Line, Lines, read_chunks
from claude_force.executions.jsonl.usual_lines import UsualLines
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, to_row
from claude_force.executions.rollups import Sums, add_block
from claude_force.ingest.equal_lines import OccurrenceCounter
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.transcripts.entries import ENTRY

_TOO_LOW = 100
"""A cost this many times below list price is wrong. The price table of claude-force 1.3 is 1,000 times too low for the
models that it knew, and about 270 times for the one model that it confused with another."""

BLOCK = 8000
"""Lines that are decoded together. More need more memory."""

BATCH = 2 * BLOCK
"""Lines in one transaction. With fewer, each changes more roll-ups per line; with more, others wait longer for it."""

_PEEKED_LINES = 10
"""How many lines are searched for the first object of a file."""

EXCERPT_BYTES = 2000
"""How much of a rejected line is kept in `rejected.jsonl`."""


@dataclass(slots=True)
class Batch:
    """The executions of some lines of a file.

    `sums` are the roll-up sums of `rows`, and `latest_us` is the latest of their instants; 0 without rows. `notes`
    counts rows that need attention, by text; `without_uid` counts lines that brought no uid. `lines` is the number of
    lines read, blank ones included, and `end` the offset after them. `position` is the offset on disk, which is smaller
    for a gzip file; it is for progress bars.
    """

    rows: Blocks = field(default_factory=Blocks)
    sums: Sums = field(default_factory=Sums)
    latest_us: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    cost_too_low: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    without_uid: int = 0
    position: int = 0
    lines: int = 0
    end: int = 0


@dataclass(slots=True)
class JsonlSource:
    """How to read a file. `zone` applies to times without an offset. `prices` (if any) fill in the costs that lines
    without a uid lack; with `reprice` they replace the costs of every line. `is_broken_off` is set, in the process that
    reads, if an error ended the file early."""

    zone: tzinfo
    prices: PriceTable | None = None
    reprice: bool = False
    is_broken_off: bool = False
    _occurrences: OccurrenceCounter = field(default_factory=OccurrenceCounter)

    def read(
        self, stream: Lines, position: Callable[[], int] = lambda: 0, *, number: int = 1, end: int = 0
    ) -> Iterator[Batch]:
        """The batches of one file. `number` and `end` are the line number and offset at which the stream is, if not at
        its beginning. A read error becomes one Rejected for the rest of the file. Raises InputError if there is no room
        for the temporary file that large files without uids need."""
        usual = UsualLines(self.zone, self.prices, self._occurrences.increment_all, reprice=self.reprice)
        batch = Batch()
        try:
            for chunk in read_chunks(stream, min(BLOCK, BATCH), number=number, offset=end):
                number, end = chunk.number + len(chunk.raw), chunk.end
                asked = self._occurrences.asked
                self._add(batch, chunk, usual)
                batch.position, batch.lines, batch.end = position(), batch.lines + len(chunk.raw), end
                batch.without_uid += self._occurrences.asked - asked
                # What is rejected is kept with the beginning of its line.
                if batch.lines >= BATCH or len(batch.rejected) >= BLOCK:
                    yield batch
                    batch = Batch()
            if batch.lines:
                yield batch
        except READ_ERRORS as error:
            if batch.lines:
                yield batch
            self.is_broken_off = True
            reason = f"the rest of the file cannot be read: {error}"
            yield Batch(rejected=[Rejected(number, end, reason, b"")], position=position())
        finally:
            self._occurrences.clear()

    def _add(self, batch: Batch, chunk: Chunk, usual_lines: UsualLines) -> None:
        """Add the lines of a chunk to a batch."""
        # The beginning of a line over the limit could pass for a whole line.
        usual = usual_lines.read(chunk.raw[:-1] if chunk.is_cut else chunk.raw)
        others = [*usual.others, len(chunk.raw) - 1] if chunk.is_cut else usual.others
        found = {index: self._rows(line, batch) for index, line in chunk.lines(others) if line is not None}
        block = usual.rows
        if any(found.values()):
            rows = usual.by_line(len(chunk.raw))
            parts = (found.get(index, ()) if row is None else (row,) for index, row in enumerate(rows))
            block = by_column(list(chain.from_iterable(parts)))
        batch.latest_us = max([batch.latest_us, *block.values("timestamp_us")])
        batch.rows.add(block)
        add_block(batch.sums, block)

    def _rows(self, line: Line, batch: Batch) -> list[ExecutionRow]:
        """The rows of a line that the fast path left. Their notes, and what is rejected, go into the batch."""
        try:
            if line.too_long:
                raise InvalidRecord("", f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB")
            return [to_row(self._record(line.data, batch))]
        except InvalidJson as error:
            return self._whole_rows(line, batch, str(error))
        except InvalidRecord as error:
            batch.rejected.append(Rejected(line.number, line.offset, str(error), line.data[:EXCERPT_BYTES]))
            return []

    def _whole_rows(self, line: Line, batch: Batch, reason: str) -> list[ExecutionRow]:
        """The rows of what is whole on a damaged line. `reason` is why the line as a whole cannot be read."""
        rows: list[ExecutionRow] = []
        parts = split_damaged(line.data, RECORD)
        for part in parts:
            data = line.data[part.start : part.end]
            try:
                if not part.is_whole:
                    raise InvalidJson(lost_bytes(part, line.start) if len(parts) > 1 else reason)
                rows.append(to_row(self._record(data, batch)))
            except InvalidRecord as error:
                is_cut_off = not (line.complete or part.is_whole or part.end < len(line.data))
                cause = f"the last line is cut off: {error}" if is_cut_off else str(error)
                offset = line.offset + (line.start + part.start if part.start else 0)
                batch.rejected.append(Rejected(line.number, offset, cause, data[:EXCERPT_BYTES]))
        return rows

    def _record(self, data: bytes, batch: Batch) -> ExecutionMetrics:
        decoded = decode_line(data, self.zone)
        fields = decoded.fields
        has_uid = "uid" in fields
        if not has_uid:
            fields["uid"] = self._identity(decoded)
        record = ExecutionMetrics(**fields)
        batch.notes.update(decoded.notes)
        if self.prices is None or (has_uid and not self.reprice):
            # An exported line keeps its cost, also an unknown one.
            return record
        if "workflow_name" in decoded.aliases and not self.reprice and _is_too_low(record, self.prices):
            # Next to a reference cost, a wrong cost would show as savings: leave it without one.
            batch.cost_too_low += 1
            return record
        return price_record(self.prices, record, replace=self.reprice)

    def _identity(self, decoded: DecodedLine) -> str:
        digest, instant = content_digest(decoded), decoded.fields["timestamp_us"]
        return content_uid(instant, digest, self._occurrences.increment(content_identity(instant, digest, 0)))


def _is_too_low(record: ExecutionMetrics, prices: PriceTable) -> bool:
    """Whether the cost of a record is wrong by the price table of claude-force 1.3."""
    if record.cost_nanousd is None or record.input_tokens is None:
        return False
    model, timestamp_us, usage, modifiers, searches, _ = billed_record(record)
    listed = prices.cost(model, usage, timestamp_us, modifiers, searches)
    return listed is not None and record.cost_nanousd * _TOO_LOW < listed


def holds_executions(path: Path) -> bool:
    """Whether the first object of a file is an execution (and not, for example, an entry of a transcript)."""
    found = first_object(path)
    return found is not None and "agent_name" in found and "success" in found


def holds_objects(path: Path) -> bool:
    """Whether a file begins with JSON objects. True also for an empty file, and for one that cannot be read."""
    try:
        return path.stat().st_size == 0 or first_object(path) is not None
    except OSError:
        return True


def first_object(path: Path) -> dict[str, Any] | None:
    """The first JSON object among the first lines of a file; None if there is none, or it cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            lines = islice(iter(partial(stream.readline, LINE_LIMIT_BYTES), b""), _PEEKED_LINES)
            return next((found for line in lines if (found := object_in(line)) is not None), None)
    except OSError:
        # Reading the file reports the problem.
        return None


def object_in(line: bytes) -> dict[str, Any] | None:
    """The first JSON object of a line, also of a damaged one; None if there is none."""
    line = line.removeprefix(BOM)
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        whole = [part for kind in (RECORD, ENTRY) for part in split_damaged(line, kind) if part.is_whole]
        inner = line[whole[0].start : whole[0].end] if whole else line
        return object_in(inner) if inner != line else None
    return found if isinstance(found, dict) else None
