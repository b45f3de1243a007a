"""Transcripts of Claude Code as a source: what each field is taken from, files that grow, usage that was never
finalised, a ledger that does not move, privacy, and the places that are looked at."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from claude_force.opening import open_database
from claude_force.record import PROVISIONAL, task_hash
from claude_force.store import Store
from tests.builders import a_line
from tests.conftest import Run
from tests.transcripts import (
    CWD,
    FORK,
    SESSION,
    Line,
    Passes,
    Talk,
    Tokens,
    agent_file,
    changed,
    copied,
    jsonl,
    main_file,
    moment,
    notification,
    put,
    task_block,
    task_result,
    text_block,
    thinking_block,
    tokens_of,
    tool_block,
)

Rows = list[dict[str, Any]]


@pytest.fixture
def passes(store: Store, tmp_path: Path) -> Passes:
    """Passes into an empty database, on both engines."""
    return Passes(store, tmp_path / "rejected.jsonl")


@pytest.fixture
def lite(tmp_path: Path) -> Passes:
    """Passes into an empty SQLite database."""
    return Passes(Store(open_database(str(tmp_path / "lite.db"))), tmp_path / "rejected.jsonl")


@pytest.fixture
def projects(home: Path) -> Path:
    """The `projects` folder of Claude Code."""
    return home / ".claude" / "projects"


def exported(run: Run, *options: str | Path) -> Rows:
    """The executions in the database of the home folder, times in UTC."""
    found: Rows = json.loads(run("analytics", "export", "--json", "--timezone", "UTC", *options).stdout)
    return found


def ingested(run: Run, *arguments: str | Path, **options: Any) -> dict[str, Any]:
    """What a pass without problems said."""
    done = run("ingest", "--json", *arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Fields


def test_fields_of_a_main_conversation(run: Run, projects: Path) -> None:
    """Session, prompt, folder, five kinds of tokens, and the time from the entry that is answered to the last line."""
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


def test_a_prompt_of_blocks_has_the_hash_of_its_text(passes: Passes, tmp_path: Path) -> None:
    """A prompt may be a list of blocks; without a promptId its uuid names the run."""
    talk = Talk()
    line = talk.prompt(message={"content": [text_block("Please look.")]}, promptId=...)
    talk.respond("msg_1")
    put(main_file(tmp_path), talk.lines)
    passes.over(tmp_path)
    (row,) = passes.rows()
    assert (row["task_hash"], row["run_id"]) == (task_hash("Please look."), line["uuid"])


def test_a_compaction_begins_no_prompt(passes: Passes, tmp_path: Path) -> None:
    """A summary and a remark of Claude Code itself stand where a prompt would; the run goes on."""
    talk = Talk()
    prompt = talk.prompt("Please look.")
    talk.respond("msg_1", blocks=[tool_block()])
    talk.prompt("This session is being continued from ...", isCompactSummary=True, promptId=...)
    talk.prompt("<system-reminder>Careful</system-reminder>", isMeta=True, promptId=...)
    talk.respond("msg_2")
    put(main_file(tmp_path), talk.lines)
    passes.over(tmp_path)
    assert {(row["run_id"], row["task_hash"]) for row in passes.rows()} == {
        (prompt["promptId"], task_hash("Please look."))
    }


AGENT = "a1b2c3d4e5f6a7b8"


def parent_of_agent(prompt: str, agent: str, *, result: Line | None = None) -> Talk:
    """A session that starts a sub-agent."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_P1", blocks=[task_block(prompt, agent)])
    if result is not None:
        talk.result("All is well.", result, call="toolu_01Task")
    return talk


def agent_talk(prompt: str = "Look at the valves.", *, attribution: Any = ...) -> Talk:
    """The transcript of a sub-agent with two responses."""
    agent = Talk(agent_id=AGENT, seconds=10)
    agent.prompt(prompt)
    agent.respond("msg_S1", Tokens(3, 2, 0, 9000, 0), blocks=[tool_block()], attributionAgent=attribution)
    agent.result()
    agent.respond("msg_S2", Tokens(1, 5, 9000, 70, 0), attributionAgent=attribution)
    return agent


def names_of_agents(passes: Passes, folder: Path) -> set[tuple[str, str, str, str]]:
    """Agent, session, run and task of the responses of sub-agents."""
    assert passes.over(folder).problems == []
    return {
        (row["agent_name"], row["workflow_id"], row["run_id"], row["task_hash"])
        for row in passes.rows()
        if row["agent_name"] != "main"
    }


