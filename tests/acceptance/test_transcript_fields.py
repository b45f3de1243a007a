"""The source of each field of a response in a transcript."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claude_force.executions.record import task_hash
from tests.conftest import Run
from tests.transcripts import (
    AGENT,
    CWD,
    SESSION,
    Ingester,
    Line,
    Talk,
    Tokens,
    agent_file,
    agent_talk,
    exported,
    ingested,
    main_file,
    moment,
    parent_of_agent,
    put,
    task_block,
    task_result,
    text_block,
    thinking_block,
    tokens_of,
    tool_block,
)


def test_fields_of_a_main_conversation(run: Run, projects: Path) -> None:
    """Session, prompt, folder, five kinds of tokens, and the duration from the entry that is answered to the last
    line."""
    talk = Talk()
    prompt = talk.prompt("Please look at the engine.")
    talk.seconds += 4
    talk.respond("msg_1", Tokens(3, 120, 15_000, 70, 900), blocks=[thinking_block(), text_block(), tool_block()])
    talk.result(promptId=prompt["promptId"])
    talk.respond("msg_2", Tokens(2, 50, 16_000, 0, 30))
    later = talk.prompt("And the brakes?")
    talk.respond("msg_3", Tokens(5, 9, 17_000, 0, 0))
    put(main_file(projects), talk.lines)
    assert ingested(run)["added"] == 3
    rows = exported(run)
    assert [tokens_of(row) for row in rows] == [
        Tokens(3, 120, 15_000, 70, 900),
        Tokens(2, 50, 16_000, 0, 30),
        Tokens(5, 9, 17_000, 0, 0),
    ]
    assert [row["execution_time_ms"] for row in rows] == [7000, 1000, 1000]
    assert [row["run_id"] for row in rows] == [prompt["promptId"]] * 2 + [later["promptId"]]
    assert [row["task_hash"] for row in rows] == [task_hash("Please look at the engine.")] * 2 + [
        task_hash("And the brakes?")
    ]
    for row in rows:
        assert (row["agent_name"], row["workflow_id"], row["project"]) == ("main", SESSION, CWD)
        assert (row["source"], row["success"], row["error_type"], row["usage_basis"]) == (
            "claude-code",
            True,
            None,
            None,
        )
        assert row["estimated_cost"] > 0
    assert rows[0]["timestamp"].startswith(moment(8)[:-1])


def test_a_prompt_of_blocks_has_the_hash_of_its_text(ingester: Ingester, tmp_path: Path) -> None:
    """A prompt may be a list of blocks. Without a promptId its uuid identifies the run."""
    talk = Talk()
    line = talk.prompt(message={"content": [text_block("Please look.")]}, promptId=...)
    talk.respond("msg_1")
    put(main_file(tmp_path), talk.lines)
    ingester.ingest(tmp_path)
    (row,) = ingester.rows()
    assert (row["task_hash"], row["run_id"]) == (task_hash("Please look."), line["uuid"])


def test_a_compaction_does_not_start_a_run(ingester: Ingester, tmp_path: Path) -> None:
    """A summary and a message of Claude Code are in the place of a prompt. The run continues."""
    talk = Talk()
    prompt = talk.prompt("Please look.")
    talk.respond("msg_1", blocks=[tool_block()])
    talk.prompt("This session is being continued from ...", isCompactSummary=True, promptId=...)
    talk.prompt("<system-reminder>Careful</system-reminder>", isMeta=True, promptId=...)
    talk.respond("msg_2")
    put(main_file(tmp_path), talk.lines)
    ingester.ingest(tmp_path)
    assert {(row["run_id"], row["task_hash"]) for row in ingester.rows()} == {
        (prompt["promptId"], task_hash("Please look."))
    }


def names_of_agents(ingester: Ingester, folder: Path) -> set[tuple[str, str, str, str]]:
    """Agent, session, run and task of the responses of sub-agents."""
    assert ingester.ingest(folder).problems == []
    return {
        (row["agent_name"], row["workflow_id"], row["run_id"], row["task_hash"])
        for row in ingester.rows()
        if row["agent_name"] != "main"
    }


def test_the_agent_name_is_in_its_lines(ingester: Ingester, tmp_path: Path) -> None:
    """In `attributionAgent`."""
    put(agent_file(tmp_path, AGENT), agent_talk(attribution="code-reviewer").lines)
    assert names_of_agents(ingester, tmp_path) == {("code-reviewer", SESSION, AGENT, task_hash("Look at the valves."))}


def test_the_agent_name_is_in_its_meta_file(ingester: Ingester, tmp_path: Path) -> None:
    """In `agent-<id>.meta.json`."""
    path = put(agent_file(tmp_path, AGENT), agent_talk().lines)
    meta = {"agentType": "test-runner", "toolUseId": "toolu_01Task", "parentAgentId": None}
    put(path.with_suffix("").with_suffix(".meta.json"), json.dumps(meta).encode())
    assert names_of_agents(ingester, tmp_path) == {("test-runner", SESSION, AGENT, task_hash("Look at the valves."))}


@pytest.mark.parametrize("by", ["prompt", "agent id"])
def test_the_agent_name_is_in_the_call_that_started_it(by: str, ingester: Ingester, tmp_path: Path) -> None:
    """The Task call in the parent's transcript is found by its prompt, or by the agent id in its result if the
    sub-agent's prompt was rewritten."""
    prompt = "Look at the valves."
    result = None if by == "prompt" else task_result(AGENT, Tokens(1, 5, 9000, 70, 0), prompt)
    put(main_file(tmp_path), parent_of_agent(prompt, "Plan", result=result).lines)
    own = prompt if by == "prompt" else f"{prompt}\n\nBe brief."
    put(agent_file(tmp_path, AGENT), agent_talk(own).lines)
    assert names_of_agents(ingester, tmp_path) == {("Plan", SESSION, AGENT, task_hash(own))}


