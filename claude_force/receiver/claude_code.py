"""Reads the records of Claude Code: log events (the canonical source), spans of model requests, and metrics.

Names and types are those of Claude Code 2.1.332. Of a record only figures, ids and names are taken: never a prompt,
what a tool read or wrote, the text of an error, or who the user is.
"""

from __future__ import annotations

from typing import Any

from claude_force.executions.record import COST_LIMIT_NANOUSD, PROJECT_LIMIT
from claude_force.executions.sightings import is_main
from claude_force.executions.signals import EVENT, SPAN, ModelRequest, Signal
from claude_force.ingest.transcripts.api_errors import kind_of_failure
from claude_force.receiver import claude_code_outcomes as outcome_readers
from claude_force.receiver.records import FAILED, Attributes, LogRecord, Span
from claude_force.receiver.sender import Sender
from claude_force.receiver.spans import duration, span_id
from claude_force.receiver.values import (
    Unusable,
    count,
    dollars,
    first,
    flag,
    instant,
    milliseconds,
    provider_of,
    required_text,
    scaled,
    text,
)

PREFIX = "claude_code."
EVENTS_SCOPE = "com.anthropic.claude_code.events"
REQUEST_SPAN = "claude_code.llm_request"
MODELS = ("gen_ai.response.model", "model", "gen_ai.request.model")
REQUEST_IDS = ("request_id", "gen_ai.response.id")
"""In spans of Claude Code, both are the id of the request."""

NO_REQUEST = "not about model requests or outcomes"

_MICRODOLLAR = 1000
_HIDDEN = "custom"
"""The name of an agent that Claude Code does not tell."""


def event_name(sender: Sender, record: LogRecord) -> str | None:
    """The name of a log event, with the prefix of Claude Code; None for an event of another program."""
    if not record.body.startswith(PREFIX) and sender.scope != EVENTS_SCOPE:
        return None
    name = record.attributes.get("event.name")
    return PREFIX + (name if isinstance(name, str) else record.body.removeprefix(PREFIX))


def _api_request(sender: Sender, record: LogRecord) -> ModelRequest:
    return _event(sender, record, None)


def _api_error(sender: Sender, record: LogRecord) -> ModelRequest:
    """A request that failed for good. One that a retry healed makes no event."""
    return _event(sender, record, _failure(record.attributes))


def _event(sender: Sender, record: LogRecord, error_type: str | None) -> ModelRequest:
    said = record.attributes
    return _request(
        sender,
        said,
        text(said, "query_source"),
        error_type,
        origin=EVENT,
        at_us=instant(record.time_ns),
        model=required_text(said, "model"),
        request_id=text(said, "request_id"),
        provider=provider_of(text(said, "anthropic.provider")),
        duration_us=milliseconds(said, "duration_ms"),
        cost_nanousd=_cost(said),
    )


def _request(
    sender: Sender, said: Attributes, query_source: str | None, error_type: str | None, **own: Any
) -> ModelRequest:
    """A model request with what events and spans say alike; `own` are the fields that this kind of record says in its
    own way."""
    input_tokens, output_tokens = _usage(said, failed=error_type is not None)
    write_5m, write_1h = _cache_writes(said)
    return ModelRequest(
        service=sender.service,
        session_id=text(said, "session.id"),
        agent_id=text(said, "agent_id"),
        parent_agent_id=text(said, "parent_agent_id"),
        agent_name=_agent_name(said, sender, query_source),
        query_source=query_source,
        project=text(said, "project", PROJECT_LIMIT) or sender.project,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=count(said, "cache_read_tokens"),
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        ttft_us=milliseconds(said, "ttft_ms"),
        effort=text(said, "effort"),
        service_tier=_tier(said),
        error_type=error_type,
        **own,
    )


def _usage(said: Attributes, *, failed: bool) -> tuple[int | None, int | None]:
    """Tokens of input and output, both or neither. Raises Unusable for a success without them."""
    found = count(said, "input_tokens"), count(said, "output_tokens")
    if None not in found:
        return found
    if not failed:
        raise Unusable(f"it has no {'input_tokens' if found[0] is None else 'output_tokens'}")
    return None, None


def _cache_writes(said: Attributes) -> tuple[int | None, int | None]:
    """Tokens written to the cache for five minutes and for an hour. Older versions do not tell them apart."""
    write_5m, write_1h = count(said, "cache_creation_5m_tokens"), count(said, "cache_creation_1h_tokens")
    if write_5m is None and write_1h is None:
        return count(said, "cache_creation_tokens"), None
    return write_5m or 0, write_1h or 0


def _agent_name(said: Attributes, sender: Sender, query_source: str | None) -> str | None:
    """The agent's name if it is told; that of the whole run is the name of its main conversation only."""
    name = text(said, "agent.name")
    if name is not None and name != _HIDDEN:
        return name
    of_main = query_source is not None and is_main(query_source)
    return text(said, "agent") or sender.agent if of_main else None


def _tier(said: Attributes) -> str | None:
    speed = text(said, "speed")
    return None if speed == "normal" else speed


def _cost(said: Attributes) -> int | None:
    # The dollars have digits that the micro-dollars are rounded to.
    cost = dollars(said, "cost_usd")
    return scaled(said, "cost_usd_micros", _MICRODOLLAR, COST_LIMIT_NANOUSD) if cost is None else cost


def _failure(said: Attributes) -> str:
    """The kind of a failure. What was said about it is read for that only, and not kept."""
    error = said.get("error")
    return kind_of_failure(count(said, "status_code"), error if isinstance(error, str) else "")


EVENTS = {"api_request": _api_request, "api_error": _api_error}
"""The events that are model requests, without their prefix."""


def read_event(sender: Sender, record: LogRecord, name: str) -> Signal:
    """The signal of a log event, by its name without the prefix. Raises Unusable if it is ignored."""
    reader = EVENTS.get(name)
    if reader is not None:
        return reader(sender, record)
    if name in outcome_readers.EVENTS:
        return outcome_readers.read_event(record, name)
    raise Unusable(NO_REQUEST)


def read_span(sender: Sender, span: Span) -> ModelRequest:
    """The model request of a span. Raises Unusable if it is ignored."""
    if span.name != REQUEST_SPAN:
        raise Unusable(NO_REQUEST)
    said = span.attributes
    source = (text(said, "query_source_safe") or "").replace(".", ":") or text(said, "query_source")
    failed = flag(said, "success") is False or span.status == FAILED
    return _request(
        sender,
        said,
        source,
        _failure(said) if failed else None,
        origin=SPAN,
        at_us=instant(span.end_ns),
        model=required_text(said, first(said, MODELS) or MODELS[0]),
        request_id=text(said, first(said, REQUEST_IDS) or REQUEST_IDS[0]),
        span_id=span_id(span),
        provider=provider_of(text(said, "gen_ai.provider.name")),
        duration_us=milliseconds(said, "duration_ms") or duration(span),
    )
