"""What becomes of the events and metrics of Claude Code that are no model requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from claude_force.executions import outcomes
from claude_force.executions.record import NANOUSD
from claude_force.executions.signals import Outcome
from tests.telemetry import (
    NOON_NS,
    PERSONAL,
    RESOURCE,
    SESSION,
    heard_of,
    logs,
    metrics,
    outcomes_of,
    requests_of,
    signals_of,
)

AN_EVENT = {"session.id": SESSION, "event.sequence": 3, **PERSONAL}


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("tool_result", {"tool_name": "Bash", "success": "true", "duration_ms": "12"}, (outcomes.TOOL_RESULTS, "Bash")),
        ("tool_result", {"tool_name": "Edit", "success": "false"}, (outcomes.TOOL_RESULTS, "failed:Edit")),
        ("tool_decision", {"decision": "reject", "tool_name": "Edit"}, (outcomes.TOOL_DECISIONS, "reject")),
        ("user_prompt", {"prompt_length": "88"}, (outcomes.PROMPTS, "")),
        ("subagent_completed", {"agent_type": "Explore", "total_tokens": 9000}, (outcomes.SUBAGENTS, "Explore")),
        ("compaction", {"trigger": "auto", "success": "true", "pre_tokens": "150000"}, (outcomes.COMPACTIONS, "auto")),
        ("compaction", {"trigger": "auto", "success": False}, (outcomes.COMPACTIONS, "failed:auto")),
        ("api_refusal", {"model": "claude-opus-5-5", "has_category": True}, (outcomes.REFUSALS, "")),
    ],
)
def test_an_event_is_one_outcome(name: str, said: dict[str, Any], expected: tuple[str, str]) -> None:
    """Each event counts once, by its kind, for its session; a tool's event says nothing of its tokens or texts."""
    found = signals_of(logs({**AN_EVENT, "event.name": name, **said}))
    [outcome] = outcomes_of(found)

    assert (outcome.name, outcome.kind) == expected
    assert (outcome.value, outcome.session_id, outcome.at_us) == (1, SESSION, NOON_NS // 1000)
    assert not requests_of(found)
    assert heard_of(found) == [(f"claude_code.{name}", 1, "")]


def test_exhausted_retries_are_no_second_failure() -> None:
    """The failure has an event of its own; this one says how often the request was repeated."""
    event = {**AN_EVENT, "event.name": "api_retries_exhausted", "status_code": 529, "total_attempts": 11}
    found = signals_of(logs(event))

    assert not requests_of(found)
    assert [(outcome.name, outcome.kind, outcome.value) for outcome in outcomes_of(found)] == [
        (outcomes.RETRIES, "529", 10)
    ]


@pytest.mark.parametrize("name", ["hook_registered", "assistant_response", "plugin_loaded", "an_event_of_tomorrow"])
def test_other_events_are_heard_and_ignored(name: str) -> None:
    """An event that is not read is counted, with the reason."""
    found = signals_of(logs({**AN_EVENT, "event.name": name}))

    assert heard_of(found) == [(f"claude_code.{name}", 1, "not about model requests or outcomes")]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("name", "value", "said", "expected"),
    [
        ("session.count", 1.0, {"start_type": "resume"}, (outcomes.SESSIONS, "resume", 1)),
        ("lines_of_code.count", 12.0, {"type": "added", "model": "m"}, (outcomes.LINES, "added", 12)),
        ("pull_request.count", 1, {}, (outcomes.PULL_REQUESTS, "", 1)),
        ("commit.count", 2.0, {}, (outcomes.COMMITS, "", 2)),
        ("code_edit_tool.decision", 1.0, {"decision": "accept"}, (outcomes.DECISIONS, "accept", 1)),
        ("active_time.total", 2.5, {"type": "cli"}, (outcomes.ACTIVE_TIME, "cli", 2_500_000)),
        ("cost.usage", 0.036384, {"model": "claude-opus-5-5"}, (outcomes.COST, "claude-opus-5-5", 36_384_000)),
        ("token.usage", 412.0, {"type": "output", "model": "m"}, (outcomes.TOKENS, "output", 412)),
    ],
)
def test_a_metric_is_one_outcome(name: str, value: float, said: dict[str, Any], expected: tuple[str, str, int]) -> None:
    """Each point of a delta sum is an outcome in whole units, and never a model request."""
    found = signals_of(metrics((f"claude_code.{name}", value, {"session.id": SESSION, **PERSONAL, **said})))

    assert [(outcome.name, outcome.kind, outcome.value) for outcome in outcomes_of(found)] == [expected]
    assert not requests_of(found)


@pytest.mark.parametrize("value", [math.nan, -math.inf, -1.0, 1e300])
def test_an_impossible_value_is_refused(value: float) -> None:
    """A point that is no possible number is ignored, and its neighbour is kept."""
    found = signals_of(metrics(("claude_code.cost.usage", value, {}), ("claude_code.cost.usage", 1.0, {})))

    assert [outcome.value for outcome in outcomes_of(found)] == [NANOUSD]
    assert next(ignored for _, _, ignored in heard_of(found) if ignored).startswith("its value is ")


def test_a_cumulative_sum_is_not_added() -> None:
    """Its points contain each other, so it is ignored, and the reason says what to change."""
    found = signals_of(metrics(("claude_code.cost.usage", 1.0, {}), temporality=2))

    assert not outcomes_of(found)
    assert "must send deltas" in heard_of(found)[0][2]


POINT = ("claude_code.commit.count", 1.0, {"session.id": SESSION})


@pytest.mark.parametrize(
    "other",
    [
        metrics(POINT, time_ns=NOON_NS + 1),
        metrics(POINT, resource={**RESOURCE, "host.name": "other"}),
        metrics((POINT[0], 1.0, {"session.id": "other"})),
        metrics((POINT[0], 1.0, {**POINT[2], "tags": ["a", "b"]})),
        metrics(("claude_code.pull_request.count", 1.0, POINT[2])),
    ],
)
def test_the_key_of_a_point_tells_records_apart(other: Any) -> None:
    """A point that is sent again has the same key; one that differs in anything but its value has another."""
    [first] = outcomes_of(signals_of(metrics(POINT)))

    assert [first] == outcomes_of(signals_of(metrics(POINT)))
    assert first.key != outcomes_of(signals_of(other))[0].key
    assert len(first.key) == 32


@pytest.mark.parametrize(
    ("changed", "start_ns"),
    [({"event.sequence": 4}, NOON_NS), ({"session.id": "other"}, NOON_NS), ({}, NOON_NS + 10**6)],
)
def test_the_key_of_an_event_tells_records_apart(changed: Mapping[str, Any], start_ns: int) -> None:
    """An event that is sent again has the same key; its session, instant and number tell it from others."""

    def event_of(said: Mapping[str, Any], at_ns: int) -> Outcome:
        [outcome] = outcomes_of(signals_of(logs({"event.name": "user_prompt", **AN_EVENT, **said}, start_ns=at_ns)))
        return outcome

    assert event_of({}, NOON_NS) == event_of({}, NOON_NS)
    assert event_of({}, NOON_NS).key != event_of(changed, start_ns).key


def test_events_without_a_number_are_told_apart_by_all_that_they_say() -> None:
    """Two events of one instant without a sequence are two, unless they are equal."""
    event = {"session.id": SESSION, "event.name": "tool_result", "tool_name": "Bash"}
    keys = [
        outcomes_of(signals_of(logs({**event, "tool_use_id": tool_use})))[0].key for tool_use in ("toolu_1", "toolu_2")
    ]

    assert keys[0] != keys[1]
