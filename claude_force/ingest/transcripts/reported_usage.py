"""What the transcript of a session reports about a sub-agent that ended.

Two records carry it: the result of the Task tool, with the final usage of the sub-agent's last response, and a
notification (a user's entry or a queue operation), with the sum of its tokens:

    <task-notification><task-id>a1</task-id> ... <total_tokens>5000</total_tokens><duration_ms>9000</duration_ms> ...
"""

from __future__ import annotations

import re

from claude_force.clock import DAY_US, SECOND_US
from claude_force.executions.deduplication import ReportedUsage
from claude_force.executions.record import DURATION_LIMIT_US, TOKENS_LIMIT
from claude_force.ingest.transcripts.entries import TaskResult, Usage

NOTIFICATION = "<task-notification>"

_NUMBERS_CHARACTERS = 2000
"""The numbers are in this much of the end of a notification; before them comes the text of the sub-agent."""

_SLACK_US = 600 * SECOND_US
_AGENT_ID = re.compile(r"[\w.:-]{1,100}")
_TASK_ID = re.compile(r"<task-id>([\w.:-]{1,100})</task-id>")
_TOKENS = re.compile(r"<(?:subagent|total)_tokens>(\d{1,9})</(?:subagent|total)_tokens>")
_DURATION = re.compile(r"<duration_ms>(\d{1,12})</duration_ms>")


def from_result(result: TaskResult, until_us: int) -> list[ReportedUsage]:
    """The report of a Task result that was written at `until_us`; none if its numbers are impossible."""
    usage, tokens = result.usage, [result.total_tokens or 0]
    if usage is not None and None not in (usage.input_tokens, usage.output_tokens):
        tokens += [prompt_tokens(usage), usage.output_tokens or 0]
    agent_id = result.agent_id or ""
    if not _AGENT_ID.fullmatch(agent_id) or not all(0 < count <= TOKENS_LIMIT for count in tokens):
        return []
    since_us = _since(until_us, result.total_duration_ms)
    return [ReportedUsage(agent_id, "task_result", until_us, since_us, *tokens)]


def from_notification(text: str, until_us: int) -> list[ReportedUsage]:
    """The report of a notification that was written at `until_us`; none if it is no notification, or has no numbers."""
    if NOTIFICATION not in text:
        return []
    task, end = _TASK_ID.search(text), text[-_NUMBERS_CHARACTERS:]
    tokens, durations_ms = _TOKENS.findall(end), _DURATION.findall(end)
    if not task or not tokens:
        return []
    since_us = _since(until_us, int(durations_ms[-1]) if durations_ms else None)
    return [ReportedUsage(task[1], "task_notification", until_us, since_us, int(tokens[-1]))]


def prompt_tokens(usage: Usage) -> int:
    """All tokens that were sent: new, read from the cache and written to it."""
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return (usage.input_tokens or 0) + cached


def _since(until_us: int, duration_ms: int | None) -> int:
    """The earliest instant at which the reported run may have had a response; a day before, without a duration."""
    is_possible = duration_ms is not None and 0 <= duration_ms * 1000 <= DURATION_LIMIT_US
    spent_us = (duration_ms or 0) * 1000 if is_possible else DAY_US
    return max(until_us - spent_us - _SLACK_US, 0)
