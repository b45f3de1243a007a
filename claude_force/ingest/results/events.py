"""Decode what `claude -p --output-format json` and `stream-json` write.

    {"type": "system", "subtype": "init", "session_id": "…", "cwd": "/srv/app", "model": "claude-sonnet-5"}
    {"type": "assistant", "session_id": "…", "message": {"id": "msg_1", "usage": {"output_tokens": 1}}}
    {"type": "result", "subtype": "success", "session_id": "…", "total_cost_usd": 0.0012, "modelUsage": {…}}

With `json` there is the last of these alone, or with `--verbose` an array of all. As in transcripts, a field of an
unexpected type counts as absent, unless it counts tokens or money: then the event is rejected.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.jsonl.damaged_lines import RecordKind
from claude_force.ingest.transcripts.entries import Message, Usage, fitting, without_lone_surrogates
from claude_force.text import kind_of

_STRICT = ("usage", "modelUsage", "total_cost_usd")
_NOTHING = msgspec.Raw(b"")


class ModelUsage(msgspec.Struct, rename="camel", gc=False):
    """What a run used of one model, sub-agents included."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_writes_1h: int | None = msgspec.field(default=None, name="cacheCreationEphemeral1hInputTokens")
    web_search_requests: int | None = None
    cost_usd: float | None = msgspec.field(default=None, name="costUSD")
    cost_basis: str | None = None


class Event(msgspec.Struct, gc=False):
    """One event, or a result. Texts stay raw bytes and are not kept."""

    type: str | None = None
    subtype: str | None = None
    session_id: str | None = None
    uuid: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    model: str | None = None
    claude_code_version: str | None = None
    parent_tool_use_id: str | None = None
    message: Message | None = None
    is_error: bool | None = None
    duration_ms: int | float | None = None
    num_turns: int | None = None
    total_cost_usd: float | None = None
    usage: Usage | None = None
    model_usage: dict[str, ModelUsage | None] | None = msgspec.field(default=None, name="modelUsage")
    api_error_status: int | str | None = None
    api_error_type: str | None = None
    result: msgspec.Raw = _NOTHING


_decode = msgspec.json.Decoder(Event).decode


def decode_event(data: bytes) -> Event:
    """The event of a line. Raises InvalidRecord if it is no JSON object, or its usage or cost is of the wrong type;
    InvalidJson if it is not JSON."""
    try:
        return _decode(data)
    except msgspec.ValidationError:
        return _decode_leniently(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        valid = without_lone_surrogates(data)
        if valid != data:
            return decode_event(valid)
        raise InvalidJson(f"not valid JSON: {error}") from None


def _decode_leniently(data: bytes) -> Event:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not valid JSON: {str(error).splitlines()[0][:200]}") from None
    if not isinstance(found, dict):
        raise InvalidRecord("", f"expected a JSON object, got {kind_of(found)}")
    if found.get("type") == "result":
        _check_numbers(found)
    return fitting(found, Event)


def _check_numbers(found: dict[str, Any]) -> None:
    try:
        msgspec.convert({name: found[name] for name in _STRICT if found.get(name) is not None}, Event)
    except msgspec.ValidationError as error:
        raise InvalidRecord("result", str(error)) from None


def is_event(found: dict[str, Any]) -> bool:
    """Whether an object is an event: not an entry of a transcript, nor of the audit log of Claude Desktop."""
    has_names = isinstance(found.get("type"), str) and isinstance(found.get("session_id"), str)
    return has_names and "sessionId" not in found and "_audit_timestamp" not in found


def _is_event(data: bytes) -> bool:
    try:
        event = decode_event(data)
    except InvalidRecord:
        return False
    return bool(event.type and event.session_id)


EVENT = RecordKind(_is_event, lambda path: b"message" not in path and b"result" not in path)
"""Events, on damaged lines. Messages hold what tools are given and return."""
