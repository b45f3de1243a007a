"""Stored figures do not change, texts are not stored, and which folders are searched."""

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
    Ingester,
    Line,
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
    """A session of three responses with a sub-agent."""
    talk = Talk()
    for number in range(3):
        talk.prompt(f"Question {number}.")
        talk.respond(f"msg_{number}", Tokens(3, 100 + number, 15_000, 0, 900), blocks=[thinking_block(), text_block()])
    put(agent_file(projects, AGENT), agent_talk(attribution="Explore").lines)
    return put(main_file(projects), talk.lines)


def rewritten(path: Path, change: Callable[[Line], Line]) -> None:
    path.write_bytes(jsonl([change(json.loads(line)) for line in path.read_bytes().splitlines()]))


def with_output(line: Line, output: int) -> Line:
    """The line with another number of output tokens, if it has one."""
    return changed(line, {"message": {"usage": {"output_tokens": output}}}) if line["type"] == "assistant" else line


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def keep_two_lines(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def moved(path: Path) -> None:
    shutil.move(path.parent, path.parent.with_name("-home-ada-elsewhere"))


def reversed_lines(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[::-1]))


def replaced(path: Path) -> None:
    copy = path.with_suffix(".new")
    shutil.copy(path, copy)
    copy.replace(path)


def moved_to_another_session(path: Path) -> None:
    path.rename(path.with_stem(FORK))


