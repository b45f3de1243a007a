"""JSONL files of the guide, of claude-force 1.3 and of our own export: bytes to records.

Parsing never stops at a bad line and never looks at the database: it yields a record or a `Rejected` for every line
that is not blank. A line without a `uid` gets one from its content and from its ordinal among the equal lines of this
file: two equal lines are two executions, and reading the file again gives the same identities.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import BinaryIO

from claude_force.bridge import Draft, content_digest, decode_line
from claude_force.errors import InvalidRecord
from claude_force.pricing import PriceTable, usage_of
from claude_force.record import ExecutionMetrics, content_uid
from claude_force.sources.lines import LINE_LIMIT_BYTES, Line, read_lines

_TOO_LOW = 100
"""How many times below list price a cost must be to be called too low. The table of claude-force 1.3 is 1,000 times
too low for the models that it knew, and about 270 times for the one that it took for another."""

EXCERPT_BYTES = 2000
"""How much of a rejected line is kept."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A line that became a record, and what a person should hear about it."""

    record: ExecutionMetrics
    notes: tuple[str, ...] = ()
    cost_too_low: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is no execution: where it is, why not, and how it begins."""

    line: int
    offset: int
    reason: str
    excerpt: bytes


@dataclass(slots=True)
class JsonlSource:
    """How to read a file. `prices` fills in the costs that lines without a uid lack (None: it fills in none); with
    `reprice` it replaces the costs of every line. `is_broken_off` tells afterwards whether the end was not reached."""

    zone: tzinfo
    prices: PriceTable | None = None
    reprice: bool = False
    is_broken_off: bool = False
    _seen: Counter[bytes] = field(default_factory=Counter)

    def parse(self, stream: BinaryIO) -> Iterator[Parsed | Rejected]:
        """Everything in one file, in its order. Where the file cannot be read on, the rest is one Rejected."""
        self._seen.clear()
        number = end = 0
        try:
            for line in read_lines(stream):
                number, end = line.number, line.end
                yield self._parse(line)
        except (OSError, EOFError, zlib.error) as error:
            self.is_broken_off = True
            yield Rejected(number + 1, end, f"the file cannot be read on from here: {error}", b"")

    def _parse(self, line: Line) -> Parsed | Rejected:
        try:
            return self._record(line)
        except InvalidRecord as error:
            return Rejected(line.number, line.offset, str(error), line.data[:EXCERPT_BYTES])

    def _record(self, line: Line) -> Parsed:
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
        if self.prices is None or (is_ours and not self.reprice):
            # What we exported has the cost that it had, also where that is unknown.
            return Parsed(record, draft.notes)
        if "workflow_name" in draft.aliases and not self.reprice and _is_too_low(record, self.prices):
            # A false cost must not be compared with a true one: it would show as savings.
            return Parsed(record, draft.notes, cost_too_low=True)
        return Parsed(self.prices.priced(record, replace=self.reprice), draft.notes)

    def _identity(self, draft: Draft) -> str:
        digest = content_digest(draft)
        ordinal = self._seen[digest]
        self._seen[digest] += 1
        return content_uid(draft.fields["timestamp_us"], digest, ordinal)


def _is_too_low(record: ExecutionMetrics, prices: PriceTable) -> bool:
    """Whether the cost of a line of claude-force 1.3 is one of those that its price table made."""
    if record.cost_nanousd is None or record.input_tokens is None:
        return False
    listed = prices.cost(record.model, usage_of(record), record.timestamp_us)
    return listed is not None and record.cost_nanousd * _TOO_LOW < listed