def test_an_agent_is_named_by_its_lines(passes: Passes, tmp_path: Path) -> None:
    """`attributionAgent`."""
    put(agent_file(tmp_path, AGENT), agent_talk(attribution="code-reviewer").lines)
    assert names_of_agents(passes, tmp_path) == {("code-reviewer", SESSION, AGENT, task_hash("Look at the valves."))}


def test_an_agent_is_named_by_the_file_beside_its_own(passes: Passes, tmp_path: Path) -> None:
    """`agent-<id>.meta.json`."""
    path = put(agent_file(tmp_path, AGENT), agent_talk().lines)
    meta = {"agentType": "test-runner", "toolUseId": "toolu_01Task", "parentAgentId": None}
    put(path.with_suffix("").with_suffix(".meta.json"), json.dumps(meta).encode())
    assert names_of_agents(passes, tmp_path) == {("test-runner", SESSION, AGENT, task_hash("Look at the valves."))}


@pytest.mark.parametrize("by", ["prompt", "agent id"])
def test_an_agent_is_named_by_the_call_that_started_it(by: str, passes: Passes, tmp_path: Path) -> None:
    """The Task call in the parent's transcript: by its prompt, and by the id in its result where the sub-agent's own
    prompt was put in other words."""
    prompt = "Look at the valves."
    result = None if by == "prompt" else task_result(AGENT, Tokens(1, 5, 9000, 70, 0), prompt)
    put(main_file(tmp_path), parent_of_agent(prompt, "Plan", result=result).lines)
    own = prompt if by == "prompt" else f"{prompt}\n\nBe brief."
    put(agent_file(tmp_path, AGENT), agent_talk(own).lines)
    assert names_of_agents(passes, tmp_path) == {("Plan", SESSION, AGENT, task_hash(own))}


def test_an_agent_that_an_agent_started_is_named(lite: Passes, tmp_path: Path) -> None:
    """The Task call stands in the transcript of the sub-agent that started it."""
    outer = Talk(agent_id="aouter")
    outer.prompt("Look around.")
    outer.respond("msg_O1", blocks=[task_block("Look at the valves.", "Plan")], attributionAgent="Explore")
    put(agent_file(tmp_path, "aouter"), outer.lines)
    put(agent_file(tmp_path, AGENT), agent_talk().lines)
    lite.over(tmp_path)
    assert {row["agent_name"] for row in lite.rows()} == {"Explore", "Plan"}


def test_an_agent_of_which_nothing_tells_is_no_main_conversation(passes: Passes, tmp_path: Path) -> None:
    """Its responses are not those of `main`."""
    put(agent_file(tmp_path, AGENT), agent_talk().lines)
    (found,) = names_of_agents(passes, tmp_path)
    assert found[1:] == (SESSION, AGENT, task_hash("Look at the valves."))


def test_an_agent_of_a_workflow_run(passes: Passes, tmp_path: Path) -> None:
    """Its workflow is the run, not the session."""
    put(agent_file(tmp_path, AGENT, workflow="wf_7"), agent_talk(attribution="Explore").lines)
    assert names_of_agents(passes, tmp_path) == {("Explore", "wf_7", AGENT, task_hash("Look at the valves."))}


def test_an_old_side_chain_within_its_session(passes: Passes, tmp_path: Path) -> None:
    """Older versions wrote a sub-agent into the file of its session, without an agent's id."""
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
    passes.over(tmp_path)
    rows = passes.rows()
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
    text: str, fields: Line, kind: str, lite: Passes, tmp_path: Path
) -> None:
    """What is told of the error is its kind, never its message; it costs nothing."""
    talk = Talk()
    talk.prompt()
    talk.fail(text, **fields)
    put(main_file(tmp_path), talk.lines)
    assert lite.over(tmp_path).problems == []
    (row,) = lite.rows()
    assert (row["success"], row["agent_name"], row["usage_basis"]) == (False, "main", None)
    assert kind in row["error_type"]
    assert row["error_type"]
    assert " " not in row["error_type"]
    assert row["model"] != "<synthetic>"


def test_what_claude_code_wrote_itself_is_left_out_and_counted(run: Run, projects: Path) -> None:
    """A synthetic message that is no API error is no execution; the pass says how many there were."""
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


