"""One execution: one model request made by an agent.

The invariant: every `ExecutionMetrics` is valid. Its constructor checks it, so neither database ever gets a value that
it cannot store. Instants and durations are integers in microseconds, money in nano-dollars. An unknown value is None,
never 0.

A `uid` is a UUID that begins with the instant in milliseconds, so that new rows go to the end of the index: version 7
for a newly recorded execution, version 8 for one whose uid is made from its content (`content_uids`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat
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

MAIN = "main"
"""The agent name of the main conversation of a session, if it was given no name."""

SUBAGENT = "subagent"
"""The agent name of a sub-agent whose type is neither recorded anywhere nor said by its id."""

TRACKER = "tracker"
"""The `source` of executions that a program recorded."""

CLAUDE_CODE = "claude-code"
"""The `source` of executions from the transcripts of Claude Code."""

TELEMETRY = "telemetry"
"""The `source` of executions that telemetry saw, and no transcript."""

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
    ("user_name", NAME_LIMIT),
)
_TEXTS = (*((name, NAME_LIMIT) for name in _NAMES), *_OPTIONAL_NAMES)
_SHOWN = {"user_name": "user"}
"""Texts that have another name wherever a person sees them: `user` is a word of SQL."""

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
    | `user_name`                     | not known                       | `user` for people: `user` is a word of SQL  |
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
    source: str = TRACKER
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
    user_name: str | None = None
    steps: Steps | None = None

    def __post_init__(self) -> None:
        check_values(values_of(self))

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
    return identity_text(make_identity(timestamp_us, 7, int.from_bytes(os.urandom(10))))


def make_identity(timestamp_us: int, version: int, noise: int) -> bytes:
    """A UUID of a version as sixteen bytes: the instant in milliseconds, then 74 bits of the 80 of `noise`."""
    # The mask keeps an impossible instant from raising here; the record refuses it.
    milliseconds = timestamp_us // 1000 & 0xFFFF_FFFF_FFFF
    high = milliseconds << 16 | version << 12 | (noise >> 68) & 0xFFF
    return (high << 64 | 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF).to_bytes(16)


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
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


FIELDS: tuple[str, ...] = tuple(ExecutionMetrics.__dataclass_fields__)
"""The fields of a record, in the order of the columns of its table."""


values_of: Callable[[ExecutionMetrics], tuple[Any, ...]] = attrgetter(*FIELDS)
"""The values of FIELDS of a record."""


def as_mapping(record: ExecutionMetrics) -> dict[str, Any]:
    """The fields by name."""
    return {name: getattr(record, name) for name in FIELDS}


def of_values(values: Iterable[Any]) -> ExecutionMetrics:
    """The record with the values of FIELDS in order, which must be those of a valid record (see `check_values`)."""
    record = object.__new__(ExecutionMetrics)
    # The constructor would take three times as long, and check the values again. `any` runs to the end.
    any(map(object.__setattr__, repeat(record), FIELDS, values))
    return record


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


COSTS = slice(column("cost_nanousd"), column("price_version") + 1)
"""Where an ExecutionRow has its costs."""

_texts_of = getter(*(name for name, _ in _TEXTS))
_counts_of = getter(*(name for name, _, _ in _COUNTS))
_tokens_of = getter(*STEP_TOKENS)


def check_values(values: tuple[Any, ...]) -> None:
    """Raise InvalidRecord, which names the field, unless the values of FIELDS are those of a possible record."""
    uid, timestamp_us, _, success, *_ = values
    if type(timestamp_us) is not int or not EARLIEST_US <= timestamp_us < LATEST_US:
        raise InvalidRecord("timestamp", "outside the years 1970 to 2099")
    if not isinstance(uid, str) or not UID.fullmatch(uid):
        raise InvalidRecord("uid", "expected a UUID in lower case, with hyphens")
    if not isinstance(success, bool):
        raise InvalidRecord("success", f"expected true or false, got {kind_of(success)}")
    _check_texts(_texts_of(values))
    _check_counts(_counts_of(values))
    _check_usage(_tokens_of(values), values[-1])


def _check_texts(texts: tuple[Any, ...]) -> None:
    for (name, limit), text in zip(_TEXTS, texts, strict=True):
        # Usual texts are checked here: a call for each would take longer than all of these checks.
        if text is None:
            if name in _REQUIRED:
                _check_text(name, text, limit)
        elif type(text) is not str or not 0 < len(text) <= limit or not text.isascii() or "\0" in text:
            _check_text(_SHOWN.get(name, name), text, limit)


def _check_counts(counts: tuple[Any, ...]) -> None:
    for (name, label, limit), count in zip(_COUNTS, counts, strict=True):
        if count is None:
            if name in _REQUIRED:
                _check_count(label, count, limit)
        elif type(count) is not int or not 0 <= count <= limit:
            _check_count(label, count, limit)


def _check_usage(tokens: tuple[Any, ...], steps: Steps | None) -> None:
    """Raise InvalidRecord unless both token counts are known or neither, the steps are possible, and their tokens add
    up to those of the record."""
    if (tokens[0] is None) != (tokens[1] is None):
        raise InvalidRecord("output_tokens", "input_tokens and output_tokens are known both or neither")
    if steps is None:
        return
    if not 0 < len(steps) <= STEPS_LIMIT:
        raise InvalidRecord("steps", f"expected 1 to {STEPS_LIMIT:,}, got {len(steps):,}")
    for index, step in enumerate(steps):
        _check_step(f"steps[{index}]", step)
    if sum_tokens(steps) != tokens:
        raise InvalidRecord("steps", "their tokens do not add up to those of the execution")


def with_costs(
    values: tuple[Any, ...], costs: tuple[int | None, int | None, str | None], steps: Steps | None
) -> ExecutionMetrics:
    """The record with checked values, but with other costs and steps. Raises InvalidRecord for a cost that is too large
    to be true."""
    for cost, label in zip(costs[:2], ("estimated_cost", "reference_cost"), strict=True):
        if cost is not None and not 0 <= cost <= COST_LIMIT_NANOUSD:
            _check_count(label, cost, COST_LIMIT_NANOUSD)
    return of_values((*values[: COSTS.start], *costs, *values[COSTS.stop : -1], steps))


def to_row(record: ExecutionMetrics) -> ExecutionRow:
    """A record as a row."""
    uid, timestamp_us, agent_name, success, *rest, steps = values_of(record)
    return identity_bytes(uid), timestamp_us, agent_name, int(success), *rest, encode_steps(steps)


def from_row(row: ExecutionRow) -> ExecutionMetrics:
    """A row as a record. Raises InvalidRecord for an impossible value."""
    values = _values_of_row(row)
    check_values(values)
    return of_values(values)


def check_row(row: ExecutionRow) -> None:
    """Raise InvalidRecord for a row with an impossible value."""
    check_values(_values_of_row(row))


def _values_of_row(row: ExecutionRow) -> tuple[Any, ...]:
    uid, timestamp_us, agent_name, success, *rest, text = row
    try:
        steps = decode_steps(text)
    except ValueError as error:
        raise InvalidRecord("steps", str(error)) from None
    return identity_text(uid), timestamp_us, agent_name, bool(success), *rest, steps
