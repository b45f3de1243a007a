"""Reads spans of model requests of any program that follows OpenTelemetry's conventions for generative AI, in their
present and former names, or those of OpenInference; and the spans of the Anthropic SDK, which adds names of its own.

Only spans of single requests are read. Several libraries repeat the totals of all requests on the span of the agent,
the workflow or the tool around them; those would be counted twice.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from claude_force.executions.record import PROJECT_LIMIT, STANDARD_TIERS
from claude_force.executions.signals import SDK_SPAN, SPAN, ModelRequest
from claude_force.ingest.transcripts.api_errors import API_ERROR, kind_of_failure
from claude_force.receiver.records import FAILED, UNSET, Attributes, Span
from claude_force.receiver.sender import Sender
from claude_force.receiver.spans import duration, span_id
from claude_force.receiver.values import Unusable, count, dollars, first, instant, provider_of, seconds, text

SDK_SCOPE = "com.anthropic.sdk.python"
"""What the scope of a span of the Anthropic SDK begins with."""

ALIASES: dict[str, tuple[str, ...]] = {
    "kind": ("gen_ai.operation.name", "openinference.span.kind", "llm.request.type"),
    "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.response.model_name", "llm.model_name"),
    "input tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "cache read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache write, 5 minutes": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache write, 1 hour": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "request id": ("anthropic.request.id", "request_id"),
    "response id": ("gen_ai.response.id",),
    "session": ("gen_ai.conversation.id", "session.id", "langfuse.session.id"),
    "agent": ("gen_ai.agent.name", "agent.name"),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "cost": ("llm.cost.total", "operation.cost", "opencode.llm.cost.total"),
    "cost as JSON": ("langfuse.observation.cost_details",),
    "time to first token": ("gen_ai.response.time_to_first_chunk",),
    "effort": ("gen_ai.request.reasoning.level",),
    "service tier": ("anthropic.response.service_tier",),
    "error": ("error.type",),
    "status": ("http.response.status_code",),
}
"""The names of each value; the first that a span has counts."""

REQUESTS = frozenset({"chat", "text_completion", "generate_content", "completion", "llm"})
"""What the kind of a single request is, in lower case."""

NO_MODEL = "not about a model"
NO_REQUEST = "its totals are those of requests with spans of their own"
NO_TOKENS = "it has no tokens"

NO_OPERATION = "no operation says that it is a model request"

_KIND = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_JSON_LIMIT = 10_000
_SDK_CALL = "anthropic.messages.create"
_OPENINFERENCE = "openinference."
"""What the scopes of OpenInference begin with. It leaves the status unset only where a stream was abandoned."""

_OURS = ("gen_ai.", "llm.")


class _Usage(NamedTuple):
    input_tokens: int | None
    output_tokens: int | None
    cache_read: int | None
    write_5m: int | None
    write_1h: int | None
    provisional: bool


def kind_of(span: Span) -> str | None:
    """The kind of a span by these conventions; None for a span that is not about models."""
    name = first(span.attributes, ALIASES["kind"])
    kind = span.attributes[name] if name else None
    return kind if isinstance(kind, str) and _KIND.fullmatch(kind) else None


def is_sdk(sender: Sender) -> bool:
    """Whether the spans are those of the Anthropic SDK."""
    return sender.scope.startswith(SDK_SCOPE)


def read_span(sender: Sender, span: Span) -> ModelRequest:
    """The model request of a span. Raises Unusable if it is ignored."""
    _check_kind(sender, span)
    said = span.attributes
    error_type = _error_type(span)
    usage = _usage(said, failed=error_type is not None)
    is_abandoned = span.status == UNSET and sender.scope.startswith(_OPENINFERENCE)
    return ModelRequest(
        origin=SDK_SPAN if is_sdk(sender) else SPAN,
        service=sender.service,
        at_us=instant(span.end_ns),
        model=_required(said, "model"),
        request_id=_text(said, "request id"),
        response_id=_text(said, "response id"),
        span_id=span_id(span),
        session_id=_text(said, "session") or sender.session,
        agent_name=_text(said, "agent") or sender.agent,
        project=text(said, "project", PROJECT_LIMIT) or sender.project,
        provider=provider_of(_text(said, "provider")),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_5m_tokens=usage.write_5m,
        cache_write_1h_tokens=usage.write_1h,
        duration_us=duration(span),
        ttft_us=_ttft(said),
        effort=_text(said, "effort"),
        service_tier=_tier(said),
        cost_nanousd=_cost(said),
        error_type=error_type,
        provisional=usage.provisional or is_abandoned,
    )


def _check_kind(sender: Sender, span: Span) -> None:
    kind = kind_of(span)
    if kind is None:
        is_close = any(name.startswith(_OURS) for name in span.attributes)
        raise Unusable(NO_OPERATION if is_close else NO_MODEL)
    if kind.lower() not in REQUESTS or (is_sdk(sender) and span.name != _SDK_CALL):
        raise Unusable(NO_REQUEST)


def _usage(said: Attributes, failed: bool) -> _Usage:
    """The tokens; those of the input without cached ones, whichever way the program counts."""
    total, output = _count(said, "input tokens"), _count(said, "output tokens")
    read, write = _count(said, "cache read"), _count(said, "cache write")
    write_5m, write_1h = _count(said, "cache write, 5 minutes"), _count(said, "cache write, 1 hour")
    if total is None and output is None:
        if not failed:
            raise Unusable(NO_TOKENS)
        return _Usage(None, None, None, None, None, provisional=False)
    if write_5m is None and write_1h is None:
        write_5m = write
    else:
        write_5m, write_1h = write_5m or 0, write_1h or 0
        write = write_5m + write_1h
    cached = (read or 0) + (write or 0)
    uncached = total - cached if total is not None and total >= cached else total
    # A stream that was abandoned has no output; one that was not even begun to be read, has no usage.
    is_partial = total is None or output is None
    return _Usage(uncached or 0, output or 0, read, write_5m, write_1h, provisional=is_partial)


def _error_type(span: Span) -> str | None:
    """The kind of a failure, None for a success. Only a word is kept, no text."""
    name = first(span.attributes, ALIASES["error"])
    if name is None and span.status != FAILED:
        return None
    said = span.attributes[name] if name else None
    word = said if isinstance(said, str) and _KIND.fullmatch(said) else ""
    kind = kind_of_failure(_count(span.attributes, "status"), f'{word} {{"type":"{word}"}}')
    return word if word and kind == API_ERROR else kind


def _ttft(said: Attributes) -> int | None:
    name = first(said, ALIASES["time to first token"])
    return seconds(said, name) if name else None


def _tier(said: Attributes) -> str | None:
    tier = _text(said, "service tier")
    return None if tier in STANDARD_TIERS else tier


def _cost(said: Attributes) -> int | None:
    name = first(said, ALIASES["cost"])
    if name is not None:
        return dollars(said, name)
    written = _long_text(said, "cost as JSON")
    try:
        details = json.loads(written) if written else None
    except (ValueError, RecursionError):
        raise Unusable("its cost is no JSON") from None
    return dollars(details, "total") if isinstance(details, dict) else None


def _long_text(said: Attributes, field: str) -> str | None:
    name = first(said, ALIASES[field])
    return text(said, name, _JSON_LIMIT) if name else None


def _text(said: Attributes, field: str) -> str | None:
    name = first(said, ALIASES[field])
    return text(said, name) if name else None


def _required(said: Attributes, field: str) -> str:
    found = _text(said, field)
    if found is None:
        raise Unusable(f"it has no {field}")
    return found


def _count(said: Attributes, field: str) -> int | None:
    name = first(said, ALIASES[field])
    return count(said, name) if name else None
