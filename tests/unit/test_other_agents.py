"""What becomes of the events of Codex and of the Gemini CLI."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.executions.signals import EVENT, ModelRequest, Signal, encode
from claude_force.receiver.other_agents import NO_REQUEST, SEEN_ALREADY
from tests.telemetry import NOON_NS, PERSONAL, heard_of, logs, requests_of, signals_of, spans

CODEX: dict[str, Any] = {
    "event.name": "codex.sse_event",
    "event.kind": "response.completed",
    "conversation.id": "conversation-1",
    "model": "gpt-5.5",
    "input_token_count": "100",
    "cached_token_count": "40",
    "cache_write_token_count": 20,
    "output_token_count": 10,
    "reasoning_token_count": 5,
    "tool_token_count": 110,
    "ttft_ms": 250,
    **PERSONAL,
}
GEMINI: dict[str, Any] = {
    "event.name": "gemini_cli.api_response",
    "session.id": "session-1",
    "model": "gemini-3-pro",
    "status_code": 200,
    "duration_ms": 1200,
    "input_token_count": 12_000,
    "cached_content_token_count": 8_000,
    "output_token_count": 350,
    "thoughts_token_count": 420,
    "tool_token_count": 7,
    "total_token_count": 12_777,
    "response_text": "personal text",
    **PERSONAL,
}


def codex(**changed: Any) -> list[Signal]:
    """The signals of an event of Codex."""
    return signals_of(logs(CODEX | changed, resource={"service.name": "codex_cli_rs"}, scope="codex", prefix=""))


def gemini(*events: dict[str, Any]) -> list[Signal]:
    """The signals of events of the Gemini CLI."""
    return signals_of(logs(*events, resource={"service.name": "gemini-cli"}, scope="gemini", prefix=""))


@pytest.mark.parametrize("name", ["codex.sse_event", "codex.websocket_event"])
def test_a_completed_response_of_codex_is_a_request(name: str) -> None:
    """Its input contains the cached tokens; its thoughts are output already; counts may be texts."""
    found = codex(**{"event.name": name})

    assert requests_of(found) == [
        ModelRequest(
            origin=EVENT,
            service="codex_cli_rs",
            at_us=NOON_NS // 1000,
            model="gpt-5.5",
            session_id="conversation-1",
            input_tokens=40,
            output_tokens=10,
            cache_read_tokens=40,
            cache_write_5m_tokens=20,
            ttft_us=250_000,
        )
    ]
    assert b"personal" not in encode(found)


def test_other_events_of_a_stream_are_no_requests() -> None:
    """A stream has many events; only its last one counts."""
    found = codex(**{"event.kind": "response.output_text.delta"})

    assert heard_of(found) == [("codex.sse_event", 1, NO_REQUEST)]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"event.name": "codex.api_request", "http.response.status_code": 429}, "rate_limit"),
        ({"event.name": "codex.api_request", "http.response.status_code": "503"}, "http_503"),
        ({"event.kind": "response.failed", "error.message": "personal connection trouble"}, "connection_error"),
    ],
)
def test_a_failure_of_codex_is_a_request(changed: dict[str, Any], kind: str) -> None:
    """A failed request has its kind and no usage, and the text of the failure is not kept."""
    found = codex(**changed)
    [request] = requests_of(found)

    assert (request.error_type, request.input_tokens) == (kind, None)
    assert b"personal" not in encode(found)


def test_a_request_of_codex_that_succeeds_waits_for_its_response() -> None:
    """Its usage comes with the event of the response."""
    found = codex(**{"event.name": "codex.api_request", "http.response.status_code": 200})

    assert heard_of(found) == [("codex.api_request", 1, NO_REQUEST)]


def test_a_response_of_gemini_is_counted_once() -> None:
    """Thoughts are output and the prompts of tools are input, as they are billed; its second event of the same request
    is ignored."""
    found = gemini(GEMINI, GEMINI | {"event.name": "gen_ai.client.inference.operation.details"})

    assert requests_of(found) == [
        ModelRequest(
            origin=EVENT,
            service="gemini-cli",
            at_us=NOON_NS // 1000,
            model="gemini-3-pro",
            session_id="session-1",
            input_tokens=4_007,
            output_tokens=770,
            cache_read_tokens=8_000,
            duration_us=1_200_000,
        )
    ]
    assert heard_of(found) == [
        ("gemini_cli.api_response", 1, ""),
        ("gen_ai.client.inference.operation.details", 1, SEEN_ALREADY),
    ]
    assert b"personal" not in encode(found)


def test_a_failure_of_gemini_is_a_request() -> None:
    """A failed request has its kind and no usage."""
    event = {"event.name": "gemini_cli.api_error", "model": "gemini-3-pro", "status_code": 429, "error": "quota"}
    [request] = requests_of(gemini(event))

    assert (request.error_type, request.output_tokens) == ("rate_limit", None)


@pytest.mark.parametrize("service", ["codex_exec", "codex-cli", "gemini-cli"])
def test_spans_beside_events_are_not_counted_again(service: str) -> None:
    """The events of these programs are read, so their spans of the same requests are not."""
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}
    found = signals_of(spans(said, resource={"service.name": service}))

    assert heard_of(found) == [("chat", 1, SEEN_ALREADY)]
    assert not requests_of(found)


def test_a_response_without_tokens_is_ignored() -> None:
    """An event that lacks what it is read for is heard with the reason."""
    assert heard_of(gemini({**GEMINI, "output_token_count": None})) == [
        ("gemini_cli.api_response", 1, "it has no output_token_count")
    ]
