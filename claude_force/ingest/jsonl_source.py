"""JSONL files of the guide, of claude-force 1.3 and of our own export: bytes to records.

Reading never stops at a bad line and never looks at the database: every line that is not blank becomes a row or a
`Rejected`. A line without a `uid` gets one from its content and from its ordinal among the equal lines of
this file: two equal lines are two executions, and reading the file again gives the same identities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from claude_force.errors import InvalidRecord
from claude_force.executions.jsonl.codec import DecodedLine, content_digest, decode_line
from claude_force.executions.jsonl.fast_decoder import FastDecoder
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, Line, Lines, read_chunks
from claude_force.executions.jsonl.occurrences import OccurrenceCounter
from claude_force.executions.pricing import PriceTable, usage_of
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, content_identity, content_uid, to_row
from claude_force.executions.rollups import Sums, sum_up

_TOO_LOW = 100
"""How many times below list price a cost must be to be called too low. The table of claude-force 1.3 is 1,000 times
too low for the models that it knew, and about 270 times for the one that it took for another."""

BATCH = 8000
"""Lines in one transaction: fewer would change more sums for each, more would take more memory."""

_LOOKED_AT = 10
"""Lines in which the first whole object of a file is looked for."""

EXCERPT_BYTES = 2000
"""How much of a rejected line is kept."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is no execution: where it is, why not, and how it begins."""

    line: int
    offset: int
    reason: str
    excerpt: bytes


@dataclass(slots=True)
class Batch:
    """Some lines of a file: the rows that they became, what these come to, what a person should hear about them, and
    the lines that were refused. `unnamed` lines brought no uid. `position` is how many bytes of the file were read for
    it; `end` is where the next of its `lines` begins, in what is read."""

    rows: list[ExecutionRow] = field(default_factory=list)
    sums: Sums | None = None
    notes: Counter[str] = field(default_factory=Counter)
    cost_too_low: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    unnamed: int = 0
    position: int = 0
    lines: int = 0
    end: int = 0


@dataclass(slots=True)
class JsonlSource:
    """How to read a file. `prices` fills in the costs that lines without a uid lack (None: it fills in none); with
    `reprice` it replaces the costs of every line. `is_broken_off` tells, in the process
    that read, whether the end was not reached."""

    zone: tzinfo
    prices: PriceTable | None = None
    reprice: bool = False
    is_broken_off: bool = False
    _ordinals: OccurrenceCounter = field(default_factory=OccurrenceCounter)

    def read(
        self, stream: Lines, position: Callable[[], int] = lambda: 0, *, number: int = 1, end: int = 0
    ) -> Iterator[Batch]:
        """Everything in one file, in its order; `number` and `end` are where it stands, when that is not its beginning.
        Where the file cannot be read on, the rest is one Rejected. Raises InputError where there is no disk to remember
        the lines of a large file."""
        quickly = FastDecoder(self.zone, self.prices, self._ordinals, reprice=self.reprice).read
        try:
            for chunk in read_chunks(stream, BATCH, number=number, offset=end):
                number, end = chunk.number + len(chunk.raw), chunk.end
                asked = self._ordinals.asked
                # What is over the limit may begin with a whole line.
                usual = chunk.raw[:-1] if chunk.is_cut else chunk.raw
                rows = [quickly(data) for data in usual]
                batch = self._batch(chunk, rows + [None] * (len(chunk.raw) - len(usual)))
                batch.position, batch.lines, batch.end = position(), len(chunk.raw), end
                batch.unnamed = self._ordinals.asked - asked
                yield batch
        except READ_ERRORS as error:
            self.is_broken_off = True
            reason = f"the file cannot be read on from here: {error}"
            yield Batch(rejected=[Rejected(number, end, reason, b"")], position=position())
        finally:
            self._ordinals.clear()

    def _batch(self, chunk: Chunk, rows: list[ExecutionRow | None]) -> Batch:
        """The batch of a chunk, of whose lines some were read quickly."""
        batch = Batch()
        for place, line in chunk.lines([place for place, row in enumerate(rows) if row is None]):
            if line is not None:
                rows[place] = self._row(line, batch)
        batch.rows = [row for row in rows if row is not None]
        batch.sums = sum_up(batch.rows)
        return batch

    def _row(self, line: Line, batch: Batch) -> ExecutionRow | None:
        """The row of an unusual line, with what is to be said about it in its batch."""
        try:
            return to_row(self._record(line, batch))
        except InvalidRecord as error:
            batch.rejected.append(Rejected(line.number, line.offset, str(error), line.data[:EXCERPT_BYTES]))
            return None

    def _record(self, line: Line, batch: Batch) -> ExecutionMetrics:
        if line.too_long:
            raise InvalidRecord("", f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB")
        try:
            draft = decode_line(line.data, self.zone)
        except InvalidRecord as error:
            if error.field or line.complete:
                raise
            raise InvalidRecord("", f"the last line is cut off: {error.reason}") from None
        fields = draft.fields
        is_ours = "uid" in fields
        if not is_ours:
            fields["uid"] = self._identity(draft)
        record = ExecutionMetrics(**fields)
        batch.notes.update(draft.notes)
        if self.prices is None or (is_ours and not self.reprice):
            # What we exported has the cost that it had, also where that is unknown.
            return record
        if "workflow_name" in draft.aliases and not self.reprice and _is_too_low(record, self.prices):
            # A false cost must not be compared with a true one: it would show as savings.
            batch.cost_too_low += 1
            return record
        return self.prices.priced(record, replace=self.reprice)

    def _identity(self, draft: DecodedLine) -> str:
        digest, instant = content_digest(draft), draft.fields["timestamp_us"]
        return content_uid(instant, digest, self._ordinals.next(content_identity(instant, digest, 0)))


def _is_too_low(record: ExecutionMetrics, prices: PriceTable) -> bool:
    """Whether the cost of a line of claude-force 1.3 is one of those that its price table made."""
    if record.cost_nanousd is None or record.input_tokens is None:
        return False
    tier, searches = record.service_tier, record.web_searches
    listed = prices.cost(record.model, usage_of(record), record.timestamp_us, tier, searches)
    return listed is not None and record.cost_nanousd * _TOO_LOW < listed


def holds_executions(path: Path) -> bool:
    """Whether a file begins with executions, rather than with entries of a transcript: what its first whole object
    is."""
    found = _first_object(path)
    return found is not None and "agent_name" in found and "success" in found


def holds_objects(path: Path) -> bool:
    """Whether a file begins with lines of JSON at all, or is empty: one that cannot be read may."""
    try:
        return path.stat().st_size == 0 or _first_object(path) is not None
    except OSError:
        return True


def _first_object(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            lines = islice(iter(partial(stream.readline, LINE_LIMIT_BYTES), b""), _LOOKED_AT)
            return next((found for line in lines if (found := _object_of(line)) is not None), None)
    except OSError:
        # Whoever reads it says what is wrong.
        return None


def _object_of(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