def test_lines_of_other_kinds_are_no_executions(passes: Passes, tmp_path: Path) -> None:
    """Summaries, attachments, snapshots and whatever a later version may add are passed over without a word."""
    talk = Talk()
    talk.prompt()
    for kind in ("attachment", "file-history-snapshot", "ai-title", "mode", "last-prompt", "system", "not-yet-known"):
        talk.add(kind, {}, content="x", snapshot={"messageId": "m"}, usage={"input_tokens": 9})
    talk.lines += [{"type": "summary", "summary": "The engine", "leafUuid": "u"}, {}, {"type": None}]
    talk.respond("msg_1")
    put(main_file(tmp_path), talk.lines)
    assert (passes.over(tmp_path).problems, len(passes.rows())) == ([], 1)


def test_fast_mode_and_searches_are_noted(passes: Passes, tmp_path: Path) -> None:
    """`speed` and `server_tool_use` change the price, so they are kept."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", message={"usage": {"speed": "fast", "server_tool_use": {"web_search_requests": 3}}})
    put(main_file(tmp_path), talk.lines)
    passes.over(tmp_path)
    (row,) = passes.rows()
    assert (row["service_tier"], row["web_searches"]) == ("fast", 3)


# Growth


def sample(*, request: str | None) -> tuple[Talk, Talk]:
    """A session and its sub-agent with everything that happens, small enough to be cut at every place."""
    talk = Talk()
    talk.prompt("Bitte die Ventile prüfen → ✓.")
    talk.respond(
        "msg_1",
        [Tokens(3, 1, 9, 0, 4), Tokens(3, 1, 9, 0, 4), Tokens(3, 99, 9, 0, 4)],
        request=request,
        blocks=[thinking_block(), text_block("größer\u2028naïve"), task_block("Look", "Plan")],
    )
    talk.result("All is well.", task_result(AGENT, Tokens(1, 77, 90, 7, 0), "Look"), call="toolu_01Task")
    talk.respond("msg_2", Tokens(2, 50, 13, 0, 3), request=request)
    talk.fail("API Error: 529 Overloaded")
    talk.prompt("And the brakes?")
    talk.respond("msg_3", Tokens(2, 8, 16, 5, 3), request=request)
    agent = Talk(agent_id=AGENT, seconds=4.5)
    agent.prompt("Look")
    agent.seconds -= 0.8
    agent.respond("msg_S1", Tokens(3, 2, 0, 90, 0), request=request, blocks=[tool_block()], attributionAgent=...)
    agent.seconds -= 0.8
    agent.result()
    agent.seconds -= 0.8
    agent.respond("msg_S2", Tokens(1, 5, 90, 7, 0), request=request, attributionAgent=...)
    return talk, agent


def comparable(rows: Rows) -> Rows:
    """Rows in an order that does not depend on when they were stored."""
    return sorted(rows, key=lambda row: str(row["uid"]))


def grown(passes: Passes, folder: Path, parts: Sequence[tuple[Path, bytes]]) -> Rows:
    """The rows after a pass for each part that was appended."""
    for path, part in parts:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(part)
        assert passes.over(folder).problems == []
    return comparable(passes.rows())


@pytest.mark.parametrize("request_id", ["", None], ids=["request ids", "no request ids"])
def test_growth_between_passes_gives_the_same_rows(request_id: str | None, tmp_path: Path) -> None:
    """A session that is read in two parts, cut at any byte, and one that is read after every few bytes, comes to
    exactly the executions of one pass."""
    talk, agent = sample(request=request_id)
    main, theirs = main_file(Path(), SESSION), agent_file(Path(), AGENT)

    def rows_of(name: str, parts: Callable[[Path], Sequence[tuple[Path, bytes]]]) -> Rows:
        folder = tmp_path / name
        folder.mkdir()
        database = open_database(str(folder / "metrics.db"))
        try:
            return grown(Passes(Store(database), folder / "rejected.jsonl"), folder, parts(folder / "projects"))
        finally:
            database.close()

    data = talk.data()
    whole = rows_of("whole", lambda root: [(root / theirs, agent.data()), (root / main, data)])
    assert len(whole) == 6
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    cuts = sorted({place + shift for place in ends for shift in (-1, 0, 1, 37)} & set(range(1, len(data))))
    for cut in cuts:
        found = rows_of(
            f"at-{cut}",
            lambda root, cut=cut: [  # type: ignore[misc]
                (root / theirs, agent.data()),
                (root / main, data[:cut]),
                (root / main, data[cut:]),
            ],
        )
        assert found == whole, f"cut at {cut}"
    for step in (211, 397):
        found = rows_of(
            f"every-{step}",
            lambda root, step=step: [  # type: ignore[misc]
                (root / theirs, agent.data()),
                *((root / main, data[place : place + step]) for place in range(0, len(data), step)),
            ],
        )
        assert found == whole, f"every {step} bytes"


@pytest.mark.parametrize("request_id", ["", None], ids=["request ids", "no request ids"])
def test_growth_of_a_sub_agent_gives_the_same_rows(request_id: str | None, passes: Passes, tmp_path: Path) -> None:
    """The same for the sub-agent's file, in steps of many sizes, on both engines: many sessions in one database."""
    whole: dict[str, list[Tokens]] = {}
    for step in (61, 127, 450, 1000, 10**6):
        session = f"session-{step}"
        talk, agent = sample(request=None if request_id is None else f"req_{step}_")
        files = [
            (main_file(tmp_path, session), jsonl(with_ids(talk.lines, session))),
            (agent_file(tmp_path, AGENT, session), jsonl(with_ids(agent.lines, session))),
        ]
        for path, data in files:
            grown(passes, path.parent, [(path, data[at : at + step]) for at in range(0, len(data), step)])
    for row in passes.rows():
        whole.setdefault(row["workflow_id"], []).append(tokens_of(row))
    assert len(whole) == 5
    assert len({tuple(sorted(tokens)) for tokens in whole.values()}) == 1
    assert {len(tokens) for tokens in whole.values()} == {6}


