"""Any body: both formats say the same, nothing impossible gets through, and nothing unexpected is raised."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as AnyMessage
from hypothesis import given
from hypothesis import strategies as st

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.errors import InvalidBody
from claude_force.executions.outcomes import VALUE_LIMIT
from claude_force.executions.record import NAME_LIMIT, PROJECT_LIMIT, TOKENS_LIMIT
from claude_force.executions.signals import Heard, ModelRequest, Outcome, Signal, decode, encode
from claude_force.receiver.conventions import ALIASES
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.wire import count_messages
from tests.telemetry import (
    JSON,
    NOON_NS,
    PROTOBUF,
    RESOURCE,
    Message,
    api_request,
    as_json,
    kind_of,
    logs,
    metrics,
    signals_of,
    spans,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.just("x" * 201) | st.just("12")
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 1000) | st.floats()
VALUES = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS, st.binary(max_size=4), st.lists(TEXTS, max_size=2))
EVENTS = st.sampled_from(
    [
        "api_request",
        "api_error",
        "tool_result",
        "compaction",
        "api_retries_exhausted",
        "codex.sse_event",
        "codex.api_request",
        "gemini_cli.api_response",
    ]
)
CLAUDE_NAMES = st.sampled_from(sorted({*api_request(), "status_code", "total_attempts", "success", "tool_name"}))
SPAN_NAMES = st.sampled_from([name for names in ALIASES.values() for name in names])
METRIC_NAMES = st.sampled_from(["cost.usage", "token.usage", "commit.count", "active_time.total", "tomorrow.count"])
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 1,
}
TIMES_NS = st.integers(0, 2**63 - 10**12) | st.just(NOON_NS)


@st.composite
def log_bodies(draw: st.DrawFn) -> Message:
    """Log events with a few values that nobody sends."""
    events = [
        api_request() | {"event.name": draw(EVENTS)} | draw(st.dictionaries(CLAUDE_NAMES, VALUES, max_size=4))
        for _ in range(draw(st.integers(0, 4)))
    ]
    is_claude = draw(st.booleans())
    return logs(
        *events,
        resource=RESOURCE | draw(st.dictionaries(st.sampled_from(["project", "service.name", "agent"]), VALUES)),
        prefix="claude_code." if is_claude else "",
        scope="com.anthropic.claude_code.events" if is_claude else "other",
        start_ns=draw(TIMES_NS),
    )


@st.composite
def span_bodies(draw: st.DrawFn) -> Message:
    """Spans of all kinds of programs."""
    name = draw(st.sampled_from(["claude_code.llm_request", "anthropic.messages.create", "chat m"]))
    scope = draw(st.sampled_from(["com.anthropic.sdk.python", "openinference.instrumentation.x", "other"]))
    names = CLAUDE_NAMES if name.startswith("claude") else SPAN_NAMES
    start = api_request() if name.startswith("claude") else CHAT
    found = [start | draw(st.dictionaries(names, VALUES, max_size=4)) for _ in range(draw(st.integers(0, 4)))]
    return spans(*found, name=name, scope=scope, status=draw(st.integers(0, 3)))


@st.composite
def metric_bodies(draw: st.DrawFn) -> Message:
    """Sums with any values."""
    said = st.dictionaries(st.sampled_from(["type", "model", "session.id", "other"]), VALUES, max_size=3)
    points = st.tuples(METRIC_NAMES.map("claude_code.{}".format), NUMBERS, said)
    return metrics(*draw(st.lists(points, max_size=4)), temporality=draw(st.integers(0, 2)), time_ns=NOON_NS)


BODIES = log_bodies() | span_bodies() | metric_bodies()


@given(BODIES)
def test_both_formats_say_the_same(message: Message) -> None:
    """The same records in protobuf and in JSON make the same signals, and each record is heard once."""
    found = signals_of(message)

    assert sum(signal.records for signal in found if isinstance(signal, Heard)) == len(records_of(message))
    assert b"personal" not in encode(found)


def records_of(message: Message) -> list[Any]:
    """The records of a body as JSON has them."""
    [group] = next(iter(json.loads(as_json(message)).values()))
    scoped = group[next(name for name in group if name.startswith("scope"))][0]
    return [
        record
        for name, found in scoped.items()
        if name != "scope"
        for part in found
        for record in (part["sum"]["dataPoints"] if "sum" in part else [part])
    ]


@given(BODIES)
def test_every_signal_can_be_stored(message: Message) -> None:
    """No figure is negative or too large, no text is too long or has what a database does not take; signals survive
    their way through the spool."""
    found = signals_of(message)
    for signal in found:
        check(signal)

    assert [decode(line) for line in encode(found).splitlines()] == found


def check(signal: Signal) -> None:
    """That a database takes a signal."""
    values = {name: getattr(signal, name) for name in signal.__struct_fields__}
    for name, value in values.items():
        if isinstance(value, str):
            assert len(value) <= (PROJECT_LIMIT if name == "project" else NAME_LIMIT), name
            assert "\0" not in value
            value.encode()
    match signal:
        case ModelRequest():
            assert EARLIEST_US < signal.at_us < LATEST_US
            assert (signal.input_tokens is None) == (signal.output_tokens is None)
            tokens = [value for name, value in values.items() if name.endswith("_tokens") and value is not None]
            assert all(0 <= count <= TOKENS_LIMIT for count in tokens)
            assert signal.error_type is not None or signal.input_tokens is not None
        case Outcome():
            assert EARLIEST_US < signal.at_us < LATEST_US
            assert 0 <= signal.value <= VALUE_LIMIT
        case Heard():
            assert EARLIEST_US <= signal.at_us < LATEST_US
            assert signal.records > 0


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Kind, str, bytes]:
    """A body in either format with some of its bytes changed, cut out or put in."""
    message = draw(BODIES)
    is_json = draw(st.booleans())
    body = bytearray(as_json(message) if is_json else message.SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return kind_of(message), JSON if is_json else PROTOBUF, bytes(body)


@given(mutated() | st.tuples(st.sampled_from(["logs", "traces", "metrics"]), st.just(PROTOBUF), st.binary()))
def test_a_damaged_body_is_refused_or_read(damaged: tuple[Kind, str, bytes]) -> None:
    """Whatever comes, the only error is InvalidBody, and what is read can be stored."""
    with contextlib.suppress(InvalidBody):
        for signal in decode_export(*damaged):
            check(signal)


def messages_in(message: Any) -> int:
    """How many messages a decoded message has within it."""
    parts = [
        part
        for field, value in message.ListFields()
        if field.type == field.TYPE_MESSAGE
        for part in ([value] if isinstance(value, AnyMessage) else value)
    ]
    return len(parts) + sum(map(messages_in, parts))


@given(BODIES, st.data())
def test_no_more_is_decoded_than_was_counted(message: Message, data: st.DataObject) -> None:
    """What is counted before a body is decoded is what decoding makes; of a damaged body, no less."""
    body = message.SerializeToString()
    found = count_messages(type(message), body)
    assert found == messages_in(message)
    if found:
        with pytest.raises(InvalidBody, match="values"):
            count_messages(type(message), body, found - 1)
    damaged = bytearray(body)
    start = data.draw(st.integers(0, len(body)))
    damaged[start : start + 1] = data.draw(st.binary(max_size=2))
    with contextlib.suppress(InvalidBody, DecodeError):
        counted = count_messages(type(message), bytes(damaged))
        assert messages_in(type(message).FromString(bytes(damaged))) <= counted


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["attributes", "resource", "key", "value", "intValue", "stringValue", "sum", "dataPoints"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
PATHS: dict[Kind, tuple[str, str, str]] = {
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}


@given(st.sampled_from(sorted(PATHS)), st.lists(JSON_VALUES, max_size=3), st.integers(0, 2))
def test_any_json_is_refused_or_read(kind: Kind, values: list[Any], depth: int) -> None:
    """The same for JSON with anything in the place of a group, a part or a record."""
    resources, scopes, records = PATHS[kind]
    body = {resources: values}
    if depth > 0:
        body = {resources: [{scopes: values}]}
    if depth > 1:
        body = {resources: [{scopes: [{records: values}]}]}

    with contextlib.suppress(InvalidBody):
        for signal in decode_export(kind, JSON, json.dumps(body).encode()):
            check(signal)
