"""What becomes of the spans of any program that follows the conventions of OpenTelemetry or OpenInference."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.executions.signals import SDK_SPAN, SPAN, ModelRequest, encode
from claude_force.receiver.conventions import ALIASES, NO_MODEL, NO_OPERATION, NO_REQUEST, NO_TOKENS
from tests.telemetry import PERSONAL, heard_of, requests_of, signals_of, spans

RESOURCE = {"service.name": "my-agent", "project": "shop", "agent": "nightly"}
CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "claude-opus-5-5",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    **PERSONAL,
}

EXAMPLES: dict[str, tuple[Any, str, Any]] = {
    "kind": ("chat", "model", "claude-opus-5-5"),
    "model": ("claude-sonnet-5-5", "model", "claude-sonnet-5-5"),
    "input tokens": (70, "input_tokens", 70),
    "output tokens": (71, "output_tokens", 71),
    "cache read": (30, "cache_read_tokens", 30),
    "cache write": (31, "cache_write_5m_tokens", 31),
    "cache write, 5 minutes": (32, "cache_write_5m_tokens", 32),
    "cache write, 1 hour": (33, "cache_write_1h_tokens", 33),
    "request id": ("req_1", "request_id", "req_1"),
    "response id": ("msg_1", "response_id", "msg_1"),
    "session": ("session-1", "session_id", "session-1"),
    "agent": ("reviewer", "agent_name", "reviewer"),
    "provider": ("aws.bedrock", "provider", "bedrock"),
    "cost": (0.25, "cost_nanousd", 250_000_000),
    "cost as JSON": ('{"input": 0.2, "total": 0.25}', "cost_nanousd", 250_000_000),
    "time to first token": (0.5, "ttft_us", 500_000),
    "effort": ("high", "effort", "high"),
    "service tier": ("batch", "service_tier", "batch"),
    "error": ("rate_limit_error", "error_type", "rate_limit_error"),
    "status": (429, "error_type", "rate_limit"),
}
"""A value of each field, and what it makes of a request."""

EVERY_ALIAS = [(field, name) for field, names in ALIASES.items() for name in names]


def request_of(said: dict[str, Any], **changed: Any) -> ModelRequest:
    """The only model request of a span."""
    [request] = requests_of(signals_of(spans(said, **{"resource": RESOURCE, **changed})))
    return request


@pytest.mark.parametrize(("field", "name"), EVERY_ALIAS, ids=[name for _, name in EVERY_ALIAS])
def test_every_alias_is_read(field: str, name: str) -> None:
    """Each name of the table gives its value, where no name before it is there."""
    value, attribute, expected = EXAMPLES[field]
    said = {known: value for known, value in CHAT.items() if known not in ALIASES[field]}
    status = 2 if field == "status" else 0

    assert getattr(request_of({**said, name: value}, status=status), attribute) == expected


@pytest.mark.parametrize("field", [field for field, names in ALIASES.items() if len(names) > 1])
def test_the_first_name_wins(field: str) -> None:
    """Where a span has a value under two names, the first of the table counts."""
    first, *_, last = ALIASES[field]
    value, attribute, expected = EXAMPLES[field]
    said = {known: value for known, value in CHAT.items() if known not in ALIASES[field]}
    other = value + 1 if isinstance(value, int | float) else f"{value}-other"

    assert getattr(request_of({**said, last: other, first: value}), attribute) == expected


@pytest.mark.parametrize("kind", ["chat", "text_completion", "generate_content", "LLM", "completion"])
def test_spans_of_one_request_are_read(kind: str) -> None:
    """Every kind of a single request counts."""
    assert request_of(CHAT | {"gen_ai.operation.name": kind}).input_tokens == 100


@pytest.mark.parametrize(
    "kind", ["invoke_agent", "execute_tool", "create_agent", "embeddings", "invoke_workflow", "CHAIN", "AGENT", "TOOL"]
)
def test_totals_around_requests_are_not_counted_again(kind: str) -> None:
    """The tokens of a span around requests are the sum of theirs."""
    found = signals_of(spans(CHAT | {"gen_ai.operation.name": kind}))

    assert not requests_of(found)
    assert heard_of(found) == [(kind, 1, NO_REQUEST)]


@pytest.mark.parametrize(
    ("said", "name", "reason"),
    [
        ({"http.route": "/personal"}, "record", NO_MODEL),
        ({"gen_ai.request.model": "claude-opus-5-5"}, "record", NO_OPERATION),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, "chat", NO_TOKENS),
        ({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}, "chat", "it has no model"),
        ({"gen_ai.operation.name": "my personal task"}, "record", NO_OPERATION),
    ],
)
def test_what_is_no_request_is_heard_with_the_reason(said: dict[str, Any], name: str, reason: str) -> None:
    """A span that is not read is counted under a word of the conventions, never under its own name or a user's."""
    found = signals_of(spans(said, name="GET /users/personal"))

    assert heard_of(found) == [(name, 1, reason)]
    assert b"personal" not in encode(found)


@pytest.mark.parametrize(("total", "uncached"), [(100, 25), (75, 0), (74, 74), (3, 3)])
def test_input_is_counted_without_cached_tokens(total: int, uncached: int) -> None:
    """Most programs count cached tokens as input; a smaller input than the cached ones says that this one does not."""
    said = CHAT | {
        "gen_ai.usage.input_tokens": total,
        "gen_ai.usage.cache_read.input_tokens": 50,
        "gen_ai.usage.cache_write.input_tokens": 25,
    }

    assert request_of(said).input_tokens == uncached


def test_an_abandoned_stream_is_provisional() -> None:
    """Without output tokens and without a failure, the usage is a lower bound."""
    said = {name: value for name, value in CHAT.items() if name != "gen_ai.usage.output_tokens"}
    request = request_of(said)

    assert (request.input_tokens, request.output_tokens, request.provisional) == (100, 0, True)
    assert not request_of(CHAT).provisional


def test_the_spans_of_the_anthropic_sdk_are_known() -> None:
    """They rank below other sources of the same request, so their origin is one of its own."""
    scope = "com.anthropic.sdk.python.bedrock"

    assert request_of(CHAT, scope=scope, name="anthropic.messages.create").origin == SDK_SPAN
    assert request_of(CHAT).origin == SPAN
    assert not requests_of(signals_of(spans(CHAT, scope=scope, name="anthropic.messages.tool_runner")))


def test_the_user_names_the_agent_of_a_program() -> None:
    """A program without agents of its own has the agent and the project that its environment names."""
    request = request_of(CHAT)

    assert (request.agent_name, request.project, request.service) == ("nightly", "shop", "my-agent")


def test_other_sellers_are_known_by_their_models() -> None:
    """A provider without prices of its own for Claude is no provider of an execution."""
    assert request_of(CHAT | {"gen_ai.provider.name": "openai"}).provider is None