def with_ids(lines: Sequence[Line], session: str) -> list[Line]:
    """The same lines as those of another session: with other ids and, as no two sessions are at once, another time."""
    found = copied(lines, new_uuids=True, sessionId=session)
    for line in found:
        if line["type"] == "assistant":
            line["message"] = line["message"] | {"id": f"{line['message']['id']}_{session}"}
            if "requestId" in line:
                line["requestId"] += line["message"]["id"]
    return found


def test_a_pass_with_nothing_new_changes_nothing(run: Run, projects: Path) -> None:
    """It says so, and the executions are the same."""
    talk, agent = sample(request="")
    put(main_file(projects), talk.lines)
    put(agent_file(projects, AGENT), agent.lines)
    first = ingested(run)
    before = exported(run)
    again = ingested(run)
    assert (first["files"], first["unchanged"], again["files"], again["unchanged"]) == (2, 0, 2, 2)
    assert (again["lines"], again["added"], again["changed"]) == (0, 0, 0)
    assert exported(run) == before


# Usage that was never final


def provisional_agent(projects: Path, *, result: Line | None = None, tell: Callable[[Talk], Any] | None = None) -> None:
    """A session and a sub-agent whose lines tell two and five tokens of output."""
    talk = parent_of_agent("Look at the valves.", "Explore", result=result)
    talk.seconds = 60
    if tell is not None:
        tell(talk)
    talk.respond("msg_P2", Tokens(2, 50, 16_000, 0, 30))
    put(main_file(projects), talk.lines)
    put(agent_file(projects, AGENT), agent_talk(attribution="Explore").lines)


def bases(rows: Rows) -> list[tuple[str, int, str | None]]:
    """Agent, output and its basis, in the order of time."""
    return [(row["agent_name"], row["output_tokens"], row["usage_basis"]) for row in rows]


def test_usage_that_was_never_final_is_said(run: Run, projects: Path) -> None:
    """Executions of a sub-agent are not final; every report says how many there are, and that output and cost are
    lower bounds."""
    provisional_agent(projects)
    ingested(run)
    assert bases(exported(run)) == [
        ("main", 120, None),
        ("Explore", 2, PROVISIONAL),
        ("Explore", 5, PROVISIONAL),
        ("main", 50, None),
    ]
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["provisional_executions"] == 2
    assert {agent["agent"]: agent["provisional_executions"] for agent in summary["agents"]} == {"main": 0, "Explore": 2}
    for report in ("summary", "costs", "by-agent", "by-model", "by-project", "by-workflow"):
        said = " ".join(run("analytics", report).stdout.split())
        assert "2 executions never finalised: output tokens and cost are lower bounds" in said, report


FINAL = Tokens(1, 812, 9000, 70, 0)
"""What the last response of the sub-agent really used."""


def by_result(talk: Talk, **changes: Any) -> None:
    talk.result("All is well.", task_result(AGENT, FINAL, "Look at the valves.", **changes), call="toolu_01Task")


def by_queue(element: str) -> Callable[[Talk], None]:
    def tell(talk: Talk) -> None:
        fields = {"operation": "enqueue", "content": notification(AGENT, sum(FINAL), element=element)}
        talk.lines.append(
            {"type": "queue-operation", "timestamp": moment(talk.seconds), "sessionId": SESSION, **fields}
        )

    return tell