def test_an_agent_started_by_an_agent_has_a_name(sqlite_ingester: Ingester, tmp_path: Path) -> None:
    """The Task call is in the transcript of the sub-agent that started it."""
    outer = Talk(agent_id="aouter")
    outer.prompt("Look around.")
    outer.respond("msg_O1", blocks=[task_block("Look at the valves.", "Plan")], attributionAgent="Explore")
    put(agent_file(tmp_path, "aouter"), outer.lines)
    put(agent_file(tmp_path, AGENT), agent_talk().lines)
    sqlite_ingester.ingest(tmp_path)
    assert {row["agent_name"] for row in sqlite_ingester.rows()} == {"Explore", "Plan"}


def test_an_agent_without_a_name_is_not_main(ingester: Ingester, tmp_path: Path) -> None:
    """Its responses are not counted for `main`."""
    put(agent_file(tmp_path, AGENT), agent_talk().lines)
    (found,) = names_of_agents(ingester, tmp_path)
    assert found[1:] == (SESSION, AGENT, task_hash("Look at the valves."))


def test_an_agent_of_a_workflow_run(ingester: Ingester, tmp_path: Path) -> None:
    """Its workflow is the workflow run, not the session."""
    put(agent_file(tmp_path, AGENT, workflow="wf_7"), agent_talk(attribution="Explore").lines)
    assert names_of_agents(ingester, tmp_path) == {("Explore", "wf_7", AGENT, task_hash("Look at the valves."))}


