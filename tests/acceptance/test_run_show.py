"""`claude-force run show` as a user runs it: the tree of what transcripts say, and the names that a run answers to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, SECOND_US, now_us
from claude_force.database.open import open_database
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.run_labels import RunLabel, of_whole_session
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.transcripts import SESSION, START, Talk, Tokens, agent_file, main_file, put, task_block, task_result

LEVELS = 6
PROMPT = "5b7c2d10-0000-4000-8000-000000000001"
NAMES = [f"a{level}{'0' * 15}" for level in range(1, LEVELS + 1)]
LOST, COMPACT, WORKFLOW = "afffffffffffffff", "acompact-83efcb", "wf_8ca2332b-21c"


def talk_of(agent_id: str | None, level: int, started: list[Any], failed: str | None = None) -> Talk:
    """A conversation in which tools gave some results, and a last response."""
    talk = Talk(agent_id=agent_id, seconds=60 * level)
    talk.prompt(f"Level {level}", **({} if agent_id else {"promptId": PROMPT}))
    for number, result in enumerate(started):
        talk.respond(f"msg_{agent_id}_{number}", Tokens(3, level + 1, 0, 0, 0), blocks=[task_block("Look", "Explore")])
        talk.result(result=result)
    if failed:
        talk.fail(failed)
    talk.respond(f"msg_{agent_id}_last", Tokens(level, 7, 0, 0, 0))
    return talk


@pytest.fixture
def transcripts(home: Path) -> Path:
    """A session with a sub-agent in a sub-agent, six times; a workflow with two; one of whom nobody knows; and one of
    Claude Code itself."""
    root = home / ".claude" / "projects"
    launched = {"status": "async_launched", "runId": WORKFLOW}
    put(main_file(root), talk_of(None, 0, [task_result(NAMES[0], Tokens(), "Look"), launched]).lines)
    for level, name in enumerate(NAMES, 1):
        started = [task_result(NAMES[level], Tokens(), "Look")] if level < LEVELS else []
        put(agent_file(root, name), talk_of(name, level, started, "API Error: 529" if level == 3 else None).lines)
    for name in ("aw1", "aw2"):
        put(agent_file(root, name, workflow=WORKFLOW), talk_of(name, 7, []).lines)
    for name in (LOST, COMPACT):
        put(agent_file(root, name), talk_of(name, 8, []).lines)
    return root


def shown(run: Run, run_id: str) -> dict[str, Any]:
    """The JSON of a run, of what was ingested."""
    done = run("run", "show", run_id, "--json", "--no-ingest")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("transcripts")
def test_the_tree_of_a_session(run: Run) -> None:
    """Six levels, each run below the one that started it. Sums are those of `sessions`, and of the runs."""
    assert run("ingest", "--quiet").returncode == 0
    found = shown(run, SESSION)
    parents = {row["run"]: (row["parent"], row["kind"], row["depth"]) for row in found["runs"]}
    chain = [PROMPT, *NAMES]
    assert parents == {
        SESSION: (None, "session", 0),
        PROMPT: (SESSION, "prompt", 1),
        **{child: (parent, "agent", depth) for depth, (parent, child) in enumerate(zip(chain, NAMES, strict=False), 2)},
        WORKFLOW: (PROMPT, "workflow", 2),
        **dict.fromkeys(("aw1", "aw2"), (WORKFLOW, "agent", 3)),
        COMPACT: (SESSION, "agent", 1),
        LOST: (SESSION, "agent", 1),
    }
    assert [row["run"] for row in found["runs"] if not row["parent_is_known"]] == [LOST]
    (session,) = json.loads(run("sessions", "--json", "--no-ingest").stdout)["sessions"]
    totals = ("executions", "total_cost", "input_tokens", "output_tokens")
    assert [found["runs"][0]["total"][name] for name in totals] == [session[name] for name in totals]
    for name in ("executions", "input_tokens", "output_tokens"):
        assert sum(row["own"][name] for row in found["runs"]) == session[name]
    assert [error["failures"] for error in found["errors"]] == [1]


@pytest.mark.usefixtures("transcripts")
@pytest.mark.parametrize(
    ("typed", "name", "below"),
    [
        (NAMES[3], NAMES[3], 2), (NAMES[3][:4], NAMES[3], 2), (PROMPT[:8], PROMPT, 9), (WORKFLOW[:6], WORKFLOW, 2),
        (SESSION[:6], SESSION, 12), (LOST, LOST, 0),
    ],
)  # fmt: skip
def test_every_run_is_the_root_of_its_tree(typed: str, name: str, below: int, run: Run) -> None:
    """A sub-agent, a prompt, a workflow and a session, by the whole id or its beginning."""
    assert run("ingest", "--quiet").returncode == 0
    found = shown(run, typed)
    assert (found["run"], found["runs"][0]["run"], len(found["runs"]) - 1) == (name, name, below)
    assert "*" not in run("run", "show", typed, "--no-ingest").stdout or typed == SESSION[:6]
    assert found["sessions"] == [SESSION]


@pytest.mark.usefixtures("transcripts")
def test_the_page_has_a_line_for_each_run(run: Run) -> None:
    """In 80 columns; what is not known is said. A report reads what is new first."""
    done = run("run", "show", SESSION[:8])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "Explore a6000000" in line or "a6000000" in line]
    assert any(line.startswith(f"└ Explore {LOST[:8]}*") for line in lines), done.stdout
    assert "* What started this run is not known" in done.stdout
    assert "Failed requests" in done.stdout


@pytest.mark.usefixtures("transcripts")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nobody", "no run, session or workflow nobody in the store; claude-force runs shows the last runs"),
        ("a6", "no run, session or workflow a6 in the store; claude-force runs shows the last runs"),
        ("", "no run, session or workflow '' in the store; claude-force runs shows the last runs"),
        ("aaaa", None),
    ],
)
def test_an_id_that_means_nothing_is_a_line(typed: str, said: str | None, run: Run) -> None:
    """Also one that is shorter than four characters."""
    assert run("ingest", "--quiet").returncode == 0
    done = run("run", "show", typed, "--no-ingest")
    assert done.returncode == 1
    assert said is None or done.stderr == f"error: {said}\n"
    assert len(done.stderr.splitlines()) == 1


def test_the_beginning_of_several_ids_is_refused(home: Path, run: Run) -> None:
    """It names them."""
    root = home / ".claude" / "projects"
    for name in ("aaaa1", "aaaa2"):
        put(agent_file(root, name), talk_of(name, 1, []).lines)
    done = run("run", "show", "aaaa")
    assert (done.returncode, done.stderr) == (1, "error: run aaaa is ambiguous; there are: aaaa1, aaaa2\n")


@pytest.mark.usefixtures("transcripts")
def test_runs_says_how_to_see_what_one_started(run: Run) -> None:
    """The command of its last line works as it stands."""
    foot = next(line for line in run("runs").stdout.splitlines() if line.startswith("What a run started: "))
    assert run(*foot.partition("claude-force ")[2].split(), "--no-ingest").returncode == 0


@pytest.mark.usefixtures("transcripts")
def test_a_headless_run_has_what_its_session_did_meanwhile(home: Path, run: Run) -> None:
    """And how its program ended, and its label."""
    assert run("ingest", "--quiet").returncode == 0
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    start_us = int(START.timestamp()) * SECOND_US
    row = HeadlessRun("0f0f0f0f-1", SESSION, "nightly", "shop", "h", start_us, 150 * SECOND_US, 3, 0, "error", 2, None)
    with database.write() as connection:
        add_headless_run(connection, row)
        add_run_labels(connection, [of_whole_session(row.run_id, "new|prompt")])
    database.close()
    found = shown(run, "0f0f0f0f")
    assert (found["kind"], found["outcome"], found["duration_seconds"]) == ("headless", "failed", 150)
    runs = {row["run"]: row["own"]["executions"] for row in found["runs"]}
    assert runs == {"0f0f0f0f-1": 0, SESSION: 0, PROMPT: 3, NAMES[0]: 2, NAMES[1]: 2}
    assert found["headless"]["label"] == "new|prompt"
    page = run("run", "show", "0f0f0f0f", "--no-ingest").stdout
    assert "exit code 3" in page
    assert "Label       new|prompt\n" in page


def test_a_headless_run_of_several_sessions(home: Path, run: Run) -> None:
    """Its label knows them. Without one they are not known, which is said: never that there were no requests."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    sessions = [f"{number}-session" for number in range(2)]
    Store(database).add(an_execution(timestamp_us=NOON_US, workflow_id=session) for session in sessions)
    for name in ("labelled", "unknown1"):
        row = HeadlessRun(name, None, None, None, None, NOON_US, SECOND_US, 0, 1, None, None, None)
        with database.write() as connection:
            add_headless_run(connection, row)
            if name == "labelled":
                seen = (RunLabel(session, name, "new", NOON_US, NOON_US) for session in (*sessions, name))
                add_run_labels(connection, seen)
    database.close()
    found = shown(run, "labelled")
    assert (found["sessions"], found["runs"][0]["total"]["executions"]) == (sessions, 2)
    assert "All         2 requests" in run("run", "show", "labelled").stdout
    assert shown(run, "unknown1")["sessions"] == []
    page = run("run", "show", "unknown1").stdout
    assert "All         not known\n" in page
    assert "No execution of it is known: it had no session, or several without a --label." in page
    assert "$" not in page


