"""One execution: one model request made by an agent.

The invariant: an `ExecutionMetrics` that exists is valid. It is checked where it is made, so that the store, on either
engine, never meets a value that it cannot hold. What is added up is an integer: instants and durations in
microseconds, money in nano-dollars, tokens. What cannot be known is None, never 0.

Identity is made by the caller. A `uid` is a UUID whose first 48 bits are the instant in milliseconds, so that new rows
go to the end of the index: version 7 for a fresh execution, version 8 for one whose identity follows from its content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from claude_force.clock import EARLIEST_US, LATEST_US, format_instant, local_zone
from claude_force.errors import InvalidRecord
from claude_force.text import kind_of

UNKNOWN = "unknown"
"""How a face names what the record does not know."""

NANOUSD = 1_000_000_000
"""Nano-dollars in a dollar."""

NAME_LIMIT = 200
PROJECT_LIMIT = 1000
TOKENS_LIMIT = 10**8
DURATION_LIMIT_US = 366 * 86_400 * 1_000_000
COST_LIMIT_NANOUSD = 1_000_000 * NANOUSD
"""More than TOKENS_LIMIT tokens of every kind cost on the dearest model; a test asks all models."""
POSITION_LIMIT = 10**6
SEARCHES_LIMIT = 10**6

CLAUDE_CODE = "claude-code"
"""The `source` of what is read from the transcripts of Claude Code."""

STANDARD_TIERS = frozenset({"standard", "default", "auto"})
"""How the interfaces call the service that has the listed price: no `service_tier` of an execution."""

PROVISIONAL = "provisional"
"""The `usage_basis` of a usage that its source never finalised: output tokens and cost are lower bounds."""

COST_GIVEN, COST_NONE = "given", "none"
"""The `recorded_basis` of a cost that came with the record, and of a record that had none."""

_NAMES = ("agent_name", "model", "source")
_OPTIONAL_NAMES = (
    ("task_hash", NAME_LIMIT),
    ("error_type", NAME_LIMIT),
    ("workflow_id", NAME_LIMIT),
    ("run_id", NAME_LIMIT),
    ("host", NAME_LIMIT),
    ("price_version", NAME_LIMIT),
    ("project", PROJECT_LIMIT),
    ("service_tier", NAME_LIMIT),
    ("usage_basis", NAME_LIMIT),
    ("recorded_basis", NAME_LIMIT),
)
_TEXTS = (*((name, NAME_LIMIT) for name in _NAMES), *_OPTIONAL_NAMES)
_texts_of = attrgetter(*(name for name, _ in _TEXTS))
NEVER_NULL = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches")
"""Fields whose 0 says as little as the null of others."""

_COUNTS = (
    ("duration_us", "execution_time_ms", DURATION_LIMIT_US),
    ("input_tokens", "input_tokens", TOKENS_LIMIT),
    ("output_tokens", "output_tokens", TOKENS_LIMIT),
    ("cache_read_tokens", "cache_read_tokens", TOKENS_LIMIT),
    ("cache_write_5m_tokens", "cache_write_5m_tokens", TOKENS_LIMIT),
    ("cache_write_1h_tokens", "cache_write_1h_tokens", TOKENS_LIMIT),
    ("cost_nanousd", "estimated_cost", COST_LIMIT_NANOUSD),
    ("reference_cost_nanousd", "reference_cost", COST_LIMIT_NANOUSD),
    ("workflow_position", "workflow_position", POSITION_LIMIT),
    ("web_searches", "web_searches", SEARCHES_LIMIT),
    ("recorded_cost_nanousd", "recorded_cost", COST_LIMIT_NANOUSD),
)
_counts_of = attrgetter(*(name for name, _, _ in _COUNTS))
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""How a uid is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionMetrics:
    """What is known of one execution. Raises InvalidRecord, naming the field, when a value cannot be.

    `input_tokens` and `output_tokens` are None when the usage is not known (both or neither); `input_tokens` leaves
    cached tokens out, as Claude's API does. `duration_us` is None when nobody timed it, `cost_nanousd` when the price
    is not known. `reference_cost_nanousd` is what the same tokens cost on the reference model. `price_version` names
    the price table that made the cost; None when the cost came with the record.

    `service_tier` is how the request was served where that changes its price ("fast", "batch"); None is the standard.
    `usage_basis` says where the usage is from when it is not the final count of its own source: PROVISIONAL, or the
    name of the record that knew better. A repriced record keeps the cost that it had before the first repricing:
    `recorded_basis` is the version of the prices that made it, COST_GIVEN or COST_NONE; None where it was never
    repriced.
    """

    uid: str
    timestamp_us: int
    agent_name: str
    success: bool
    model: str
    task_hash: str | None = None
    duration_us: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cost_nanousd: int | None = None
    reference_cost_nanousd: int | None = None
    price_version: str | None = None
    error_type: str | None = None
    workflow_id: str | None = None
    workflow_position: int | None = None
    source: str = "tracker"
    host: str | None = None
    project: str | None = None
    run_id: str | None = None
    service_tier: str | None = None
    web_searches: int = 0
    usage_basis: str | None = None
    recorded_cost_nanousd: int | None = None
    recorded_basis: str | None = None

    def __post_init__(self) -> None:
        if type(self.timestamp_us) is not int or not EARLIEST_US <= self.timestamp_us < LATEST_US:
            raise InvalidRecord("timestamp", "outside the years 1970 to 2099")
        _check_uid(self.uid)
        if not isinstance(self.success, bool):
            raise InvalidRecord("success", f"expected true or false, got {kind_of(self.success)}")
        for (name, limit), text in zip(_TEXTS, _texts_of(self), strict=True):
            # What is usual is seen at once: a call for each text takes longer than all of them together.
            usual = text is None or (
                type(text) is str and 0 < len(text) <= limit and text.isascii() and "\0" not in text
            )
            if not usual or (text is None and name in _NAMES):
                _check_text(name, text, limit)
        for (name, label, limit), count in zip(_COUNTS, _counts_of(self), strict=True):
            if count is None:
                if name in NEVER_NULL:
                    _check_count(label, count, limit)
            elif type(count) is not int or not 0 <= count <= limit:
                _check_count(label, count, limit)
        if (self.input_tokens is None) != (self.output_tokens is None):
            raise InvalidRecord("output_tokens", "input_tokens and output_tokens are known both or neither")

    @property
    def timestamp(self) -> str:
        """When the execution ended: ISO 8601 in local time, with its offset."""
        return format_instant(self.timestamp_us, local_zone())

    @property
    def execution_time_ms(self) -> int | float | None:
        """Milliseconds; a float only where there is a fraction. None when not timed."""
        return milliseconds(self.duration_us)

    @property
    def total_tokens(self) -> int | None:
        """The sum of all kinds of tokens; None when the usage is not known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        cached = self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + self.output_tokens + cached

    @property
    def estimated_cost(self) -> float | None:
        """US dollars; None when the price is not known."""
        return dollars(self.cost_nanousd)

    @property
    def reference_cost(self) -> float | None:
        """US dollars that the same tokens cost on the reference model; None when not known."""
        return dollars(self.reference_cost_nanousd)

    @property
    def workflow_name(self) -> str | None:
        """The name that claude-force 1.3 gave to `workflow_id`."""
        return self.workflow_id


