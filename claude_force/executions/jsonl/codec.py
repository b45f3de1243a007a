"""The JSONL bridge: one execution as one line of JSON, and back, without loss.

`encode_line` and `decode_line` are inverse on every record. Decoding also takes the lines of the guide and those of
claude-force 1.3. A line that brings no `uid` gets one from its content, so the content that counts is fixed here and
must never change: `content_digest`.

Rules: `timestamp` without an offset is read in the zone given; numbers finer than a microsecond or a nano-dollar are
rounded half to even; `total_tokens` is not read but computed; fields that we do not know are left out, named in the
notes, and still part of the identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import Any

import orjson

from claude_force.clock import format_instant, parse_instant
from claude_force.errors import InvalidRecord
from claude_force.executions.record import (
    FIELDS,
    NANOUSD,
    NEVER_NULL,
    ExecutionMetrics,
    ExecutionRow,
    dollars,
    identity_text,
    milliseconds,
    to_row,
)
from claude_force.text import kind_of

GUIDE_COLUMNS = (
    "timestamp", "agent_name", "task_hash", "success", "execution_time_ms", "model", "input_tokens", "output_tokens",
    "total_tokens", "estimated_cost", "workflow_id", "error_type",
)  # fmt: skip
"""The twelve columns of the guide, in its order."""

EXTRA_COLUMNS = (
    "uid", "source", "host", "project", "run_id", "workflow_position", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "reference_cost", "price_version", "service_tier", "web_searches", "usage_basis",
    "recorded_cost", "recorded_basis",
)  # fmt: skip
"""What the record holds beyond the guide."""

ALL_COLUMNS = GUIDE_COLUMNS + EXTRA_COLUMNS

_PLAIN = (
    "agent_name", "task_hash", "success", "model", "workflow_id", "error_type", "source", "host",
    "project", "run_id", "price_version", "uid", "service_tier", "usage_basis", "recorded_basis",
)  # fmt: skip
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_REQUIRED = ("timestamp", "agent_name", "success", "model", "input_tokens", "output_tokens")
_ALIASES = {"workflow_name": "workflow_id", "duration_ms": "execution_time_ms"}
_PUBLIC = {
    "timestamp_us": "timestamp",
    "duration_us": "execution_time_ms",
    "cost_nanousd": "estimated_cost",
    "reference_cost_nanousd": "reference_cost",
    "recorded_cost_nanousd": "recorded_cost",
}

_NOTHING: tuple[Any, ...] = (None, "")
"""What says that an optional field is not known."""

NAMES_NOTED = 10
"""How many unknown fields of one line are named."""

_ABSURD = 1e15
"""Beyond every limit of the record; above it arithmetic on the way there could overflow."""
_KNOWN = frozenset(ALL_COLUMNS) | frozenset(_ALIASES)


@dataclass(slots=True)
class DecodedLine:
    """A decoded line that has no identity and perhaps no price yet.

    `fields` are arguments of ExecutionMetrics; `aliases` the older names that the line used; `extras` what it held
    beside all of them; `notes` what a person should hear about the line although it is taken.
    """

    fields: dict[str, Any]
    aliases: frozenset[str]
    extras: dict[str, Any]
    notes: tuple[str, ...]


def columns_of(row: ExecutionRow, format_time: Callable[[int], str]) -> dict[str, Any]:
    """A row (see `record.to_row`) under its public names, in the order of ALL_COLUMNS."""
    (
        uid, timestamp_us, agent_name, success, model, task_hash, duration_us, input_tokens, output_tokens,
        cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cost, reference, price_version, error_type,
        workflow_id, workflow_position, source, host, project, run_id, service_tier, web_searches, usage_basis,
        recorded_cost, recorded_basis,
    ) = row  # fmt: skip
    total = None
    if input_tokens is not None and output_tokens is not None:
        total = input_tokens + output_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
    return {
        "timestamp": format_time(timestamp_us),
        "agent_name": agent_name,
        "task_hash": task_hash,
        "success": success == 1,
        "execution_time_ms": milliseconds(duration_us),
        "model": model,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": total,
        "estimated_cost": dollars(cost),
        "workflow_id": workflow_id,
        "error_type": error_type,
        "uid": identity_text(uid),
        "source": source,
        "host": host,
        "project": project,
        "run_id": run_id,
        "workflow_position": workflow_position,
        "cache_read_tokens": cache_read_tokens,
        "cache_write_5m_tokens": cache_write_5m_tokens,
        "cache_write_1h_tokens": cache_write_1h_tokens,
        "reference_cost": dollars(reference),
        "price_version": price_version,
        "service_tier": service_tier,
        "web_searches": web_searches,
        "usage_basis": usage_basis,
        "recorded_cost": dollars(recorded_cost),
        "recorded_basis": recorded_basis,
    }


def encode_row(row: ExecutionRow, format_time: Callable[[int], str]) -> bytes:
    """A row as one line of JSON, with its newline."""
    return orjson.dumps(columns_of(row, format_time), option=orjson.OPT_APPEND_NEWLINE)


def encode_line(record: ExecutionMetrics, zone: tzinfo) -> bytes:
    """The record as one line of JSON, with its newline; the timestamp in `zone`."""
    return encode_row(to_row(record), partial(format_instant, zone=zone))


def decode_line(line: bytes, zone: tzinfo) -> DecodedLine:
    """The draft of one line. Raises InvalidRecord: `field` is "" where the line is no JSON object at all."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidRecord("", f"not valid JSON: {_first_line(error)}") from None
    if not isinstance(data, dict):
        raise InvalidRecord("", f"expected a JSON object, got {kind_of(data)}")
    aliases = frozenset(_ALIASES.keys() & data.keys())
    for alias in aliases:
        value = data.pop(alias)
        if data.get(_ALIASES[alias]) is None:
            data[_ALIASES[alias]] = value
    for name in _REQUIRED:
        if name not in data:
            raise InvalidRecord(name, "is missing")
    if "execution_time_ms" not in data:
        raise InvalidRecord("execution_time_ms", "is missing")
    extras = {name: data[name] for name in data.keys() - _KNOWN if data[name] is not None}
    fields = _fields_of(data, zone)
    return DecodedLine(fields, aliases, extras, _notes(data, fields, extras))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _fields_of(data: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    fields = {name: data[name] for name in _PLAIN if data.get(name) not in _NOTHING or name in _REQUIRED}
    for name, value in fields.items():
        if isinstance(value, (list, dict)):
            raise InvalidRecord(name, f"expected a plain value, got {kind_of(value)}")
    fields.setdefault("source", "jsonl")
    fields["timestamp_us"] = _instant(data["timestamp"], zone)
    fields["duration_us"] = _scaled("execution_time_ms", data["execution_time_ms"], 1000)
    for name in (*_TOKENS, "workflow_position", "web_searches"):
        if data.get(name) is not None:
            fields[name] = _whole(name, data[name])
    fields["cost_nanousd"] = _scaled("estimated_cost", data.get("estimated_cost"), NANOUSD)
    for name in ("reference_cost", "recorded_cost"):
        fields[f"{name}_nanousd"] = _scaled(name, data.get(name), NANOUSD)
    return fields


def _instant(value: object, zone: tzinfo) -> int:
    if not isinstance(value, str):
        raise InvalidRecord("timestamp", f"expected ISO 8601 text, got {kind_of(value)}")
    try:
        return parse_instant(value, zone)
    except ValueError as error:
        raise InvalidRecord("timestamp", str(error)) from None


def _scaled(field: str, value: object, factor: int) -> int | None:
    """A number in finer units, rounded half to even; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecord(field, f"expected a number, got {kind_of(value)}")
    _refuse_absurd(field, value)
    if value < 0:
        raise InvalidRecord(field, "is negative")
    return round(value * factor)


def _whole(field: str, value: object) -> object:
    """A float without a fraction as an int: other programs write 1234.0 for 1234. The record checks the rest."""
    if isinstance(value, (int, float)):
        _refuse_absurd(field, value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_absurd(field: str, value: float) -> None:
    if abs(value) > _ABSURD:
        raise InvalidRecord(field, "is too large to be true" if value > 0 else "is negative")


def _notes(data: dict[str, Any], fields: dict[str, Any], extras: dict[str, Any]) -> tuple[str, ...]:
    named = sorted(extras)[:NAMES_NOTED]
    notes = [f"field not known, left out: {name[:60]}" for name in named]
    if len(extras) > len(named):
        notes.append("more fields that are not known, left out")
    total = data.get("total_tokens")
    counts = [fields.get(name) or 0 for name in _TOKENS]
    if total is not None and all(type(count) is int for count in counts) and total != sum(counts):
        notes.append("total_tokens is not the sum of the token kinds; the sum is used")
    return tuple(notes)


def content_digest(draft: DecodedLine) -> bytes:
    """Sixteen bytes that stand for the content of a line without a `uid`.

    The content is one flat object of the line's fields under their public names, known and unknown alike, so that a
    field does not change the identity on the day that we learn to know it. Key order, white space and the spelling of
    numbers do not matter; a field that is null counts like one that is absent. Costs that we compute ourselves come
    later and are not part of it. Raises InvalidRecord for values nested too deeply to be written.
    """
    known = {_PUBLIC.get(name, name): value for name, value in draft.fields.items() if value is not None}
    try:
        return digest_of(orjson.dumps(_plain(draft.extras) | known, option=orjson.OPT_SORT_KEYS))
    except (orjson.JSONEncodeError, RecursionError):
        raise InvalidRecord("", "nested too deeply") from None


def digest_of(content: bytes) -> bytes:
    """The digest of the content of a line, which is JSON without spaces, its keys in the order of the alphabet."""
    return hashlib.blake2b(content, digest_size=16).digest()


def row_digest(row: ExecutionRow) -> bytes:
    """Eight bytes that stand for all that a row holds. A field that is not known counts like one that is not there, so
    that a field which a later version adds does not change what stands for the executions of before."""
    known = {
        name: value
        for name, value in zip(FIELDS, row, strict=True)
        if value is not None and (value or name not in NEVER_NULL)
    }
    content = orjson.dumps(known | {"uid": row[0].hex()}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=8).digest()


def _plain(value: Any) -> Any:
    """A value with each whole number as an int, however it was spelled."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _ABSURD:
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
