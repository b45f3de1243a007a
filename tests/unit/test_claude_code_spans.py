"""What becomes of the spans of Claude Code."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.executions.signals import SPAN, ModelRequest, encode
from tests.telemetry import NOON_NS, PERSONAL, SESSION, heard_of, requests_of, signals_of, spans

SCOPE = "com.anthropic.claude_code.tracing"
NAME = "claude_code.llm_request"
REQUEST: dict[str, Any] = {
    "session.id": SESSION,
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "aws.bedrock",
    "gen_ai.request.model": "claude-opus-5-5",
    "gen_ai.response.model": "claude-opus-5-5",
    "model": "claude-opus-5-5",
    "gen_ai.response.id": "req_1",
    "query_source_safe": "agent.builtin.Explore",
    "duration_ms": 900,
    "ttft_ms": 300,
    "input_tokens": 6,
    "output_tokens": 412,
    "cache_read_tokens": 48200,
    "cache_creation_tokens": 2310,
    "gen_ai.usage.input_tokens": 50516,
    "success": True,
    "attempt": 2,
    "stop_reason": "end_turn",
    "effort": "high",
    **PERSONAL,
}


def test_a_request_says_all_that_the_span_has() -> None:
    """Input tokens are those without cached ones, which the span gives beside the sum; nothing personal is kept."""
    found = signals_of(spans(REQUEST, name=NAME, scope=SCOPE))
    [request] = requests_of(found)

    assert request == ModelRequest(
        origin=SPAN,
        service="claude-code",
        at_us=NOON_NS // 1000 + 1_000_000,
        model="claude-opus-5-5",
        request_id="req_1",
        span_id="000102030405060708090a0b0c0d0e0f" + "0001020304050600",
        session_id=SESSION,
        query_source="agent:builtin:Explore",
        provider="bedrock",
        input_tokens=6,
        output_tokens=412,
        cache_read_tokens=48200,
        cache_write_5m_tokens=2310,
        duration_us=900_000,
        ttft_us=300_000,
        effort="high",
    )
    assert b"personal" not in encode(found)


@pytest.mark.parametrize("success", [False, "false"])
def test_a_failed_request_has_its_kind(success: object) -> None:
    """A span that says that it failed is a failure without usage."""
    said = {"model": "claude-opus-5-5", "success": success, "status_code": 529, "error": "personal trouble"}
    found = signals_of(spans(said, name=NAME, scope=SCOPE))
    [request] = requests_of(found)

    assert (request.error_type, request.input_tokens, request.duration_us) == ("overloaded", None, 1_000_000)
    assert b"personal" not in encode(found)


def test_other_spans_are_ignored() -> None:
    """The spans of interactions and tools repeat what requests say."""
    found = signals_of(spans(REQUEST, name="claude_code.interaction", scope=SCOPE))

    assert heard_of(found) == [("claude_code.interaction", 1, "not about model requests or outcomes")]
    assert not requests_of(found)
