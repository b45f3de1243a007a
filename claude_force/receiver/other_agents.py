"""Reads the log events of Codex and of the Gemini CLI.

Both also send spans of the same requests, which have no id in common with the events: only the events are read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from claude_force.executions.record import PROJECT_LIMIT
from claude_force.executions.signals import EVENT, ModelRequest
from claude_force.ingest.transcripts.api_errors import kind_of_failure
from claude_force.receiver.records import Attributes, LogRecord
from claude_force.receiver.sender import Sender
from claude_force.receiver.values import Unusable, count, first, instant, milliseconds, required_text, text

PREFIXES = ("codex.", "gemini_cli.")
SAME_REQUEST = "gen_ai.client.inference.operation.details"
"""The event that the Gemini CLI sends beside its own about the same request."""

NO_REQUEST = "not about model requests"
SEEN_ALREADY = "the same request has an event that is read"
FAILED_FROM = 400
"""The first HTTP status of a failure."""

_SERVICES = re.compile(r"codex[-_]\w+|gemini[-_]cli", re.ASCII)
_COMPLETED, _FAILED = "response.completed", "response.failed"
_STATUSES = ("http.response.status_code", "status_code")
_ERRORS = ("error.message", "error_message", "error", "error.type", "error_type")
_SESSIONS = {"codex": ("conversation.id", "session.id"), "gemini_cli": ("session.id",)}


class _Usage(NamedTuple):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None


def is_read(sender: Sender) -> bool:
    """Whether the program is one whose events are read here."""
    return _SERVICES.fullmatch(sender.service) is not None


def read_event(sender: Sender, record: LogRecord, name: str) -> ModelRequest:
    """The model request of a log event. Raises Unusable if it is ignored."""
    said = record.attributes
    match name:
        case "codex.sse_event" | "codex.websocket_event" if said.get("event.kind") == _COMPLETED:
            return _request(sender, record, name, _codex_usage(said), None)
        case "codex.sse_event" | "codex.websocket_event" if said.get("event.kind") == _FAILED:
            return _request(sender, record, name, _Usage(), _failure(said))
        case "codex.api_request" if (count(said, "http.response.status_code") or 0) >= FAILED_FROM:
            return _request(sender, record, name, _Usage(), _failure(said))
        case "gemini_cli.api_response":
            return _request(sender, record, name, _gemini_usage(said), None)
        case "gemini_cli.api_error":
            return _request(sender, record, name, _Usage(), _failure(said))
        case _:
            raise Unusable(SEEN_ALREADY if name == SAME_REQUEST else NO_REQUEST)


def _request(sender: Sender, record: LogRecord, name: str, usage: _Usage, error_type: str | None) -> ModelRequest:
    said = record.attributes
    session = first(said, _SESSIONS[name.partition(".")[0]])
    return ModelRequest(
        origin=EVENT,
        service=sender.service,
        at_us=instant(record.time_ns),
        model=required_text(said, "model"),
        response_id=text(said, "response.id"),
        session_id=text(said, session) if session else sender.session,
        agent_name=text(said, "agent_name") or sender.agent,
        project=text(said, "project", PROJECT_LIMIT) or sender.project,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_5m_tokens=usage.cache_write,
        duration_us=milliseconds(said, "duration_ms"),
        ttft_us=milliseconds(said, "ttft_ms"),
        error_type=error_type,
    )


def _codex_usage(said: Attributes) -> _Usage:
    """Codex counts cached tokens as input, and thoughts as output."""
    read, write = count(said, "cached_token_count"), count(said, "cache_write_token_count")
    total = _required(said, "input_token_count")
    return _Usage(_without(total, (read or 0) + (write or 0)), _required(said, "output_token_count"), read, write)


def _gemini_usage(said: Attributes) -> _Usage:
    """The Gemini CLI counts cached tokens as input; thoughts and the prompts of tools are neither input nor output."""
    read = count(said, "cached_content_token_count")
    total, output = _required(said, "input_token_count"), _required(said, "output_token_count")
    tools, thoughts = count(said, "tool_token_count") or 0, count(said, "thoughts_token_count") or 0
    return _Usage(_without(total, read or 0) + tools, output + thoughts, read)


def _without(total: int, cached: int) -> int:
    return total - cached if total >= cached else total


def _required(said: Attributes, name: str) -> int:
    found = count(said, name)
    if found is None:
        raise Unusable(f"it has no {name}")
    return found


def _failure(said: Attributes) -> str:
    """The kind of a failure. What was said about it is read for that only, and not kept."""
    status, error = (first(said, names) for names in (_STATUSES, _ERRORS))
    message = said[error] if error else ""
    return kind_of_failure(count(said, status) if status else None, message if isinstance(message, str) else "")