def by_user_line(element: str) -> Callable[[Talk], None]:
    def tell(talk: Talk) -> None:
        talk.prompt(notification(AGENT, sum(FINAL), element=element), origin={"kind": "task-notification"})

    return tell


BETTER: dict[str, tuple[Callable[[Talk], None], str]] = {
    "the result of the task": (by_result, "task_result"),
    "a queue operation": (by_queue("total_tokens"), "task_notification"),
    "a queue operation, older": (by_queue("subagent_tokens"), "task_notification"),
    "a line of the user": (by_user_line("total_tokens"), "task_notification"),
    "a line of the user, older": (by_user_line("subagent_tokens"), "task_notification"),
}


@pytest.mark.parametrize(("tell", "basis"), BETTER.values(), ids=BETTER)
@pytest.mark.parametrize("order", ["at once", "the report later", "the report before"])
def test_the_better_figure_is_taken(
    tell: Callable[[Talk], None], basis: str, order: str, lite: Passes, tmp_path: Path
) -> None:
    """Where another record tells the usage of the last response of a sub-agent's run, it is taken, and the source
    named; what no record tells stays not final."""
    projects, hidden = tmp_path / "projects", tmp_path / "hidden"
    provisional_agent(projects, tell=tell)
    held = {"at once": None, "the report later": main_file(projects), "the report before": agent_file(projects, AGENT)}
    path = held[order]
    if path is not None:
        shutil.move(path, hidden)
        lite.over(projects)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(hidden, path)
    assert lite.over(projects).problems == []
    lite.over(projects)
    found = [item for item in bases(lite.rows()) if item[0] != "main"]
    assert found == [("Explore", 2, PROVISIONAL), ("Explore", 812, basis)]


def test_a_better_figure_is_taken_by_the_program(run: Run, projects: Path) -> None:
    """With its cost, and the reports count one less that is not final."""
    provisional_agent(projects, tell=by_result)
    ingested(run)
    rows = exported(run)
    assert bases(rows)[2] == ("Explore", 812, "task_result")
    rates = [row["estimated_cost"] for row in rows]
    assert rates[2] == pytest.approx((1 * 3 + 812 * 15 + 9000 * 0.3 + 70 * 3.75) / 1e6)
    assert json.loads(run("analytics", "summary", "--json").stdout)["provisional_executions"] == 1
    assert "1 execution never finalised" in " ".join(run("analytics", "summary").stdout.split())


def test_the_result_of_another_response_is_not_taken(lite: Passes, tmp_path: Path) -> None:
    """Where the prompt tokens of the result are not those of the last response, it tells nothing of that."""
    provisional_agent(tmp_path, tell=lambda talk: by_result(talk, usage={"cache_read_input_tokens": 1}))
    lite.over(tmp_path)
    assert [item[1:] for item in bases(lite.rows()) if item[0] != "main"] == [(2, PROVISIONAL), (5, PROVISIONAL)]


def test_a_sub_agent_whose_usage_is_final_keeps_it(lite: Passes, tmp_path: Path) -> None:
    """A version that ends its sub-agents' responses with a stop reason is believed, and no report changes it."""
    agent = agent_talk(attribution="Explore")
    for line in agent.lines:
        if line["type"] == "assistant":
            line["message"] = line["message"] | {"stop_reason": "end_turn"}
    provisional_agent(tmp_path, tell=by_result)
    put(agent_file(tmp_path, AGENT), agent.lines)
    lite.over(tmp_path)
    assert [item[1:] for item in bases(lite.rows()) if item[0] != "main"] == [(2, None), (5, None)]


def test_a_response_becomes_final_when_its_last_line_comes(passes: Passes, tmp_path: Path) -> None:
    """A response that was read while it was written is not final until the line with its stop reason."""
    talk = Talk()
    talk.prompt()
    blocks = [thinking_block(), text_block(), text_block()]
    lines = talk.respond(
        "msg_1", [Tokens(3, 1, 9, 0, 4), Tokens(3, 4, 9, 0, 4), Tokens(3, 320, 9, 0, 4)], blocks=blocks
    )
    for line in lines[:2]:
        line["message"]["stop_reason"] = None
    path = main_file(tmp_path)
    put(path, talk.lines[:3])
    passes.over(tmp_path)
    assert bases(passes.rows()) == [("main", 4, PROVISIONAL)]
    put(path, talk.lines)
    passes.over(tmp_path)
    assert bases(passes.rows()) == [("main", 320, None)]


