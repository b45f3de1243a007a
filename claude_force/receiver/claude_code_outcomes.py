"""Reads what Claude Code says about its work beside model requests: tool calls, lines, commits, active time, and the
control sums of cost and tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from claude_force.clock import SECOND_US
from claude_force.executions import outcomes
from claude_force.executions.record import NAME_LIMIT, NANOUSD
from claude_force.executions.signals import Outcome
from claude_force.receiver.outcome_keys import key_of_event, key_of_point
from claude_force.receiver.records import Attributes, LogRecord, Point, Source
from claude_force.receiver.values import Unusable, count, flag, instant, scaled, text

CUMULATIVE = "a cumulative sum; Claude Code must send deltas, which is its default"

_ATTEMPTS_LIMIT = 10**6


class _Event(NamedTuple):
    name: str
    kind: Callable[[Attributes], str]
    value: Callable[[Attributes], int]


class _Metric(NamedTuple):
    """The name of the outcome, the attribute with its kind, and how many of its units are in one of the metric."""

    name: str
    kind: str
    factor: int


def _one(_: Attributes) -> int:
    return 1


def _none(_: Attributes) -> str:
    return ""


def _attribute(name: str) -> Callable[[Attributes], str]:
    return lambda said: text(said, name) or ""


def _or_failed(name: str) -> Callable[[Attributes], str]:
    def kind(said: Attributes) -> str:
        found = text(said, name, NAME_LIMIT - len(outcomes.FAILED)) or ""
        return outcomes.FAILED + found if flag(said, "success") is False else found

    return kind


def _status(said: Attributes) -> str:
    status = count(said, "status_code")
    return "" if status is None else str(status)


def _repeated(said: Attributes) -> int:
    return max((count(said, "total_attempts", _ATTEMPTS_LIMIT) or 1) - 1, 0)


EVENTS = {
    "tool_result": _Event(outcomes.TOOL_RESULTS, _or_failed("tool_name"), _one),
    "tool_decision": _Event(outcomes.TOOL_DECISIONS, _attribute("decision"), _one),
    "user_prompt": _Event(outcomes.PROMPTS, _none, _one),
    # Its tokens are those of the agent's last request only, which has an event of its own.
    "subagent_completed": _Event(outcomes.SUBAGENTS, _attribute("agent_type"), _one),
    "compaction": _Event(outcomes.COMPACTIONS, _or_failed("trigger"), _one),
    # The failure itself is counted by its api_error.
    "api_retries_exhausted": _Event(outcomes.RETRIES, _status, _repeated),
    "api_refusal": _Event(outcomes.REFUSALS, _attribute("category"), _one),
}
"""The events that are outcomes, without their prefix."""

METRICS = {
    "session.count": _Metric(outcomes.SESSIONS, "start_type", 1),
    "lines_of_code.count": _Metric(outcomes.LINES, "type", 1),
    "pull_request.count": _Metric(outcomes.PULL_REQUESTS, "", 1),
    "commit.count": _Metric(outcomes.COMMITS, "", 1),
    "code_edit_tool.decision": _Metric(outcomes.DECISIONS, "decision", 1),
    "active_time.total": _Metric(outcomes.ACTIVE_TIME, "type", SECOND_US),
    "cost.usage": _Metric(outcomes.COST, "model", NANOUSD),
    "token.usage": _Metric(outcomes.TOKENS, "type", 1),
}
"""The metrics that are read, without their prefix."""


def read_event(record: LogRecord, name: str) -> Outcome:
    """The outcome of a log event of EVENTS. Raises Unusable if it says something impossible."""
    event, said = EVENTS[name], record.attributes
    return Outcome(
        key=key_of_event(record, name),
        at_us=instant(record.time_ns),
        name=event.name,
        value=event.value(said),
        kind=event.kind(said),
        session_id=text(said, "session.id") or "",
    )


def read_point(source: Source, point: Point, name: str) -> Outcome:
    """The outcome of a data point. Raises Unusable if it is ignored."""
    metric = METRICS.get(name)
    if metric is None:
        raise Unusable("a metric that is not read")
    if point.value is None:
        raise Unusable("no sum")
    if not point.is_delta:
        raise Unusable(CUMULATIVE)
    said = point.attributes
    value = scaled({"its value": point.value}, "its value", metric.factor, outcomes.VALUE_LIMIT)
    return Outcome(
        key=key_of_point(source, point),
        at_us=instant(point.time_ns),
        name=metric.name,
        value=value or 0,
        kind=text(said, metric.kind) or "",
        session_id=text(said, "session.id") or "",
    )