def test_what_is_archived_is_said(home: Path, run: Run) -> None:
    """Below a headless run of that hour and a run that may lack some; and where labels are compared."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    days = (("old", 0), ("new", 60))
    with database.write() as connection:
        for label, day in days:
            start_us = NOON_US + day * DAY_US
            row = HeadlessRun(label * 2, label, None, None, None, start_us, SECOND_US, 0, 1, None, None, None)
            add_headless_run(connection, row)
            add_run_labels(connection, [of_whole_session(label, label)])
    Store(database).add(an_execution(timestamp_us=NOON_US + day * DAY_US, workflow_id=label) for label, day in days)
    database.close()
    check = ("baseline", "check", "--label", "new", "--against", "old")
    assert "archive" not in run(*check).stdout + run("run", "show", "oldold").stdout
    assert run("archive", "--older-than", f"{(now_us() - NOON_US) // DAY_US - 30}d", "--yes").returncode == 0
    lines = (
        "1 execution of 2025-11 is archived and not in this report.\nTo bring it back:\n  claude-force archive restore"
    )
    old = run("run", "show", "oldold").stdout
    assert "No execution of its session is stored." in old
    assert "$" not in old
    assert lines in old
    assert lines in run("run", "show", "new").stdout
    assert "archive" not in run("run", "show", "newnew").stdout
    refused = run(*check)
    assert (refused.returncode, refused.stderr.count("claude-force archive restore")) == (2, 1)
    assert "1 archived execution may be of these labels and is not compared" in run(*check, "--allow-empty").stdout


def test_a_program_that_is_called_show_stands_behind_two_dashes(home: Path, run: Run) -> None:
    """It runs as any other program."""
    program = home / "show"
    program.write_text("#!/bin/sh\necho ran $1\n")
    program.chmod(0o755)
    done = run("run", "--quiet", "--", "show", "me", env={"PATH": f"{home}:{os.environ['PATH']}"})
    assert (done.returncode, done.stdout) == (0, "ran me\n")