# A ledger that does not move


def history(projects: Path) -> Path:
    """A session of three responses and a sub-agent."""
    talk = Talk()
    for number in range(3):
        talk.prompt(f"Question {number}.")
        talk.respond(f"msg_{number}", Tokens(3, 100 + number, 15_000, 0, 900), blocks=[thinking_block(), text_block()])
    put(agent_file(projects, AGENT), agent_talk(attribution="Explore").lines)
    return put(main_file(projects), talk.lines)


def rewritten(path: Path, change: Callable[[Line], Line]) -> None:
    path.write_bytes(jsonl([change(json.loads(line)) for line in path.read_bytes().splitlines()]))


def with_output(line: Line, output: int) -> Line:
    """The line with another output, if it has one."""
    return changed(line, {"message": {"usage": {"output_tokens": output}}}) if line["type"] == "assistant" else line


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_lines(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def moved(path: Path) -> None:
    shutil.move(path.parent, path.parent.with_name("-home-ada-elsewhere"))


def turned_round(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[::-1]))


def replaced(path: Path) -> None:
    copy = path.with_suffix(".new")
    shutil.copy(path, copy)
    copy.replace(path)


def moved_to_another_session(path: Path) -> None:
    path.rename(path.with_stem(FORK))


MOVES: dict[str, Callable[[Path], None]] = {
    "deleted": lambda path: path.unlink(),
    "the folder deleted": lambda path: shutil.rmtree(path.parent),
    "emptied": lambda path: os.truncate(path, 0),
    "shortened within a line": truncated,
    "shortened to lines": cut_to_lines,
    "rewritten with larger figures": lambda path: rewritten(path, lambda line: with_output(line, 12_345)),
    "rewritten with smaller figures": lambda path: rewritten(path, lambda line: with_output(line, 1)),
    "rewritten to the same length": lambda path: rewritten(path, lambda line: with_output(line, 999)),
    "rewritten from the end": turned_round,
    "moved to another folder": moved,
    "moved to another name": moved_to_another_session,
    "touched": lambda path: os.utime(path, (1_800_000_000, 1_800_000_000)),
    "replaced by a copy": replaced,
}


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES)
def test_no_past_figure_changes(change: Callable[[Path], None], lite: Passes, tmp_path: Path) -> None:
    """Whatever becomes of a transcript later, the executions that were stored stay as they were."""
    projects = tmp_path / "projects"
    path = history(projects)
    lite.over(projects)
    before = lite.rows()
    assert len(before) == 5
    change(path)
    lite.over(projects)
    lite.over(projects)
    assert lite.rows() == before


def test_no_past_figure_changes_by_the_program(run: Run, projects: Path) -> None:
    """The same by the installed program, for each way, in a row."""
    history(projects)
    ingested(run)
    before = exported(run)
    for name in ("rewritten with larger figures", "shortened within a line", "deleted", "the folder deleted"):
        MOVES[name](main_file(projects))
        run("ingest")
        assert exported(run) == before, name


def test_a_file_that_shrank_and_grew_again_adds_what_is_new(passes: Passes, tmp_path: Path) -> None:
    """Responses that come after a file was rewritten are executions like others."""
    path = history(tmp_path)
    passes.over(tmp_path)
    before = passes.rows()
    cut_to_lines(path)
    passes.over(tmp_path)
    talk = Talk(seconds=900)
    talk.prompt("After all.")
    talk.respond("msg_new", Tokens(7, 8, 9, 10, 11))
    with path.open("ab") as stream:
        stream.write(talk.data())
    passes.over(tmp_path)
    rows = passes.rows()
    assert [row for row in rows if row in before] == before
    assert [tokens_of(row) for row in rows if row not in before] == [Tokens(7, 8, 9, 10, 11)]


# Privacy

WORDS = {name: f"MARKER{name.upper()}7c1e" for name in ("prompt", "answer", "thought", "tool", "result", "error")}
WORDS |= {name: f"MARKER{name.upper()}7c1e" for name in ("task", "report", "summary", "branch", "attached", "bad")}