def test_an_old_side_chain_in_the_file_of_its_session(ingester: Ingester, tmp_path: Path) -> None:
    """Older versions wrote a sub-agent into the file of its session, without an agent id."""
    prompt = "Look at the valves."
    talk = parent_of_agent(prompt, "Plan")
    main, side = talk.parent, Talk(seconds=talk.seconds, constants={"isSidechain": True})
    side.prompt(prompt, promptId=...)
    side.respond("msg_S1", blocks=[tool_block()])
    side.result()
    side.respond("msg_S2")
    talk.lines += side.lines
    talk.seconds, talk.parent = side.seconds, main
    talk.result("All is well.", {"content": [], "totalTokens": 5}, call="toolu_01Task")
    talk.respond("msg_P2")
    put(main_file(tmp_path), talk.lines)
    ingester.ingest(tmp_path)
    rows = ingester.rows()
    assert [row["agent_name"] for row in rows] == ["main", "Plan", "Plan", "main"]
    assert {row["task_hash"] for row in rows[1:3]} == {task_hash(prompt)}
    assert rows[0]["run_id"] == rows[3]["run_id"] != rows[1]["run_id"] == rows[2]["run_id"]


ERRORS: dict[str, tuple[str, Line, str]] = {
    "a field": ("API Error: 529 overloaded", {"error": "rate_limit"}, "rate_limit"),
    "the body": (
        'API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        {},
        "overloaded_error",
    ),
    "a status": ("API Error: 503 upstream connect error", {}, "503"),
    "words": ("API Error: Request timed out.", {}, "timeout"),
    "nothing": ("Something went wrong.", {}, ""),
}


@pytest.mark.parametrize(("text", "fields", "kind"), ERRORS.values(), ids=ERRORS)
def test_an_api_error_is_a_failure_with_its_kind(
    text: str, fields: Line, kind: str, sqlite_ingester: Ingester, tmp_path: Path
) -> None:
    """The kind of the error is stored, never its message. It costs nothing."""
    talk = Talk()
    talk.prompt()
    talk.fail(text, **fields)
    put(main_file(tmp_path), talk.lines)
    assert sqlite_ingester.ingest(tmp_path).problems == []
    (row,) = sqlite_ingester.rows()
    assert (row["success"], row["agent_name"], row["usage_basis"]) == (False, "main", None)
    assert kind in row["error_type"]
    assert row["error_type"]
    assert " " not in row["error_type"]
    assert row["model"] != "<synthetic>"


def test_messages_of_claude_code_itself_are_counted_but_not_stored(run: Run, projects: Path) -> None:
    """A synthetic message that is no API error is no execution. The ingest reports how many there were."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    for _ in range(3):
        talk.fail("No response requested.", isApiErrorMessage=...)
    put(main_file(projects), talk.lines)
    found = ingested(run)
    assert found["added"] == 1
    assert sum(found["sources"]["claude-code"]["skipped"].values()) == 3
    assert "3 left out" in run("ingest", projects, "--db", "other.db").stdout


def test_lines_of_other_kinds_are_ignored(ingester: Ingester, tmp_path: Path) -> None:
    """Summaries, attachments, snapshots and unknown kinds are skipped without a message."""
    talk = Talk()
    talk.prompt()
    for kind in ("attachment", "file-history-snapshot", "ai-title", "mode", "last-prompt", "system", "not-yet-known"):
        talk.add(kind, {}, content="x", snapshot={"messageId": "m"}, usage={"input_tokens": 9})
    talk.lines += [{"type": "summary", "summary": "The engine", "leafUuid": "u"}, {}, {"type": None}]
    talk.respond("msg_1")
    put(main_file(tmp_path), talk.lines)
    assert (ingester.ingest(tmp_path).problems, len(ingester.rows())) == ([], 1)


def test_fast_mode_and_searches_are_stored(ingester: Ingester, tmp_path: Path) -> None:
    """`speed` and `server_tool_use` change the price."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", message={"usage": {"speed": "fast", "server_tool_use": {"web_search_requests": 3}}})
    put(main_file(tmp_path), talk.lines)
    ingester.ingest(tmp_path)
    (row,) = ingester.rows()
    assert (row["service_tier"], row["web_searches"]) == ("fast", 3)
