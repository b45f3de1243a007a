"""One execution: one model request made by an agent.

The invariant: every `ExecutionMetrics` is valid. Its constructor checks it, so neither database ever gets a value that
it cannot store. Instants and durations are integers in microseconds, money in nano-dollars. An unknown value is None,
never 0.

A `uid` is a UUID that begins with the instant in milliseconds, so that new rows go to the end of the index: version 7
for a newly recorded execution, version 8 for one whose uid is made from its content.
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
from claude_force.executions.billed_steps import STEPS_LIMIT, Step, Steps, decode_steps, encode_steps, sum_tokens
from claude_force.text import kind_of

UNKNOWN = "unknown"
"""The name of an unknown model."""

NANOUSD = 1_000_000_000
"""Nano-dollars in a dollar."""

NAME_LIMIT = 200
PROJECT_LIMIT = 1000
TOKENS_LIMIT = 10**8
DURATION_LIMIT_US = 366 * 86_400 * 1_000_000
COST_LIMIT_NANOUSD = 1_000_000 * NANOUSD
"""More than TOKENS_LIMIT tokens of every kind cost on any model; a test checks all models."""
POSITION_LIMIT = 10**6
SEARCHES_LIMIT = 10**6

CLAUDE_CODE = "claude-code"
"""The `source` of executions from the transcripts of Claude Code."""

RESULT = "claude-result"
"""The `source` of executions from results of `claude -p`."""

STANDARD_TIERS = frozenset({"standard", "default", "auto"})
"""What APIs call the tier with the list price. An execution has no `service_tier` then."""

STANDARD_GEOS = frozenset({"global", "not_available"})
"""What APIs call an inference without data residency. An execution has no `inference_geo` then."""

PROVISIONAL = "provisional"
"""The `usage_basis` of a usage that was never final: output tokens and cost are lower bounds."""

REPORTED_RESULT = "result"
"""The `usage_basis` of a usage from the result of a run. A later result of the same session contains it."""

COST_GIVEN, COST_NONE = "given", "none"
"""The `recorded_basis` of a cost that came with the record, and of a record without a cost."""

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
    ("inference_geo", NAME_LIMIT),
    ("provider", NAME_LIMIT),
    ("session_id", NAME_LIMIT),
    ("git_branch", NAME_LIMIT),
)
_TEXTS = (*((name, NAME_LIMIT) for name in _NAMES), *_OPTIONAL_NAMES)
_texts_of = attrgetter(*(name for name, _ in _TEXTS))
NEVER_NULL = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches")
"""Fields that are 0, and not null, if nothing is known."""

_REQUIRED = frozenset((*_NAMES, *NEVER_NULL))

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
STEP_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
"""The fields of tokens, of a record and of each of its steps."""

_STEP_COUNTS = tuple(known for known in _COUNTS if known[0] in Step._fields)
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The only way in which a uid may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionMetrics:
    """One execution. Raises InvalidRecord, which names the field, for an impossible value.

    | field                           | None means                      | notes                                       |
    |---------------------------------|---------------------------------|---------------------------------------------|
    | `input_tokens`, `output_tokens` | the usage is not known          | both or neither; without cached tokens      |
    | `duration_us`                   | it was not timed                |                                             |
    | `cost_nanousd`                  | the price is not known          | of all `steps`                              |
    | `reference_cost_nanousd`        | the price is not known          | the same tokens on the reference model      |
    | `price_version`                 | the cost came with the record   | the prices that the cost is computed from   |
    | `service_tier`                  | the standard tier               | "fast", "batch": tiers with another price   |
    | `usage_basis`                   | the final usage of its source   | PROVISIONAL, or the record that reported it |
    | `recorded_cost_nanousd`         | there was no cost               | the cost before the first repricing         |
    | `recorded_basis`                | it was never repriced           | of the recorded cost: its price version,    |
    |                                 |                                 | COST_GIVEN or COST_NONE                     |
    | `inference_geo`                 | no data residency               | "us": another price                         |
    | `provider`                      | the Claude API, or as `model`   | "bedrock", "vertex"                         |
    | `session_id`                    | `workflow_id` is the session    | the session that started a workflow's run   |
    | `git_branch`                    | not known                       |                                             |
    | `steps`                         | one billed inference            | several, whose tokens add up to the above   |
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
    inference_geo: str | None = None
    provider: str | None = None
    session_id: str | None = None
    git_branch: str | None = None
    steps: Steps | None = None

    def __post_init__(self) -> None:
        if type(self.timestamp_us) is not int or not EARLIEST_US <= self.timestamp_us < LATEST_US:
            raise InvalidRecord("timestamp", "outside the years 1970 to 2099")
        _check_uid(self.uid)
        if not isinstance(self.success, bool):
            raise InvalidRecord("success", f"expected true or false, got {kind_of(self.success)}")
        _check_texts(self)
        for (name, label, limit), count in zip(_COUNTS, _counts_of(self), strict=True):
            if count is None:
                if name in _REQUIRED:
                    _check_count(label, count, limit)
            elif type(count) is not int or not 0 <= count <= limit:
                _check_count(label, count, limit)
        if self.steps is not None or (self.input_tokens is None) != (self.output_tokens is None):
            _check_usage(self)

    @property
    def timestamp(self) -> str:
        """When the execution ended: ISO 8601 in local time, with its offset."""
        return format_instant(self.timestamp_us, local_zone())

    @property
    def execution_time_ms(self) -> int | float | None:
        """Milliseconds; a float only if there is a fraction. None if it was not timed."""
        return milliseconds(self.duration_us)

    @property
    def total_tokens(self) -> int | None:
        """The sum of all kinds of tokens; None if the usage is not known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        cached = self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + self.output_tokens + cached

    @property
    def estimated_cost(self) -> float | None:
        """US dollars; None if the price is not known."""
        return dollars(self.cost_nanousd)

    @property
    def reference_cost(self) -> float | None:
        """US dollars that the same tokens cost on the reference model; None if not known."""
        return dollars(self.reference_cost_nanousd)

    @property
    def workflow_name(self) -> str | None:
        """`workflow_id`, under the name that it had in claude-force 1.3."""
        return self.workflow_id


def _check_uid(value: object) -> None:
    if not isinstance(value, str) or not UID.fullmatch(value):
        raise InvalidRecord("uid", "expected a UUID in lower case, with hyphens")


def _check_texts(record: ExecutionMetrics) -> None:
    for (name, limit), text in zip(_TEXTS, _texts_of(record), strict=True):
        # Usual texts are checked here: a call for each would take longer than all of these checks.
        if text is None:
            if name in _REQUIRED:
                _check_text(name, text, limit)
        elif type(text) is not str or not 0 < len(text) <= limit or not text.isascii() or "\0" in text:
            _check_text(name, text, limit)


def _check_text(field: str, value: object, limit: int) -> None:
    """Raise InvalidRecord unless both databases can store the text: not empty, no NUL, no lone surrogate."""
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


def _check_usage(record: ExecutionMetrics) -> None:
    """Raise InvalidRecord unless both token counts are known or neither, the steps are possible, and their tokens add
    up to those of the record."""
    if (record.input_tokens is None) != (record.output_tokens is None):
        raise InvalidRecord("output_tokens", "input_tokens and output_tokens are known both or neither")
    if record.steps is None:
        return
    if not 0 < len(record.steps) <= STEPS_LIMIT:
        raise InvalidRecord("steps", f"expected 1 to {STEPS_LIMIT:,}, got {len(record.steps):,}")
    for index, step in enumerate(record.steps):
        _check_step(f"steps[{index}]", step)
    if sum_tokens(record.steps) != tuple(getattr(record, name) for name in STEP_TOKENS):
        raise InvalidRecord("steps", "their tokens do not add up to those of the execution")


def _check_step(name: str, step: Step) -> None:
    for field in ("kind", "model"):
        _check_text(f"{name}.{field}", getattr(step, field), NAME_LIMIT)
    for field in ("service_tier", "inference_geo"):
        if getattr(step, field) is not None:
            _check_text(f"{name}.{field}", getattr(step, field), NAME_LIMIT)
    for field, label, limit in _STEP_COUNTS:
        value = getattr(step, field)
        if value is not None or field in STEP_TOKENS:
            _check_count(f"{name}.{label}", value, limit)


def milliseconds(duration_us: int | None) -> int | float | None:
    """Microseconds as milliseconds, whole ones as an int."""
    if duration_us is None:
        return None
    whole, rest = divmod(duration_us, 1000)
    return duration_us / 1000 if rest else whole


def dollars(nanousd: int | None) -> float | None:
    """Nano-dollars as dollars. Up to $4 million the float converts back to the same nano-dollars."""
    return None if nanousd is None else nanousd / NANOUSD


def task_hash(task: str) -> str:
    """The first eight hexadecimal digits of the task's MD5. It is a grouping key, not a secret, and the same as in
    claude-force 1.3, so that old and new executions of a task are in one group."""
    # Imported here because it loads OpenSSL, and reports do not need it.
    import hashlib

    return hashlib.md5(task.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]


def fresh_uid(timestamp_us: int) -> str:
    """A new UUID, version 7 (RFC 9562, 5.7): the instant in milliseconds, then 74 random bits."""
    return identity_text(_identity(timestamp_us, 7, int.from_bytes(os.urandom(10))))


def content_uid(timestamp_us: int, digest: bytes, ordinal: int) -> str:
    """The UUID, version 8, of a line without a uid: the instant in milliseconds, then 74 bits of a hash of its content
    and of its ordinal among the equal lines of its file. The same file always gives the same uids."""
    return identity_text(content_identity(timestamp_us, digest, ordinal))


def content_identity(timestamp_us: int, digest: bytes, ordinal: int) -> bytes:
    """`content_uid` as sixteen bytes."""
    import hashlib

    mixed = hashlib.blake2b(digest + ordinal.to_bytes(8), digest_size=10).digest()
    return _identity(timestamp_us, 8, int.from_bytes(mixed))


def _identity(timestamp_us: int, version: int, noise: int) -> bytes:
    # The mask keeps an impossible instant from raising here; the record refuses it.
    milliseconds = timestamp_us // 1000 & 0xFFFF_FFFF_FFFF
    high = milliseconds << 16 | version << 12 | (noise >> 68) & 0xFFF
    return (high << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF).to_bytes(16)


def _hyphenated(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_FAMILY = re.compile(r"claude-(?:[0-9.-]*-)?([a-z]{3,})")


def model_family(model: str) -> str:
    """The family of a Claude model ("haiku", "sonnet", "opus", "fable" ...), wherever its name has the version and
    date. Any other model is its own family."""
    match = _FAMILY.search(model.lower())
    return match.group(1) if match else model


def identity_bytes(uid: str) -> bytes:
    """A uid as sixteen bytes, as rows have it."""
    return bytes.fromhex(uid.replace("-", ""))


def identity_text(raw: bytes) -> str:
    """Sixteen bytes as a uid."""
    return _hyphenated(raw.hex())


FIELDS: tuple[str, ...] = tuple(ExecutionMetrics.__dataclass_fields__)
"""The fields of a record, in the order of the columns of its table."""


_values_of = attrgetter(*FIELDS)


def as_mapping(record: ExecutionMetrics) -> dict[str, Any]:
    """The fields by name."""
    return {name: getattr(record, name) for name in FIELDS}


def with_costs(
    record: ExecutionMetrics,
    cost_nanousd: int | None,
    reference_cost_nanousd: int | None,
    price_version: str | None,
    steps: Steps | None = None,
) -> ExecutionMetrics:
    """The same record with other costs; `steps` are its steps with theirs. Raises InvalidRecord for a cost that is too
    large to be true."""
    costs = {"cost_nanousd": cost_nanousd, "reference_cost_nanousd": reference_cost_nanousd}
    for cost, label in zip(costs.values(), ("estimated_cost", "reference_cost"), strict=True):
        if cost is not None and not 0 <= cost <= COST_LIMIT_NANOUSD:
            _check_count(label, cost, COST_LIMIT_NANOUSD)
    # The other fields are valid; checking them again would be the slowest part of recording.
    changed, put = object.__new__(ExecutionMetrics), object.__setattr__
    for name, value in zip(FIELDS, _values_of(record), strict=True):
        put(changed, name, value)
    for name, cost in costs.items():
        put(changed, name, cost)
    put(changed, "price_version", price_version)
    put(changed, "steps", steps)
    return changed


ExecutionRow = tuple[Any, ...]
"""The values of FIELDS in order, as databases store them: `uid` as sixteen bytes, `success` as 0 or 1, `steps` as
text."""


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
    """A record as a row."""
    uid, timestamp_us, agent_name, success, *rest, steps = _values_of(record)
    return identity_bytes(uid), timestamp_us, agent_name, int(success), *rest, encode_steps(steps)


def from_row(row: ExecutionRow) -> ExecutionMetrics:
    """A row as a record. Raises InvalidRecord for an impossible value."""
    values = dict(zip(FIELDS, row, strict=True))
    try:
        steps = decode_steps(values["steps"])
    except ValueError as error:
        raise InvalidRecord("steps", str(error)) from None
    converted = {"uid": identity_text(row[0]), "success": bool(values["success"]), "steps": steps}
    return ExecutionMetrics(**values | converted)