def _check_uid(value: object) -> None:
    if not isinstance(value, str) or not UID.fullmatch(value):
        raise InvalidRecord("uid", "expected a UUID in lower case, with hyphens")


def _check_text(field: str, value: object, limit: int) -> None:
    """Raise InvalidRecord unless `value` is text that both engines can store: not empty, no NUL, no lone surrogate."""
    if not isinstance(value, str):
        raise InvalidRecord(field, f"expected text, got {kind_of(value)}")
    if not value:
        raise InvalidRecord(field, "is empty")
    if len(value) > limit:
        raise InvalidRecord(field, f"is longer than {limit} characters")
    if "\0" in value:
        raise InvalidRecord(field, "contains a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRecord(field, "contains a lone surrogate") from None


def _check_count(field: str, value: object, limit: int) -> None:
    if type(value) is not int:
        raise InvalidRecord(field, f"expected a whole number, got {kind_of(value)}")
    if value < 0:
        raise InvalidRecord(field, "is negative")
    if value > limit:
        raise InvalidRecord(field, "is too large to be true")


def milliseconds(duration_us: int | None) -> int | float | None:
    """Microseconds as milliseconds, whole ones as an int."""
    if duration_us is None:
        return None
    whole, rest = divmod(duration_us, 1000)
    return duration_us / 1000 if rest else whole


def dollars(nanousd: int | None) -> float | None:
    """Nano-dollars as dollars. Up to $4 million the float gives back the same nano-dollars."""
    return None if nanousd is None else nanousd / NANOUSD


def task_hash(task: str) -> str:
    """The first eight hexadecimal digits of the task's MD5: the grouping key that claude-force 1.3 wrote, so that old
    and new executions of one task group together. It protects nothing."""
    # Loaded with its cryptography when it is needed: a report does not.
    import hashlib

    return hashlib.md5(task.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]


def fresh_uid(timestamp_us: int) -> str:
    """A new UUID, version 7 (RFC 9562, 5.7): the instant in milliseconds, then 74 random bits."""
    return identity_text(_identity(timestamp_us, 7, int.from_bytes(os.urandom(10))))


def content_uid(timestamp_us: int, digest: bytes, ordinal: int) -> str:
    """The UUID, version 8, of a line that brings none: the instant in milliseconds, then 74 bits of a hash of its
    content and of its ordinal among the equal lines of its file. The same file always gives the same identities."""
    return identity_text(content_identity(timestamp_us, digest, ordinal))


def content_identity(timestamp_us: int, digest: bytes, ordinal: int) -> bytes:
    """The sixteen bytes of `content_uid`."""
    import hashlib

    mixed = hashlib.blake2b(digest + ordinal.to_bytes(8), digest_size=10).digest()
    return _identity(timestamp_us, 8, int.from_bytes(mixed))


def _identity(timestamp_us: int, version: int, noise: int) -> bytes:
    # An instant that cannot be is the record's to refuse.
    milliseconds = timestamp_us // 1000 & 0xFFFF_FFFF_FFFF
    high = milliseconds << 16 | version << 12 | (noise >> 68) & 0xFFF
    return (high << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF).to_bytes(16)


def _hyphenated(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_FAMILY = re.compile(r"claude-(?:[0-9.-]*-)?([a-z]{3,})")


def model_family(model: str) -> str:
    """The family of a Claude model ("haiku", "sonnet", "opus", "fable" ...), wherever its version and date stand; any
    other model is a family of its own."""
    match = _FAMILY.search(model.lower())
    return match.group(1) if match else model


def identity_bytes(uid: str) -> bytes:
    """The sixteen bytes of a uid, as the database keeps it."""
    return bytes.fromhex(uid.replace("-", ""))


def identity_text(raw: bytes) -> str:
    """The uid of sixteen bytes."""
    return _hyphenated(raw.hex())


FIELDS: tuple[str, ...] = tuple(ExecutionMetrics.__dataclass_fields__)
"""The fields in the order of the record, which is the order of the table's columns."""


_values_of = attrgetter(*FIELDS)


def as_mapping(record: ExecutionMetrics) -> dict[str, Any]:
    """The fields by name (integers, `uid` as text)."""
    return {name: getattr(record, name) for name in FIELDS}


def with_costs(
    record: ExecutionMetrics, cost_nanousd: int | None, reference_cost_nanousd: int | None, price_version: str | None
) -> ExecutionMetrics:
    """The same record with other costs. Raises InvalidRecord for a cost that is too large to be true."""
    costs = {"cost_nanousd": cost_nanousd, "reference_cost_nanousd": reference_cost_nanousd}
    for name, label, limit in _COUNTS:
        if costs.get(name) is not None:
            _check_count(label, costs[name], limit)
    # Without checking the rest again, which would take longer than anything else about recording.
    changed, put = object.__new__(ExecutionMetrics), object.__setattr__
    for name, value in zip(FIELDS, _values_of(record), strict=True):
        put(changed, name, value)
    for name, cost in costs.items():
        put(changed, name, cost)
    put(changed, "price_version", price_version)
    return changed


ExecutionRow = tuple[Any, ...]
"""The values of FIELDS in their order, as a database takes them: `uid` as sixteen bytes, `success` as 0 or 1."""


def column(name: str) -> int:
    """The position of a field in an ExecutionRow. Raises ValueError for a name that is no field."""
    return FIELDS.index(name)


def columns(*names: str) -> tuple[int, ...]:
    """The positions of some fields in an ExecutionRow."""
    return tuple(map(column, names))


def getter(*names: str) -> Callable[[ExecutionRow], Any]:
    """A function that takes some fields out of an ExecutionRow: one value for one name, else a tuple in this order."""
    return itemgetter(*columns(*names))


def to_row(record: ExecutionMetrics) -> ExecutionRow:
    """The record as a row."""
    uid, timestamp_us, agent_name, success, *rest = _values_of(record)
    return identity_bytes(uid), timestamp_us, agent_name, int(success), *rest


def from_row(row: ExecutionRow) -> ExecutionMetrics:
    """The record of a row. Raises InvalidRecord for values that no record has."""
    values = dict(zip(FIELDS, row, strict=True))
    return ExecutionMetrics(**values | {"uid": identity_text(row[0]), "success": bool(values["success"])})