CHANGES: dict[str, Callable[[Path], None]] = {
    "deleted": lambda path: path.unlink(),
    "the folder deleted": lambda path: shutil.rmtree(path.parent),
    "emptied": lambda path: os.truncate(path, 0),
    "truncated inside a line": truncated,
    "truncated between lines": keep_two_lines,
    "rewritten with larger figures": lambda path: rewritten(path, lambda line: with_output(line, 12_345)),
    "rewritten with smaller figures": lambda path: rewritten(path, lambda line: with_output(line, 1)),
    "rewritten to the same length": lambda path: rewritten(path, lambda line: with_output(line, 999)),
    "rewritten in reverse order": reversed_lines,
    "moved to another folder": moved,
    "moved to another name": moved_to_another_session,
    "touched": lambda path: os.utime(path, (1_800_000_000, 1_800_000_000)),
    "replaced by a copy": replaced,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_stored_executions_never_change(
    change: Callable[[Path], None], sqlite_ingester: Ingester, tmp_path: Path
) -> None:
    """Any later change to a transcript leaves the stored executions unchanged."""
    projects = tmp_path / "projects"
    path = history(projects)
    sqlite_ingester.ingest(projects)
    before = sqlite_ingester.rows()
    assert len(before) == 5
    change(path)
    sqlite_ingester.ingest(projects)
    sqlite_ingester.ingest(projects)
    assert sqlite_ingester.rows() == before


def test_stored_executions_never_change_with_the_program(run: Run, projects: Path) -> None:
    """As above with the installed program, for several changes in a row."""
    history(projects)
    ingested(run)
    before = exported(run)
    for name in ("rewritten with larger figures", "truncated inside a line", "deleted", "the folder deleted"):
        CHANGES[name](main_file(projects))
        run("ingest")
        assert exported(run) == before, name


def test_a_file_that_shrank_and_grew_adds_new_responses(ingester: Ingester, tmp_path: Path) -> None:
    """Responses written after the file was truncated are ingested."""
    path = history(tmp_path)
    ingester.ingest(tmp_path)
    before = ingester.rows()
    keep_two_lines(path)
    ingester.ingest(tmp_path)
    talk = Talk(seconds=900)
    talk.prompt("After all.")
    talk.respond("msg_new", Tokens(7, 8, 9, 10, 11))
    with path.open("ab") as stream:
        stream.write(talk.data())
    ingester.ingest(tmp_path)
    rows = ingester.rows()
    assert [row for row in rows if row in before] == before
    assert [tokens_of(row) for row in rows if row not in before] == [Tokens(7, 8, 9, 10, 11)]


WORDS = {name: f"MARKER{name.upper()}7c1e" for name in ("prompt", "answer", "thought", "tool", "result", "error")}
WORDS |= {name: f"MARKER{name.upper()}7c1e" for name in ("task", "report", "summary", "attached", "bad")}


def private_talk(agent: bool) -> Talk:
    """A conversation in which each text has a marker, and lines that are rejected."""
    talk = Talk(agent_id=AGENT if agent else None)
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
    content = (
        notification("athird", 500).replace("All is well.", WORDS["report"]).replace("Look into it", WORDS["task"])
    )
    talk.lines.append({"type": "queue-operation", "operation": "enqueue", "timestamp": moment(50), "content": content})
    talk.lines.append({"type": "summary", "summary": WORDS["summary"], "leafUuid": "u"})
    talk.respond("msg_bad", blocks=[text_block(WORDS["bad"])], message={"usage": {"output_tokens": -5}})
    talk.respond("msg_bad2", blocks=[text_block(WORDS["bad"])], message={"usage": {"output_tokens": WORDS["bad"]}})
    talk.respond("msg_bad3", blocks=[text_block(WORDS["bad"])], timestamp="yesterday")
    talk.respond("msg_bad4", blocks=[text_block(WORDS["bad"])], message={"content": WORDS["bad"], "role": 5})
    return talk


def test_no_text_of_a_conversation_is_stored(run: Run, home: Path, projects: Path) -> None:
    """No word of a prompt, answer, thought, tool or error is in any written file or in any output, even if lines are
    rejected or truncated."""
    texts = [private_talk(False).data(), private_talk(True).data()]
    put(main_file(projects), texts[0] + b'{"type":"user","message":{"content":"' + WORDS["bad"].encode() + b"\x01\n")
    put(agent_file(projects, AGENT), texts[1] + b'{"type":"assistant","message":{"content":"' + WORDS["bad"].encode())
    # An open reader keeps the WAL.
    run("db", "upgrade")
    database = Path(run("db", "path").stdout.strip())
    with sqlite3.connect(database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM executions").fetchall()
        done = run("ingest")
        output = done.stdout + done.stderr + run("ingest", "--json").stdout + run("doctor").stdout
        assert done.returncode == 1
        written = {
            path: path.read_bytes() for path in home.rglob("*") if path.is_file() and projects not in path.parents
        }
    reader.close()
    assert {database.name, f"{database.name}-wal", "rejected.jsonl"} <= {path.name for path in written}
    assert len(written[database.with_name("rejected.jsonl")].splitlines()) >= 6
    for name, word in WORDS.items():
        assert word not in output, name
        for path, data in written.items():
            assert word.encode() not in data, f"{name} in {path.name}"
    assert len(exported(run)) >= 6


def one_response(session: str) -> list[Line]:
    """A session with one response."""
    talk = Talk(session)
    talk.prompt()
    talk.respond(f"msg_{session}")
    return talk.lines


def sessions(rows: Rows) -> set[str]:
    """The sessions of the executions."""
    return {row["workflow_id"] for row in rows}


def test_both_default_folders_are_ingested(run: Run, home: Path) -> None:
    """~/.claude/projects and ~/.config/claude/projects, without configuration."""
    put(main_file(home / ".claude" / "projects", "one"), one_response("one"))
    put(main_file(home / ".config" / "claude" / "projects", "two"), one_response("two"))
    assert ingested(run)["added"] == 2
    assert sessions(exported(run)) == {"one", "two"}


def test_claude_config_dir_replaces_the_default_folders(run: Run, home: Path) -> None:
    """It may name several folders, separated by commas. A missing one is reported, and the others are ingested."""
    put(main_file(home / ".claude" / "projects", "default"), one_response("default"))
    put(main_file(home / "a" / "projects", "one"), one_response("one"))
    put(main_file(home / "b" / "projects", "two"), one_response("two"))
    done = run("ingest", "--json", env={"CLAUDE_CONFIG_DIR": f"{home}/a, {home}/b/ ,{home}/missing"})
    assert done.returncode == 1
    assert f"{home}/missing" in done.stderr
    assert sessions(exported(run)) == {"one", "two"}


def test_a_folder_named_twice_is_ingested_once(run: Run, home: Path) -> None:
    """Also if it is named by a link, or is inside another one."""
    put(main_file(home / "a" / "projects", "one"), one_response("one"))
    (home / "link").symlink_to(home / "a")
    found = ingested(run, env={"CLAUDE_CONFIG_DIR": f"{home}/a,{home}/link,{home}/a"})
    assert (found["files"], found["added"]) == (1, 1)


def test_one_ingest_reads_all_sources(run: Run, home: Path, projects: Path) -> None:
    """The spool, the tracker's file, and transcripts."""
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
        "claude-code-statistics": 0,
    }
    assert {row["agent_name"] for row in exported(run)} == {"tracked", "imported", "main"}
