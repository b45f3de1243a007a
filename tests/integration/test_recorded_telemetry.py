"""What real programs sent, and what becomes of it.

`tests/recorded/` has the bodies, as JSON. Claude Code 2.1.332 ran `claude -p` three times against a stand-in of the
Messages API: with a web search, with a sub-agent, with a server that is always overloaded. The Anthropic SDK 2.14.0
made a request, read a stream, abandoned one, met an overloaded server, counted tokens and made a request in beta; once
by itself, and once under each of openinference-instrumentation-anthropic 3.1.0 and
opentelemetry-instrumentation-anthropic 0.62.4, which saw the same calls. Whatever is personal was replaced by words
with "personal" in them.
"""

from __future__ import annotations

import gzip
from collections import Counter

import pytest

from claude_force.executions import outcomes
from claude_force.executions.signals import ModelRequest, Signal, encode
from claude_force.receiver.decode import Kind, decode_export
from tests.conftest import ROOT
from tests.telemetry import JSON, heard_of, outcomes_of, requests_of

RECORDED = ROOT / "tests" / "recorded"
IDS = [f"req_011standin{number:06d}" for number in range(1, 8)]
FAILED = "req_011standinoverload"


def recorded(program: str, kind: Kind) -> list[Signal]:
    """The signals of a recorded body."""
    body = gzip.decompress((RECORDED / f"{program}.{kind}.json.gz").read_bytes())
    found = decode_export(kind, JSON, body)
    assert b"personal" in body
    assert b"personal" not in encode(found)
    return found


def by_id(signals: list[Signal]) -> dict[str | None, ModelRequest]:
    """The model requests by their ids, each of which is there once."""
    requests = requests_of(signals)
    found = {request.request_id: request for request in requests}
    assert len(found) == len(requests)
    return found


def test_the_events_of_claude_code_have_every_request() -> None:
    """Each answer of the stand-in is a request, with the side request of the web search and the failure."""
    found = by_id(recorded("claude-code", "logs"))

    assert [*found] == [*IDS, FAILED]
    for number, request_id in enumerate(IDS, 1):
        request = found[request_id]
        assert (request.input_tokens, request.output_tokens) == (10 + number, 40 + 3 * number)
        assert (request.project, request.effort) == ("shop", "medium")
    assert (found[IDS[0]].cache_write_5m_tokens, found[IDS[0]].cache_write_1h_tokens) == (201, 302)
    assert found[FAILED].error_type == "overloaded"


def test_the_events_of_claude_code_name_their_agents() -> None:
    """The name of the run is that of the main conversation; a sub-agent has its own; a side request has none."""
    found = by_id(recorded("claude-code", "logs"))

    assert found[IDS[0]].agent_name == "nightly"
    assert (found[IDS[1]].agent_name, found[IDS[1]].query_source) == (None, "web_search_tool")
    assert (found[IDS[4]].agent_name, found[IDS[4]].agent_id) == ("general-purpose", "afb48a103ebada662")


def test_the_spans_of_claude_code_say_the_same_as_its_events() -> None:
    """Where both have a figure, it is the same; a span does not tell cache writes apart."""
    events, spans = by_id(recorded("claude-code", "logs")), by_id(recorded("claude-code", "traces"))

    assert events.keys() == spans.keys()
    for request_id, event in events.items():
        span = spans[request_id]
        for name in ("model", "session_id", "input_tokens", "output_tokens", "cache_read_tokens", "ttft_us", "effort"):
            assert getattr(span, name) == getattr(event, name), (request_id, name)
        for name in ("query_source", "agent_id", "error_type", "project"):
            assert getattr(event, name) in (None, getattr(span, name)), (request_id, name)
        writes = (event.cache_write_5m_tokens or 0) + (event.cache_write_1h_tokens or 0)
        assert (span.cache_write_5m_tokens or 0, span.cache_write_1h_tokens) == (writes, None)


def test_the_metrics_of_claude_code_are_the_sums_of_its_events() -> None:
    """Cost and tokens of the metrics are those of all requests, to the nano-dollar and the token."""
    sums: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes_of(recorded("claude-code", "metrics")):
        sums[outcome.name, outcome.kind] += outcome.value
    requests = requests_of(recorded("claude-code", "logs"))

    def total(*names: str) -> int:
        return sum(getattr(request, name) or 0 for request in requests for name in names)

    assert sums[outcomes.COST, "claude-opus-5-5"] == total("cost_nanousd")
    assert sums[outcomes.TOKENS, "input"] == total("input_tokens")
    assert sums[outcomes.TOKENS, "output"] == total("output_tokens")
    assert sums[outcomes.TOKENS, "cacheRead"] == total("cache_read_tokens")
    assert sums[outcomes.TOKENS, "cacheCreation"] == total("cache_write_5m_tokens", "cache_write_1h_tokens")
    assert sums[outcomes.SESSIONS, "fresh"] == 3


def test_the_events_of_claude_code_have_outcomes() -> None:
    """Tool calls, decisions, prompts, sub-agents and repeated tries."""
    found = Counter((outcome.name, outcome.kind) for outcome in outcomes_of(recorded("claude-code", "logs")))

    assert found == {
        (outcomes.PROMPTS, ""): 4,
        (outcomes.TOOL_DECISIONS, "accept"): 2,
        (outcomes.TOOL_RESULTS, "WebSearch"): 1,
        (outcomes.TOOL_RESULTS, "Agent"): 1,
        (outcomes.SUBAGENTS, "general-purpose"): 1,
        (outcomes.RETRIES, "529"): 1,
    }


def test_the_anthropic_sdk_is_read_with_all_that_it_says() -> None:
    """Usage with both kinds of cache writes, an abandoned stream, a failure; counting tokens is no request."""
    found = recorded("anthropic-sdk", "traces")
    created, streamed, abandoned, failed, beta = requests_of(found)

    for request in (created, streamed, beta):
        assert (request.input_tokens, request.output_tokens, request.cache_read_tokens) == (10, 42, 2000)
        assert (request.cache_write_5m_tokens, request.cache_write_1h_tokens) == (100, 200)
        assert (request.provisional, request.error_type) == (False, None)
    assert streamed.ttft_us
    assert (abandoned.output_tokens, abandoned.provisional) == (0, True)
    assert (failed.input_tokens, failed.error_type) == (None, "overloaded_error")
    assert all(request.request_id and request.origin == "sdk" for request in requests_of(found))
    assert [name for name, _, ignored in heard_of(found) if ignored] == ["anthropic.messages.count_tokens"]


@pytest.mark.parametrize(
    ("program", "output", "provisional"),
    [
        ("openinference-anthropic", [42, 42, 1, None, 42], [False, False, True, False, False]),
        # It adds the placeholder at the beginning of a stream to its end, and never ends the span of an abandoned one.
        ("opentelemetry-instrumentation-anthropic", [42, 43, None, 42], [False] * 4),
    ],
)
def test_other_instrumentations_see_the_same_calls(
    program: str, output: list[int | None], provisional: list[bool]
) -> None:
    """Their input is counted without cached tokens, like that of the SDK, and their failures are failures."""
    found = requests_of(recorded(program, "traces"))

    assert [request.output_tokens for request in found] == output
    assert [request.provisional for request in found] == provisional
    assert [request.input_tokens for request in found] == [None if count is None else 10 for count in output]
    assert [request.error_type is not None for request in found] == [count is None for count in output]
    assert {request.cache_write_5m_tokens for request in found} == {300, None}
