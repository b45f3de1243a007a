"""Executions as lines of JSON, and back, without loss.

`encode_line` and `decode_line` are inverse for every record. `decode_line` also reads the formats of the guide and of
claude-force 1.3. The uid of a line without one is made from its content, so what counts as its content must never
change (`content_digest`).

- A `timestamp` without an offset is in the given zone.
- Fractions of a microsecond or a nano-dollar are rounded half to even.
- `total_tokens` is not read but computed.
- Unknown fields are not stored. They are named in the notes, and count as content.
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
from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.jsonl.billed_steps import steps_as_json, steps_from_json
from claude_force.executions.jsonl.damaged_lines import RecordKind
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
    "recorded_cost", "recorded_basis", "inference_geo", "provider", "session_id", "git_branch", "steps",
    "user",
)  # fmt: skip
"""The other fields of a record."""

ALL_COLUMNS = GUIDE_COLUMNS + EXTRA_COLUMNS

_COPIED = (
    "agent_name", "task_hash", "success", "model", "workflow_id", "error_type", "source", "host",
    "project", "run_id", "price_version", "uid", "service_tier", "usage_basis", "recorded_basis",
    "inference_geo", "provider", "session_id", "git_branch", "user",
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
    "user_name": "user",
}

_UNKNOWN: tuple[Any, ...] = (None, "")
"""The values of an optional field that is not known."""

NAMES_NOTED = 10
"""How many unknown fields of one line are named."""

_LARGEST = 1e15
"""Above every limit of a record, and small enough that converting a number to its unit cannot overflow."""
KNOWN_NAMES = frozenset(ALL_COLUMNS) | frozenset(_ALIASES)
"""The names of fields in the formats that are read."""


@dataclass(slots=True)
class DecodedLine:
    """A decoded line. It may still lack a uid and a price.

    `fields` are arguments of ExecutionMetrics, `aliases` the older field names that the line used, `extras` its unknown
    fields. `notes` say what needs attention about the line, although it is accepted. `written_steps` are its steps as
    the line has them, which count as content.
    """

    fields: dict[str, Any]
    aliases: frozenset[str]
    extras: dict[str, Any]
    notes: tuple[str, ...]
    written_steps: Any = None


def columns_of(row: ExecutionRow, format_time: Callable[[int], str]) -> dict[str, Any]:
    """The fields of a row under their public names, in the order of ALL_COLUMNS."""
    (
        uid, timestamp_us, agent_name, success, model, task_hash, duration_us, input_tokens, output_tokens,
        cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cost, reference, price_version, error_type,
        workflow_id, workflow_position, source, host, project, run_id, service_tier, web_searches, usage_basis,
        recorded_cost, recorded_basis, inference_geo, provider, session_id, git_branch, user, steps,
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
        "inference_geo": inference_geo,
        "provider": provider,
        "session_id": session_id,
        "git_branch": git_branch,
        "steps": steps if steps is None else steps_as_json(steps),
        "user": user,
    }


def encode_row(row: ExecutionRow, format_time: Callable[[int], str]) -> bytes:
    """A row as one line of JSON, with its newline."""
    return orjson.dumps(columns_of(row, format_time), option=orjson.OPT_APPEND_NEWLINE)


def encode_line(record: ExecutionMetrics, zone: tzinfo) -> bytes:
    """A record as one line of JSON, with its newline; the timestamp in `zone`."""
    return encode_row(to_row(record), partial(format_instant, zone=zone))


def decode_line(line: bytes, zone: tzinfo) -> DecodedLine:
    """Decode one line. Raises InvalidRecord, with `field` "" if the line is not a JSON object; InvalidJson if it is not
    JSON."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not valid JSON: {_first_line(error)}") from None
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
    extras = {name: data[name] for name in data.keys() - KNOWN_NAMES if data[name] is not None}
    fields = _fields_of(data, zone)
    return DecodedLine(fields, aliases, extras, _notes(data, fields, extras), data.get("steps"))


def _is_record(data: bytes) -> bool:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return "agent_name" in found and "success" in found and "timestamp" in found


