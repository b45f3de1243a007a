"""What becomes of the log events of Claude Code."""

from __future__ import annotations

import math

import pytest

from claude_force.executions.signals import EVENT, Heard, ModelRequest, encode
from tests.telemetry import NOON_NS, SESSION, api_request, heard_of, logs, requests_of, signals_of

NOON_US = NOON_NS // 1000
EVENT_NAME = "claude_code.api_request"


def test_a_request_says_all_that_the_event_has() -> None:
    """Every figure, id and name of `api_request` arrives, in microseconds and nano-dollars."""
    found = signals_of(logs(api_request(), resource={"service.name": "claude-code", "service.version": "2.1.332"}))

    assert found == [
        ModelRequest(
            origin=EVENT,
            service="claude-code",
            at_us=NOON_US,
            model="claude-opus-5-5",
            request_id="req_011EXAMPLEmain0001",
            session_id=SESSION,
            query_source="repl_main_thread",
            input_tokens=6,
            output_tokens=412,
            cache_read_tokens=48200,
            cache_write_5m_tokens=0,
            cache_write_1h_tokens=2310,
            duration_us=9_120_000,
            ttft_us=1_380_000,
            effort="high",
            cost_nanousd=36_384_000,
        ),
        Heard(service="claude-code", version="2.1.332", name=EVENT_NAME, at_us=NOON_US, records=1),
    ]


def test_nothing_personal_is_kept() -> None:
    """No attribute about the user, no prompt, no response and no tool's text is in any signal."""
    assert b"personal" not in encode(signals_of(logs(api_request(), api_request(event__name="api_error"))))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"input_tokens": -1}, "input_tokens is negative"),
        ({"output_tokens": 10**9}, "output_tokens is too large to be true"),
        ({"cache_read_tokens": math.nan}, "cache_read_tokens is no whole number"),
        ({"cache_creation_1h_tokens": True}, "cache_creation_1h_tokens is no whole number"),
        ({"duration_ms": math.inf}, "duration_ms is too large to be true"),
        ({"ttft_ms": "soon"}, "ttft_ms is no number"),
        ({"cost_usd": -5.0}, "cost_usd is negative"),
        ({"model": "m" * 201}, "model is longer than 200 characters"),
        ({"model": None}, "it has no model"),
        ({"model": 7}, "model is no text"),
        ({"session__id": "a\0b"}, "session.id has a NUL character"),
        ({"input_tokens": None}, "it has no input_tokens"),
    ],
)
def test_an_impossible_record_costs_no_other(changed: dict[str, object], reason: str) -> None:
    """A record with an impossible value is ignored with the reason, and the others of its body are kept."""
    found = signals_of(logs(api_request(), api_request(**changed), api_request(request_id="req_2")))

    assert [request.request_id for request in requests_of(found)] == ["req_011EXAMPLEmain0001", "req_2"]
    assert heard_of(found) == [(EVENT_NAME, 2, ""), (EVENT_NAME, 1, reason)]


@pytest.mark.parametrize("time_ns", [0, 4_200_000_000 * 10**9, 2**64 - 10**12])
def test_an_impossible_time_is_refused(time_ns: int) -> None:
    """A record of no time, or of another century, is ignored."""
    found = signals_of(logs(api_request(), start_ns=time_ns))

    assert found == [
        Heard(
            service="claude-code",
            version="2.1.332",
            name=EVENT_NAME,
            at_us=0,
            records=1,
            ignored="its time is missing or impossible",
        )
    ]


@pytest.mark.parametrize(
    ("source", "named", "expected"),
    [
        ("repl_main_thread:outputStyle:x", None, "nightly"),
        ("sdk", None, "nightly"),
        ("agent:custom", "my-reviewer", "my-reviewer"),
        ("agent:custom", "custom", None),
        ("web_search_tool", None, None),
    ],
)
def test_the_name_of_the_agent(source: str, named: str | None, expected: str | None) -> None:
    """An event's own name counts; that of the whole run belongs to its main conversation only."""
    resource = {"service.name": "claude-code", "agent": "nightly", "project": "shop"}
    [request] = requests_of(signals_of(logs(api_request(query_source=source, agent__name=named), resource=resource)))

    assert (request.agent_name, request.project) == (expected, "shop")


@pytest.mark.parametrize(("status", "kind"), [(429, "rate_limit"), (529, "overloaded"), (503, "http_503")])
def test_a_failure_has_its_kind_and_no_text(status: int, kind: str) -> None:
    """A final failure is a request without usage; of its message only the kind is kept."""
    event = api_request(
        event__name="api_error",
        error="personal trouble",
        status_code=status,
        input_tokens=None,
        output_tokens=None,
    )
    [request] = requests_of(signals_of(logs(event)))

    assert (request.error_type, request.input_tokens) == (kind, None)
    assert request.duration_us == 9_120_000
