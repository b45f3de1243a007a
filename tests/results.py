"""Events that `claude -p --output-format stream-json` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

SESSION = "16000001-0000-4000-8000-000000000001"
SONNET, HAIKU = "claude-sonnet-5", "claude-haiku-4-5-20251001"


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (values | changes).items() if value is not ...}


def an_init(**changes: Any) -> dict[str, Any]:
    """The first event of a process; a change to `...` removes the field."""
    event = {"type": "system", "subtype": "init", "session_id": SESSION, "cwd": "/home/u/ci", "model": SONNET}
    return _changed(event, changes)


def a_response(message_id: str = "msg_sj1", *, model: str = SONNET, **changes: Any) -> dict[str, Any]:
    """A block of a response; its output tokens are a placeholder."""
    usage = {"input_tokens": 10, "output_tokens": 2, "cache_read_input_tokens": 1000}
    message = {"id": message_id, "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage}
    event = {"type": "assistant", "message": message, "parent_tool_use_id": None, "session_id": SESSION, "uuid": "u1"}
    return _changed(event, changes)


def used(sent: int = 10, written: int = 100, read: int = 1000, cost: float = 0.00122) -> dict[str, Any]:
    """What a result says of one model."""
    return {
        "inputTokens": sent,
        "outputTokens": written,
        "cacheReadInputTokens": read,
        "cacheCreationInputTokens": 0,
        "costUSD": cost,
    }


def a_result(**changes: Any) -> dict[str, Any]:
    """A result; a change to `...` removes the field."""
    event = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "duration_ms": 4200,
        "num_turns": 1,
        "result": "ok",
        "session_id": SESSION,
        "total_cost_usd": 0.00122,
        "usage": {"input_tokens": 10, "output_tokens": 100, "cache_read_input_tokens": 1000},
        "modelUsage": {SONNET: used()},
        "uuid": "u2",
    }
    return _changed(event, changes)


def jsonl(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Events as lines."""
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
