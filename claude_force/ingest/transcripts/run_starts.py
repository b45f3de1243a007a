"""What the entries of a transcript say about which run started which: see `executions.run_parents`."""

from __future__ import annotations

import re

from claude_force.executions.clean_names import clean_name
from claude_force.executions.run_parents import RunParent
from claude_force.ingest.transcripts.agent_ids import internal_agent
from claude_force.ingest.transcripts.entries import Entry, TaskResult

_ENDED, _STARTED = b'"totalTokens"', b'"async_launched"'
_HEAD_BYTES = 1024
"""Claude Code writes near the beginning of a result that something was started. The rest is what a tool has read."""

_WORKFLOW = re.compile(r"wf_[\w.-]{1,100}")


def names_run(result: bytes) -> bool:
    """Whether the result of a tool may be that of a sub-agent that ended, or that it or a workflow was started."""
    return _ENDED in result or result.find(_STARTED, 0, _HEAD_BYTES) >= 0


def started_by(
    run_id: str | None, parent_id: str | None, session_id: str | None, seen_us: int | None
) -> list[RunParent]:
    """That one run started another; nothing where one of them, or when, is not known."""
    run, parent, session = clean_name(run_id), clean_name(parent_id), clean_name(session_id)
    if run is None or parent is None or session is None or seen_us is None:
        return []
    return [RunParent(run, session, parent, seen_us)]


def started_by_call(task: TaskResult, caller: str | None, session_id: str | None, seen_us: int) -> list[RunParent]:
    """What the result of a tool says that the run `caller` started."""
    is_workflow = task.agent_id is None and _WORKFLOW.fullmatch(task.run_id or "")
    return started_by(task.run_id if is_workflow else task.agent_id, caller, session_id, seen_us)


def starter_of(agent_id: str, agent_that_started: str | None, workflow_id: str | None, entry: Entry) -> str | None:
    """What started the sub-agent of a transcript, as far as its own file says."""
    if internal_agent(agent_id):
        return entry.session_id
    return agent_that_started or workflow_id