def private_talk(agent: bool) -> Talk:
    """A conversation in which each text has its own word, and lines that are refused."""
    talk = Talk(agent_id=AGENT if agent else None, constants={"gitBranch": WORDS["branch"]})
    talk.prompt(WORDS["prompt"])
    thought = {"type": "thinking", "thinking": WORDS["thought"], "signature": WORDS["thought"]}
    blocks = [thought, text_block(WORDS["answer"]), tool_block(command=WORDS["tool"])]
    talk.respond("msg_1" if not agent else "msg_S1", blocks=blocks)
    talk.result(WORDS["result"])
    talk.respond("msg_2" if not agent else "msg_S2", blocks=[task_block(WORDS["task"], "Plan")])
    kept = task_result("aother", Tokens(), WORDS["task"], content=[text_block(WORDS["report"])])
    talk.result(WORDS["report"], kept)
    talk.fail(f"API Error: 500 {WORDS['error']}", error=None)
    talk.add("attachment", {}, attachment={"type": "queued_command", "content": WORDS["attached"]})
    told = notification("athird", 500).replace("All is well.", WORDS["report"]).replace("Look into it", WORDS["task"])
    talk.lines.append({"type": "queue-operation", "operation": "enqueue", "timestamp": moment(50), "content": told})
    talk.lines.append({"type": "summary", "summary": WORDS["summary"], "leafUuid": "u"})
    talk.respond("msg_bad", blocks=[text_block(WORDS["bad"])], message={"usage": {"output_tokens": -5}})
    talk.respond("msg_bad2", blocks=[text_block(WORDS["bad"])], message={"usage": {"output_tokens": WORDS["bad"]}})
    talk.respond("msg_bad3", blocks=[text_block(WORDS["bad"])], timestamp="yesterday")
    talk.respond("msg_bad4", blocks=[text_block(WORDS["bad"])], message={"content": WORDS["bad"], "role": 5})
    return talk


def test_nothing_that_was_said_is_stored(run: Run, home: Path, projects: Path) -> None:
    """No word of a prompt, an answer, a thought, a tool or an error is in any file that was written, nor in what is
    printed; also where lines are refused, and cut in the middle."""
    texts = [private_talk(False).data(), private_talk(True).data()]
    put(main_file(projects), texts[0] + b'{"type":"user","message":{"content":"' + WORDS["bad"].encode() + b"\x01\n")
    put(agent_file(projects, AGENT), texts[1] + b'{"type":"assistant","message":{"content":"' + WORDS["bad"].encode())
    # A reader keeps the log of the database as it is.
    run("db", "upgrade")
    database = Path(run("db", "path").stdout.strip())
    with sqlite3.connect(database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM executions").fetchall()
        done = run("ingest")
        said = done.stdout + done.stderr + run("ingest", "--json").stdout + run("doctor").stdout
        assert done.returncode == 1
        written = {
            path: path.read_bytes() for path in home.rglob("*") if path.is_file() and projects not in path.parents
        }
    reader.close()
    assert {database.name, f"{database.name}-wal", "rejected.jsonl"} <= {path.name for path in written}
    assert len(written[database.with_name("rejected.jsonl")].splitlines()) >= 6
    for name, word in WORDS.items():
        assert word not in said, name
        for path, data in written.items():
            assert word.encode() not in data, f"{name} in {path.name}"
    assert len(exported(run)) >= 6


# Where transcripts are


def one_response(session: str) -> list[Line]:
    """A session with a response of its own."""
    talk = Talk(session)
    talk.prompt()
    talk.respond(f"msg_{session}")
    return talk.lines


def sessions(rows: Rows) -> set[str]:
    """The sessions of executions."""
    return {row["workflow_id"] for row in rows}


def test_both_default_folders_are_read(run: Run, home: Path) -> None:
    """~/.claude/projects and ~/.config/claude/projects, without configuration."""
    put(main_file(home / ".claude" / "projects", "one"), one_response("one"))
    put(main_file(home / ".config" / "claude" / "projects", "two"), one_response("two"))
    assert ingested(run)["added"] == 2
    assert sessions(exported(run)) == {"one", "two"}


def test_the_folders_of_the_variable_are_read_instead(run: Run, home: Path) -> None:
    """CLAUDE_CONFIG_DIR: several with commas between them; a folder that is not there is said, the others are read."""
    put(main_file(home / ".claude" / "projects", "default"), one_response("default"))
    put(main_file(home / "a" / "projects", "one"), one_response("one"))
    put(main_file(home / "b" / "projects", "two"), one_response("two"))
    done = run("ingest", "--json", env={"CLAUDE_CONFIG_DIR": f"{home}/a, {home}/b/ ,{home}/missing"})
    assert done.returncode == 1
    assert f"{home}/missing" in done.stderr
    assert sessions(exported(run)) == {"one", "two"}


def test_a_folder_that_is_named_twice_is_read_once(run: Run, home: Path) -> None:
    """Also where it is named by a link, or within another."""
    put(main_file(home / "a" / "projects", "one"), one_response("one"))
    (home / "link").symlink_to(home / "a")
    found = ingested(run, env={"CLAUDE_CONFIG_DIR": f"{home}/a,{home}/link,{home}/a"})
    assert (found["files"], found["added"]) == (1, 1)


def test_all_sources_are_read_in_one_pass(run: Run, home: Path, projects: Path) -> None:
    """What waits for the database, the file of the tracker, and transcripts."""
    folder = home / ".claude" / "metrics"
    code = "from claude_force.performance_tracker import PerformanceTracker as T; T().record_execution('tracked')"
    run("db", "upgrade")
    database = Path(run("db", "path").stdout.strip())
    aside = database.with_name("aside")
    database.rename(aside)
    database.mkdir()
    import subprocess
    import sys

    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=home, check=False, capture_output=True)
    database.rmdir()
    aside.rename(database)
    put(folder / "executions.jsonl", a_line(agent_name="imported"))
    put(main_file(projects), one_response(SESSION))
    found = ingested(run)
    assert {name: source["added"] for name, source in found["sources"].items()} == {
        "spool": 1,
        "executions": 1,
        "claude-code": 1,
    }
    assert {row["agent_name"] for row in exported(run)} == {"tracked", "imported", "main"}


