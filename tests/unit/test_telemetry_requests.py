"""Model requests of telemetry as executions: whose they are, what identifies them, what they used."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.errors import InvalidRecord
from claude_force.executions.joining import short_key
from claude_force.executions.record import PROVISIONAL, TOKENS_LIMIT
from claude_force.ingest.telemetry.requests import observe
from claude_force.ingest.transcripts.identity import request_id_identity, session_key
from tests.sighted import REQUEST, SESSION, in_telemetry, request, value_of


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"query_source": "repl_main_thread:outputStyle:custom"}, "main"),
        ({"query_source": "sdk"}, "main"),
        ({"query_source": "sdk", "agent_name": "nightly"}, "nightly"),
        ({"query_source": None}, "main"),
        ({"query_source": "agent:builtin:Explore", "agent_id": "a1"}, "Explore"),
        ({"query_source": "agent:builtin:"}, "subagent"),
        ({"query_source": "agent:custom", "agent_name": "my-reviewer", "agent_id": "a1"}, "my-reviewer"),
        ({"query_source": "agent:custom", "agent_name": "custom", "agent_id": "a1"}, "subagent"),
        ({"query_source": "agent:custom", "agent_id": "areviewer-4787973a0b12cd34"}, "reviewer"),
        ({"query_source": "hook_agent"}, "subagent"),
        ({"query_source": None, "agent_id": "acompact-83efcb"}, "compaction"),
        ({"query_source": "web_search_tool"}, "(auxiliary) web_search_tool"),
        ({"query_source": "web_search_tool", "agent_id": "a1"}, "(auxiliary) web_search_tool"),
        ({"query_source": "a_word_of_tomorrow"}, "(auxiliary) a_word_of_tomorrow"),
        ({"query_source": None, "service": "codex-cli"}, "codex-cli"),
        ({"query_source": None, "service": "codex-cli", "agent_name": "planner"}, "planner"),
        ({"query_source": None, "service": ""}, "unknown"),
    ],
)
def test_an_agent_is_named_as_transcripts_name_it(said: dict[str, Any], name: str) -> None:
    """By its name, else by the word for what asked; a side request by a name of its own."""
    assert value_of(in_telemetry(**said).row, "agent_name") == name


def test_a_request_id_is_the_key_that_transcripts_have() -> None:
    """Beside an identity with the figures, since gateways repeat request ids; it begins as the key does, so that both
    are on one page. Session and agent are as in a transcript."""
    seen = in_telemetry(agent_id="a1", query_source="agent:custom")
    assert seen.request == request_id_identity(REQUEST) == seen.shared[0]
    assert seen.session == session_key(SESSION)
    assert (value_of(seen.row, "workflow_id"), value_of(seen.row, "run_id")) == (SESSION, "a1")
    others = in_telemetry(output_tokens=201).identities, in_telemetry(request_id="req_2").identities
    assert seen.identities not in others
    assert seen.identities[0][:8] == seen.request[:8]


def test_requests_of_one_moment_have_keys_that_lie_together() -> None:
    """Ids of the Claude API begin with the time, and so do their keys; what sightings have of a key is a hash."""
    early, late, much_later = (request_id_identity(f"req_011C{name}") for name in ("ZAZLDXQd", "ZAZLPuVR", "nukXFhq5"))
    assert early[:8] == late[:8] < much_later[:8]
    assert len({short_key(key) for key in (early, late, much_later)}) == 3


@pytest.mark.parametrize("known", [{"response_id": "msg_1"}, {"span_id": "00f1"}, {}])
def test_without_a_request_id_it_is_still_found_again(known: dict[str, Any]) -> None:
    """By the id of the response or of the span, else by session, instant, model and tokens."""
    first, again = (in_telemetry(request_id=None, **known) for _ in range(2))
    assert first == again
    assert first.request is None
    assert in_telemetry(request_id=None, output_tokens=9).identities != first.identities


def test_events_and_spans_of_one_request_have_one_identity() -> None:
    """Also where one of them does not tell cache writes apart."""
    whole = in_telemetry("span", cache_write_5m_tokens=300, cache_write_1h_tokens=None)
    assert whole.identities == in_telemetry().identities
    assert whole.sighting is not None
    assert not whole.sighting.has_split


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({}, (10, 200, None)),
        ({"output_tokens": None}, (10, 0, PROVISIONAL)),
        ({"input_tokens": None, "output_tokens": None, "error_type": "overloaded"}, (0, 0, None)),
        ({"input_tokens": None, "output_tokens": None}, (None, None, None)),
        ({"origin": "sdk", "input_tokens": None, "error_type": "timeout"}, (None, None, None)),
        ({"error_type": "timeout"}, (10, 200, None)),
    ],
)
def test_what_a_request_used(said: dict[str, Any], usage: tuple[Any, ...]) -> None:
    """A failure that Claude Code reports used nothing; a stream that nobody read to its end is a lower bound."""
    row = in_telemetry(**{"origin": "event"} | said).row
    assert tuple(value_of(row, name) for name in ("input_tokens", "output_tokens", "usage_basis")) == usage
    assert value_of(row, "success") == int("error_type" not in said)
    assert value_of(row, "cost_nanousd") == {0: 0, None: None}.get(usage[0], value_of(row, "cost_nanousd"))


def test_names_of_tiers_and_providers_are_those_of_transcripts() -> None:
    """Only those that have another price."""
    plain = in_telemetry(service_tier="normal", provider=None, model="claude-opus-5[1m]").row
    assert [value_of(plain, name) for name in ("service_tier", "provider", "model")] == [None, None, "claude-opus-5"]
    other = in_telemetry(service_tier="fast", provider="bedrock").row
    assert [value_of(other, name) for name in ("service_tier", "provider")] == ["fast", "bedrock"]


def test_without_prices_there_is_no_cost() -> None:
    """What the sender computed is kept beside the execution."""
    seen = observe(request(), None, None)
    assert value_of(seen.row, "cost_nanousd") is None
    assert seen.sighting is not None
    assert seen.sighting.reported_cost_nanousd == 7_000_000


@pytest.mark.parametrize("said", [{"input_tokens": -1}, {"output_tokens": TOKENS_LIMIT + 1}, {"at_us": -1}])
def test_impossible_figures_are_refused(said: dict[str, Any]) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidRecord):
        in_telemetry(**said)


def test_an_impossible_duration_is_not_known() -> None:
    """The rest of the request is."""
    assert value_of(in_telemetry(duration_us=-1).row, "duration_us") is None
    assert in_telemetry(duration_us=10**18).row[1] == in_telemetry().row[1]


def test_the_id_of_the_response_is_enough() -> None:
    """Of two instrumentations of one call, one may know the request id, and the other the session."""
    native = in_telemetry("sdk", response_id="msg_1", session_id=None)
    other = in_telemetry("span", response_id="msg_1", request_id=None)
    assert set(native.identities) & set(other.identities)
    assert not set(native.identities) & set(in_telemetry("span", response_id="msg_1", output_tokens=9).identities)