RECORD = RecordKind(_is_record, lambda path: path[-1].decode("utf-8", "replace") in KNOWN_NAMES)
"""Executions, on damaged lines. No known field has an object for its value."""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _fields_of(data: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    fields = {name: data[name] for name in _COPIED if data.get(name) not in _UNKNOWN or name in _REQUIRED}
    for name, value in fields.items():
        if isinstance(value, (list, dict)):
            raise InvalidRecord(name, f"expected a plain value, got {kind_of(value)}")
    if "user" in fields:
        fields["user_name"] = fields.pop("user")
    fields.setdefault("source", "jsonl")
    fields["timestamp_us"] = _instant(data["timestamp"], zone)
    fields["duration_us"] = _scaled("execution_time_ms", data["execution_time_ms"], 1000)
    for name in (*_TOKENS, "workflow_position", "web_searches"):
        if data.get(name) is not None:
            fields[name] = _whole(name, data[name])
    fields["cost_nanousd"] = _scaled("estimated_cost", data.get("estimated_cost"), NANOUSD)
    for name in ("reference_cost", "recorded_cost"):
        fields[f"{name}_nanousd"] = _scaled(name, data.get(name), NANOUSD)
    if data.get("steps") is not None:
        fields["steps"] = steps_from_json(data["steps"])
    return fields


def _instant(value: object, zone: tzinfo) -> int:
    if not isinstance(value, str):
        raise InvalidRecord("timestamp", f"expected ISO 8601 text, got {kind_of(value)}")
    try:
        return parse_instant(value, zone)
    except ValueError as error:
        raise InvalidRecord("timestamp", str(error)) from None


def _scaled(field: str, value: object, factor: int) -> int | None:
    """A number times a factor, rounded half to even; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecord(field, f"expected a number, got {kind_of(value)}")
    _check_range(field, value)
    if value < 0:
        raise InvalidRecord(field, "is negative")
    return round(value * factor)


def _whole(field: str, value: object) -> object:
    """A float without a fraction as an int, because some programs write 1234.0. The record checks the rest."""
    if isinstance(value, (int, float)):
        _check_range(field, value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_range(field: str, value: float) -> None:
    if abs(value) > _LARGEST:
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


def content_digest(decoded: DecodedLine) -> bytes:
    """A hash, sixteen bytes, of the content of a line without a `uid`.

    The content is all fields of the line under their public names. Unknown fields are included, so that the uid stays
    the same when a later version knows them. Key order, white space and the spelling of numbers do not matter, and null
    counts as absent. Costs that are computed here are not included. Raises InvalidRecord for values nested too deeply.
    """
    known = {_PUBLIC.get(name, name): value for name, value in decoded.fields.items() if value is not None}
    if "steps" in known:
        known["steps"] = _normalized(decoded.written_steps)
    try:
        return digest_of(orjson.dumps(_normalized(decoded.extras) | known, option=orjson.OPT_SORT_KEYS))
    except (orjson.JSONEncodeError, RecursionError):
        raise InvalidRecord("", "nested too deeply") from None


def digest_of(content: bytes) -> bytes:
    """The hash of the content of a line: JSON without spaces, with its keys in alphabetical order."""
    return hashlib.blake2b(content, digest_size=16).digest()


def row_digest(row: ExecutionRow) -> bytes:
    """A hash, eight bytes, of all fields of a row. Unknown values do not count, so that a field that a later version
    adds does not change the hashes of older executions."""
    known = {
        name: value
        for name, value in zip(FIELDS, row, strict=True)
        if value is not None and (value or name not in NEVER_NULL)
    }
    content = orjson.dumps(known | {"uid": row[0].hex()}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=8).digest()


def _normalized(value: Any) -> Any:
    """A value with every whole number as an int, whether it was written 1 or 1.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST:
        return int(value)
    if isinstance(value, list):
        return [_normalized(item) for item in value]
    if isinstance(value, dict):
        return {name: _normalized(item) for name, item in value.items()}
    return value