# The file of executions


@pytest.fixture
def executions(home: Path) -> Path:
    """Where the tracker of the guide writes."""
    return home / ".claude" / "metrics" / "executions.jsonl"


def append(path: Path, data: bytes) -> None:
    """Append bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(data)


def numbered(number: int) -> bytes:
    """An execution of its own, a minute after the one before."""
    return a_line(timestamp=f"2025-11-14T10:{number:02d}:00", agent_name=f"agent-{number}")


def agents(run: Run) -> list[str]:
    """The agents of the executions in the database, sorted."""
    return sorted(row["agent_name"] for row in exported(run))


def named(*numbers: int) -> list[str]:
    """The agents of numbered executions."""
    return sorted(f"agent-{number}" for number in numbers)


def test_executions_grow(run: Run, executions: Path) -> None:
    """Only what is new is read; a last line that is cut off waits for its rest, and is no error."""
    append(executions, numbered(1) + numbered(2) + numbered(3)[:50])
    assert ingested(run)["added"] == 2
    assert ingested(run)["added"] == 0
    append(executions, numbered(3)[50:] + numbered(4)[:-1])
    found = ingested(run)
    assert found["added"] == 2
    append(executions, b"\n" + numbered(5))
    assert ingested(run)["added"] == 1
    assert agents(run) == named(1, 2, 3, 4, 5)


def test_executions_that_were_imported_are_known(run: Run, executions: Path) -> None:
    """`import` and `ingest` of the same file give the same executions."""
    append(executions, numbered(1) * 2 + numbered(2))
    run("import", executions)
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 2)


def test_equal_lines_of_one_file_are_two_executions(run: Run, executions: Path) -> None:
    """Also where the second one is appended between passes."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    append(executions, numbered(1))
    assert ingested(run)["added"] == 1
    append(executions, numbered(3) + numbered(2) + numbered(1) + numbered(3))
    assert ingested(run)["added"] == 4
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 1, 2, 2, 3, 3)


def test_executions_are_rotated_by_renaming(run: Run, executions: Path) -> None:
    """What was appended before the file was renamed is read from where it stands now."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    append(executions, numbered(3))
    executions.rename(executions.with_name("executions.jsonl.1"))
    append(executions, numbered(4))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4)
    append(executions, numbered(5))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4, 5)


def test_executions_are_cut_off(run: Run, executions: Path) -> None:
    """copytruncate: the file begins anew under the same inode, shorter or longer than it was."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    shutil.copy(executions, executions.with_name("executions.jsonl.1"))
    os.truncate(executions, 0)
    append(executions, numbered(3))
    ingested(run)
    os.truncate(executions, 0)
    append(executions, b"".join(map(numbered, (4, 5, 6))))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4, 5, 6)


def test_an_execution_repeated_after_a_rotation_is_one_of_its_own(run: Run, executions: Path) -> None:
    """Rotation does not make an equal line of the new file the one of the old file: but as lines of different files,
    equal lines are copies, and that a copy adds nothing is the older promise."""
    append(executions, numbered(1))
    ingested(run)
    executions.rename(executions.with_name("executions.jsonl.1"))
    append(executions, numbered(1))
    ingested(run)
    assert agents(run) == named(1)
