"""A ledger that does not move, nothing that was said in it, and the places that are looked at."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import a_line
from tests.conftest import Run
from tests.transcripts import (
    AGENT,
    FORK,
    SESSION,
    Line,
    Passes,
    Rows,
    Talk,
    Tokens,
    agent_file,
    agent_talk,
    changed,
    exported,
    ingested,
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
    code = (
        "from claude_force.performance_tracker.tracker import PerformanceTracker as T; T().record_execution('tracked')"
    )
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
