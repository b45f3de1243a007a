"""Which run started which, as transcripts and telemetry say it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from claude_force.executions.run_parents import RunParent, best_parents
from claude_force.ingest.telemetry.requests import parent_of
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import decode_entry
from claude_force.ingest.transcripts.responses import ResponseReader
from tests.sighted import SESSION as HEARD
from tests.sighted import request
from tests.transcripts import AGENT, SESSION, Line, Talk, Tokens, agent_talk, task_block, task_result

PROMPT = "prompt-1"
CHILD = "a5e3f1c2b4d60718"
LAUNCHED = {"status": "async_launched", "isAsync": True, "agentId": AGENT, "prompt": "Look"}
WORKFLOW = {"status": "async_launched", "taskId": "t1", "runId": "wf_77", "transcriptDir": "/home/ada/wf_77"}


def parents(lines: Iterable[Line], place: TranscriptContext | None = None) -> dict[str, str | None]:
    """The parent of each run that these lines name, after one pass. Two passes say the same."""
    entries = [decode_entry(json.dumps(line).encode()) for line in lines]
    whole = ResponseReader(place or TranscriptContext(SESSION))
    again = ResponseReader(place or TranscriptContext(SESSION))
    in_parts: list[RunParent] = []
    for number, entry in enumerate(entries, 1):
        whole.read(entry, number)
        again.read(entry, number)
        in_parts += again.parents
        again.emit()
        again = ResponseReader(again.context, again.saved_state())
    found = best_parents(whole.parents)
    assert found == best_parents(in_parts)
    assert {session for _, session in found} <= {SESSION}
    return {parent.run_id: parent.parent_id for parent in found.values()}


def asked(*results: Any) -> Talk:
    """A session: a prompt, and tools that gave these results."""
    talk = Talk()
    talk.prompt(promptId=PROMPT)
    for number, result in enumerate(results):
        talk.respond(f"msg_{number}", blocks=[task_block("Look", "Explore")])
        talk.result(result=result)
    return talk


@pytest.mark.parametrize(
    ("result", "run"),
    [
        (LAUNCHED, AGENT),
        (task_result(AGENT, Tokens(), "Look"), AGENT),
        (WORKFLOW, "wf_77"),
        (WORKFLOW | {"runId": "build-77"}, None),
        (WORKFLOW | {"runId": 77}, None),
        ({"agentId": 5}, None),
        ({"agentId": PROMPT}, None),
        ({"stdout": 'a "agentId" in a text'}, None),
        ("Error: interrupted", None),
    ],
)
def test_the_result_of_a_tool_names_what_the_prompt_started(result: Any, run: str | None) -> None:
    """A sub-agent when it is started or has ended, and a workflow. The prompt itself is started by the session."""
    started = {run: PROMPT} if run else {}
    assert parents(asked(result).lines) == {PROMPT: SESSION, **started}


def test_a_sub_agent_starts_others() -> None:
    """The results in its own transcript name those that it started."""
    talk = agent_talk()
    talk.result(result=LAUNCHED | {"agentId": CHILD})
    assert parents(talk.lines, TranscriptContext(SESSION, AGENT)) == {CHILD: AGENT}


@pytest.mark.parametrize(
    ("agent", "recorded", "workflow", "parent"),
    [
        (AGENT, None, None, None),
        (AGENT, None, "wf_77", "wf_77"),
        (AGENT, CHILD, None, CHILD),
        (AGENT, CHILD, "wf_77", CHILD),
        ("acompact-83efcb", None, None, SESSION),
    ],
)
def test_the_file_of_a_sub_agent_may_name_its_parent(
    agent: str, recorded: str | None, workflow: str | None, parent: str | None
) -> None:
    """The agent in its meta file, else its workflow. Agents of Claude Code itself belong to the session."""
    place = TranscriptContext(SESSION, agent, workflow, parent_agent=lambda: recorded)
    talk = agent_talk()
    talk.lines = [line | {"agentId": agent} for line in talk.lines]
    assert parents(talk.lines, place) == ({agent: parent} if parent else {})


def test_older_versions_write_sub_agents_into_the_session() -> None:
    """As lines of progress, with an id, or as a side conversation, whose run is called as its first line."""
    talk = asked()
    line = agent_talk().lines[0]
    talk.add("progress", {}, data={"type": "agent_progress", "agentId": AGENT, "message": line})
    side = talk.add("user", {"parentUuid": None, "isSidechain": True}, message={"role": "user", "content": "Look"})
    assert parents(talk.lines) == {PROMPT: SESSION, AGENT: PROMPT, side["uuid"]: PROMPT}


def test_a_sub_agent_that_is_continued_keeps_its_parent() -> None:
    """The run that started it counts, whatever later one has to do with it."""
    talk = asked(LAUNCHED)
    talk.prompt("Go on", promptId="prompt-2")
    talk.respond("msg_9")
    talk.result(result=task_result(AGENT, Tokens(), "Look"))
    assert parents(talk.lines)[AGENT] == PROMPT


@pytest.mark.parametrize(
    ("said", "parent"),
    [
        ({"agent_id": AGENT, "parent_agent_id": CHILD}, CHILD),
        ({"agent_id": AGENT}, None),
        ({"parent_agent_id": CHILD}, None),
        ({"agent_id": AGENT, "parent_agent_id": CHILD, "session_id": None}, None),
        ({"agent_id": "acompact-83efcb"}, HEARD),
    ],
)
def test_telemetry_names_the_parent_of_a_sub_agent(said: dict[str, Any], parent: str | None) -> None:
    """If another sub-agent started it. Without a session it cannot be placed."""
    made = request(**said)
    expected = [RunParent(str(made.agent_id), HEARD, parent, made.at_us)] if parent else []
    assert parent_of(made) == expected


def test_the_parent_that_was_seen_first_counts() -> None:
    """A known one before an unknown one; a run is not its own parent."""
    seen = [
        RunParent("a", "s"),
        RunParent("a", "s", "late", 9),
        RunParent("a", "s", "z", 5),
        RunParent("a", "s", "b", 5),
        RunParent("a", "s", "a", 1),
        RunParent("a", "t"),
    ]
    for order in (seen, seen[::-1]):
        assert best_parents(order) == {("a", "s"): RunParent("a", "s", "b", 5), ("a", "t"): RunParent("a", "t")}
