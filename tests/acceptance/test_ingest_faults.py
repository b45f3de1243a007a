"""Faults while transcripts are ingested: each is named, none stops the ingest, and nothing is lost or counted twice,
even if the process is killed."""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.ingest.transcripts import locate as transcripts
from tests.conftest import PROGRAM, Run
from tests.growing import Writer
from tests.profiles import scaled
from tests.transcripts import (
    Ingester,
    Line,
    Talk,
    Tokens,
    agent_file,
    changed,
    jsonl,
    main_file,
    put,
    task_block,
    task_result,
    text_block,
    tokens_of,
    tool_block,
)

KILLS = scaled(15)
"""The number of times an ingesting process is killed."""

MEBIBYTE = 1024 * 1024
LIMIT = 8 * MEBIBYTE
SESSION = "s1"


@pytest.fixture
def projects(home: Path) -> Path:
    """The `projects` folder of Claude Code."""
    return home / ".claude" / "projects"


def good(session: str, number: int = 1) -> list[Line]:
    """A session with some responses."""
    talk = Talk(session)
    talk.prompt()
    for index in range(number):
        talk.respond(f"msg_{session}_{index}", Tokens(3, 100 + index, 9, 0, 4))
    return talk.lines


def a_response(message_id: str, **changes: Any) -> Line:
    """One line of a response with these changes."""
    return Talk(SESSION).respond(message_id, Tokens(3, 7, 9, 0, 4), **changes)[0]


@dataclass
class Ingested:
    """A finished ingest, its JSON report, and the executions stored after it."""

    done: subprocess.CompletedProcess[str]
    rows: list[dict[str, Any]]
    report: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        assert "Traceback" not in self.done.stderr
        assert "error: unexpected" not in self.done.stderr
        self.report = json.loads(self.done.stdout)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """The path and reason of every problem."""
        return [(item["path"], item["problem"]) for item in self.report["sources"]["claude-code"]["problems"]]

    @property
    def sessions(self) -> set[str]:
        """The sessions of the stored executions."""
        return {row["workflow_id"] for row in self.rows}


def run_ingest(run: Run, *arguments: str | Path, code: int = 1, **options: Any) -> Ingested:
    """Ingest with the installed program. Each problem is shown both on stderr and in JSON."""
    done = run("ingest", "--json", *arguments, **options)
    rows = json.loads(run("analytics", "export", "--json", "--no-ingest").stdout)
    found = Ingested(done, rows)
    assert done.returncode == code, done.stderr
    for path, problem in found.problems:
        assert f"{path}: {problem}" in done.stderr
    return found


def test_a_line_over_the_limit_is_named_and_the_others_are_ingested(run: Run, projects: Path) -> None:
    """One line of more than 8 MiB is between two responses. A line just below the limit is ingested."""
    lines = good("s1", 2)
    long = jsonl([a_response("msg_long", blocks=[text_block("x" * LIMIT)])])
    below = jsonl([a_response("msg_below", blocks=[text_block("x" * (LIMIT - 4096))], sessionId="below")])
    path = put(main_file(projects, "s1"), jsonl(lines[:2]) + long + jsonl(lines[2:]) + below)
    found = run_ingest(run)
    ((where, reason),) = found.problems
    assert (where, found.report["rejected"]) == (str(path), 1)
    assert "line 3" in reason
    assert "8 MiB" in reason
    assert sorted(row["workflow_id"] for row in found.rows) == ["below", "s1", "s1"]
    with path.open("ab") as stream:
        stream.write(jsonl([a_response("msg_later")]))
    assert run_ingest(run, code=0).report["added"] == 1


def test_a_line_after_an_unfinished_long_line_is_ingested(run: Run, projects: Path) -> None:
    """The first ingest ended inside the line that is over the limit."""
    long = jsonl([a_response("msg_long", blocks=[text_block("x" * (LIMIT + MEBIBYTE))])])
    path = put(main_file(projects, "s1"), jsonl(good("s1")) + long[: LIMIT + 1000])
    run("ingest")
    with path.open("ab") as stream:
        stream.write(long[LIMIT + 1000 :] + jsonl([a_response("msg_after")]))
    run("ingest")
    rows = json.loads(run("analytics", "export", "--json", "--no-ingest").stdout)
    assert sorted(row["output_tokens"] for row in rows) == [7, 100]


def obey_permissions() -> None:
    """Make file permissions apply to root too, by dropping the capabilities that override them."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.parametrize("what", ["folder", "file", "folder of sub-agents", "root"])
def test_an_unreadable_file_is_named(what: str, run: Run, projects: Path) -> None:
    """Other files are ingested. The file is ingested once it can be read."""
    put(main_file(projects, "closed", "-closed"), good("closed"))
    put(agent_file(projects, "a1", "closed"), good("closed-agent"))
    put(main_file(projects, "open"), good("open"))
    path = {
        "folder": projects / "-closed",
        "file": main_file(projects, "closed", "-closed"),
        "folder of sub-agents": agent_file(projects, "a1", "closed").parent,
        "root": projects,
    }[what]
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        found = run_ingest(run, preexec_fn=obey_permissions)
    finally:
        path.chmod(mode)
    assert found.problems == [(str(path), "Permission denied")]
    assert ("open" in found.sessions) == (what != "root")
    assert run_ingest(run, code=0).sessions == {"closed", "closed-agent", "open"}


@pytest.mark.parametrize("what", ["file", "folder", "everything"])
def test_a_file_deleted_after_listing_is_named(what: str, tmp_path: Path) -> None:
    """The file exists when files are listed and not when it is opened."""
    projects = tmp_path / "projects"
    for name in ("one", "two"):
        put(main_file(projects, name, f"-{name}"), good(name))
    ingester = Ingester(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    found = transcripts.find([projects], ingester.report.add_problem)
    gone = [main_file(projects, "one", "-one")]
    if what == "everything":
        gone.append(main_file(projects, "two", "-two"))
    for path in gone:
        path.unlink()
        if what != "file":
            path.parent.rmdir()
    ingester.read(found)
    assert sorted(path for path, _ in ingester.report.problems) == sorted(map(str, gone))
    assert {row["workflow_id"] for row in ingester.rows()} == ({"two"} if what != "everything" else set())


def test_a_file_truncated_after_listing_is_ingested(tmp_path: Path) -> None:
    """It is read as it is when it is opened."""
    path = put(main_file(tmp_path, "one"), good("one", 3))
    ingester = Ingester(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    found = transcripts.find([tmp_path], ingester.report.add_problem)
    path.write_bytes(jsonl(good("one", 3)[:2]))
    ingester.read(found)
    assert (len(ingester.rows()), ingester.report.problems) == (1, [])


def test_circular_links_are_named(run: Run, projects: Path) -> None:
    """The folder contains itself, a link to itself and a broken link. Everything else is ingested once."""
    put(main_file(projects, "one"), good("one"))
    (projects / "-home-ada-engine" / "loop").symlink_to(projects)
    (projects / "self.jsonl").symlink_to(projects / "self.jsonl")
    (projects / "dangling.jsonl").symlink_to(projects / "nothing.jsonl")
    (projects / "dangling-folder").symlink_to(projects / "nothing")
    (projects / "also").symlink_to(projects / "-home-ada-engine")
    found = run_ingest(run)
    named = {Path(path).name for path, _ in found.problems}
    assert {"loop", "self.jsonl", "dangling.jsonl"} <= named
    assert [row["workflow_id"] for row in found.rows] == ["one"]
    assert found.report["files"] == 1


def test_special_files_are_named(run: Run, projects: Path) -> None:
    """A folder named like a transcript is searched. A named pipe does not block the ingest."""
    put(main_file(projects, "one"), good("one"))
    (projects / "folder.jsonl").mkdir()
    put(projects / "folder.jsonl" / "two.jsonl", good("two"))
    os.mkfifo(projects / "pipe.jsonl")
    done = run("ingest", "--json")
    assert "Traceback" not in done.stderr
    assert "pipe.jsonl" in done.stderr
    assert json.loads(done.stdout)["added"] == 2


METAS: dict[str, bytes | None] = {
    "garbage": bytes(range(256)) * 4,
    "empty": b"",
    "truncated": b'{"agentType": "Expl',
    "an array": b"[1]",
    "a number for a name": b'{"agentType": 5}',
    "deep": b"[" * 100_000,
    "invalid UTF-8": b'{"agentType": "a\xff\xfeb"}',
    "a folder": None,
}


@pytest.mark.parametrize("content", METAS.values(), ids=METAS)
def test_a_broken_meta_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    """The sub-agent's responses are stored under the name from another record."""
    talk, agent = Talk("s1"), Talk("s1", "a1", seconds=5)
    talk.prompt()
    talk.respond("msg_1", blocks=[task_block("Look", "Plan")])
    agent.prompt("Look")
    agent.respond("msg_2", attributionAgent=...)
    put(main_file(tmp_path, "s1"), talk.lines)
    meta = put(agent_file(tmp_path, "a1", "s1"), agent.lines).with_name("agent-a1.meta.json")
    if content is None:
        meta.mkdir()
    else:
        meta.write_bytes(content)
    ingester = Ingester(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    ingester.ingest(tmp_path)
    assert [path for path, _ in ingester.report.problems] == [str(meta)]
    assert [row["agent_name"] for row in ingester.rows()] == ["main", "Plan"]


def test_a_broken_meta_file_does_not_stop_the_program(run: Run, projects: Path) -> None:
    """It is named on stderr and in JSON."""
    meta = put(agent_file(projects, "a1", "s1"), good("s1")).with_name("agent-a1.meta.json")
    meta.write_bytes(b"{")
    put(main_file(projects, "s2"), good("s2"))
    found = run_ingest(run)
    assert [path for path, _ in found.problems] == [str(meta)]
    assert found.sessions == {"s1", "s2"}


GOOD = jsonl([a_response("msg_bad")])
BAD_LINES: dict[str, bytes] = {
    "binary garbage": bytes(byte for byte in range(256) if byte != 10) + b"\n",
    "a NUL in a name": GOOD.replace(b"msg_bad", b"msg\0bad"),
    "invalid UTF-8 in a name": GOOD.replace(b"msg_bad", b"msg\xff\xfebad"),
    "deep nesting": GOOD.replace(b'"userType":"external"', b'"userType":' + b"[" * 100_000 + b"]" * 100_000),
    "unclosed deep nesting": b"[" * 100_000 + b"\n",
    "an array": b"[1, 2]\n",
    "a number": b"12\n",
    "null": b"null\n",
    "a text": b'"text"\n',
    "a truncated line": GOOD[: len(GOOD) // 2] + b"\n",
    "NaN": GOOD.replace(b'"output_tokens":7', b'"output_tokens":NaN'),
    "negative": GOOD.replace(b'"output_tokens":7', b'"output_tokens":-7'),
    "negative cache": GOOD.replace(b'"cache_read_input_tokens":9', b'"cache_read_input_tokens":-9'),
    "negative tier": GOOD.replace(b'"ephemeral_1h_input_tokens":4', b'"ephemeral_1h_input_tokens":-4'),
    "a fraction": GOOD.replace(b'"output_tokens":7', b'"output_tokens":7.5'),
    "huge": GOOD.replace(b'"output_tokens":7', b'"output_tokens":7000000000'),
    "huge cache": GOOD.replace(b'"cache_read_input_tokens":9', b'"cache_read_input_tokens":90000000000'),
    "thirty digits": GOOD.replace(b'"output_tokens":7', b'"output_tokens":' + b"7" * 30),
    "5,000 digits": GOOD.replace(b'"output_tokens":7', b'"output_tokens":' + b"7" * 5000),
    "1e400": GOOD.replace(b'"output_tokens":7', b'"output_tokens":1e400'),
    "text for tokens": GOOD.replace(b'"output_tokens":7', b'"output_tokens":"7"'),
    "true for tokens": GOOD.replace(b'"output_tokens":7', b'"output_tokens":true'),
    "a list for tokens": GOOD.replace(b'"output_tokens":7', b'"output_tokens":[7]'),
    "text for input": GOOD.replace(b'"input_tokens":3', b'"input_tokens":"3"', 1),
    "no time": jsonl([a_response("msg_bad", timestamp=...)]),
    "null for the time": jsonl([a_response("msg_bad", timestamp=None)]),
    "a time in words": jsonl([a_response("msg_bad", timestamp="yesterday")]),
    "a number for the time": jsonl([a_response("msg_bad", timestamp=1_772_000_000)]),
    "the year 9999": jsonl([a_response("msg_bad", timestamp="9999-12-31T23:59:59.999Z")]),
    "the year 1": jsonl([a_response("msg_bad", timestamp="0001-01-01T00:00:00.000Z")]),
}


def test_bad_lines_are_named_and_their_neighbors_stored(run: Run, projects: Path) -> None:
    """Each is in its own file between two responses. Each is named with file and line on stderr, in JSON and in
    rejected.jsonl."""
    for name, line in BAD_LINES.items():
        assert line != GOOD, name
        lines = good(name, 2)
        put(main_file(projects, name), jsonl(lines[:2]) + line + jsonl(lines[2:]))
    found = run_ingest(run)
    stored = Counter(row["workflow_id"] for row in found.rows)
    assert {name: stored[name] for name in BAD_LINES} == dict.fromkeys(BAD_LINES, 2)
    named = {Path(path).stem: problem for path, problem in found.problems}
    assert sorted(set(BAD_LINES) - set(named)) == []
    assert {name: problem for name, problem in named.items() if not problem.startswith("line 3: ")} == {}
    assert max(map(len, named.values())) < 300
    assert (found.report["rejected"], len(found.rows)) == (len(BAD_LINES), 2 * len(BAD_LINES))
    rejected = (projects.parent / "metrics" / "rejected.jsonl").read_text("ascii").splitlines()
    assert Counter(Path(json.loads(line)["file"]).stem for line in rejected) == Counter(BAD_LINES.keys())


def test_invalid_utf_8_in_a_text_does_not_reject_a_response(run: Run, projects: Path) -> None:
    """Texts are not stored, so invalid bytes in them do not matter."""
    put(main_file(projects, SESSION), GOOD.replace(b"Here is", b"Her\xff\xfe is"))
    assert run_ingest(run, code=0).report["added"] == 1


def test_half_a_surrogate_pair_in_a_text_does_not_reject_a_response(run: Run, projects: Path) -> None:
    """A text truncated inside an emoji ends with half of it, which JavaScript writes as an escape. It is tested in a
    prompt, an answer, a tool call and a tool result."""
    talk = Talk(SESSION)
    talk.prompt("Look at \ud83d")
    talk.respond("msg_1", blocks=[text_block("Cut \ud83d"), tool_block(command="echo \udc00")])
    talk.result("Cut \ud83d")
    talk.respond("msg_2")
    put(main_file(projects, SESSION), "".join(f"{json.dumps(line)}\n" for line in talk.lines).encode("ascii"))
    found = run_ingest(run, code=0)
    assert (found.report["added"], found.report["rejected"]) == (2, 0)
    assert len({row["run_id"] for row in found.rows} - {None}) == 1


def test_concurrent_ingests_count_nothing_twice(run: Run, projects: Path) -> None:
    """Several ingests of the same files store each response once, and none fails."""
    for number in range(40):
        put(main_file(projects, f"session-{number}"), good(f"session-{number}", 5))
    run("db", "upgrade")
    command = [str(PROGRAM), "ingest", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    ended = [(*process.communicate(), process.returncode) for process in started]
    assert [(errors, code) for _, errors, code in ended] == [(b"", 0)] * 4
    assert sum(json.loads(out)["added"] for out, _, _ in ended) == 200
    assert json.loads(run("analytics", "summary", "--json").stdout)["total_executions"] == 200
    assert run("db", "check").returncode == 0


def test_an_incomplete_last_line_waits_for_its_end(run: Run, projects: Path) -> None:
    """A line without a newline may still become valid, so it is no error yet."""
    line = jsonl([a_response("msg_late")])
    path = put(main_file(projects, SESSION), jsonl(good(SESSION)) + line[:30])
    assert run_ingest(run, code=0).report["added"] == 1
    with path.open("ab") as stream:
        stream.write(line[30:])
    assert run_ingest(run, code=0).report["added"] == 1


def field_paths(line: Line, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every field of a line, including nested ones."""
    for name, value in line.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from field_paths(value, (*above, name))


def with_value(line: Line, path: tuple[str, ...], value: Any) -> Line:
    """The line with this value at the path."""
    name, *rest = path
    if rest:
        return {**line, name: with_value(line[name], tuple(rest), value)}
    return changed(line, {name: ...}) if value is ... else {**line, name: value}


VALUES: list[Any] = [None, True, 0, -1, 5, 1.5, 10**30, "", "x", "a\0b", "\ud800", [], [1], {}, {"a": 1}, ...]


def test_wrong_types_in_any_field_do_not_stop_the_ingest(run: Run, projects: Path) -> None:
    """Any value is tried in any field of any kind of line. The ingest ends without an internal error and stores every
    other response."""
    talk = Talk(SESSION, constants={"agentId": "a9", "attributionAgent": "Plan", "isApiErrorMessage": False})
    talk.prompt()
    talk.respond("msg_x", Tokens(3, 7, 9, 0, 4), blocks=[task_block("Look", "Plan")], error="x", costUSD=0.5)
    talk.result("ok", task_result("a9", Tokens(3, 7, 9, 0, 4), "Look"))
    talk.add("queue-operation", {}, operation="enqueue", content="<task-notification>")
    talk.add("progress", {}, data={"type": "agent_progress", "agentId": "a8", "message": talk.lines[1]})
    expected = 0
    for number, line in enumerate(talk.lines):
        for index, value in enumerate(VALUES):
            lines = []
            for path in field_paths(line):
                lines.append(with_value(line, path, value))
                expected += 1
                session = f"good-{number}-{index}"
                lines.append(a_response(f"msg_good_{expected}", sessionId=session, cwd="/good"))
            data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            put(main_file(projects, f"file-{number}-{index}"), data)
    done = run("ingest", "--json")
    assert "Traceback" not in done.stderr
    assert "error: unexpected" not in done.stderr
    assert done.returncode == 1, done.stderr
    rows = json.loads(run("analytics", "export", "--json", "--project", "/good").stdout)
    assert len(rows) == expected, done.stderr + done.stdout
    assert run("db", "check").returncode == 0
    assert json.loads(run("ingest", "--json").stdout)["added"] == 0


def test_many_problems_are_summarized(run: Run, projects: Path) -> None:
    """Only some of the bad lines are shown, with the number of the others. All are in rejected.jsonl."""
    put(main_file(projects, SESSION), b"not json\n" * 500 + jsonl(good(SESSION)))
    done = run("ingest")
    assert done.returncode == 1
    assert "more" in done.stderr
    assert len(done.stderr.splitlines()) < 100
    assert len((projects.parent / "metrics" / "rejected.jsonl").read_bytes().splitlines()) == 500
    assert json.loads(run("analytics", "summary", "--json").stdout)["total_executions"] == 1


# A process that is killed


@pytest.mark.thorough
def test_a_killed_ingest_loses_nothing_and_counts_nothing_twice(run: Run, projects: Path) -> None:
    """The process is killed at random times while files grow in pieces. After one complete ingest every response is one
    execution with exactly its tokens."""
    writer = Writer(projects, random.Random(20))
    for _ in range(300):
        writer.step()
    command = [str(PROGRAM), "ingest", "--quiet"]
    kills, usual = 0, 1000
    while kills < KILLS:
        for _ in range(writer.chance.randint(10, 120)):
            writer.step()
        # Most of the time the process is still starting, so it is killed after that and before its usual end.
        most = writer.chance.randint(usual * 2 // 3, usual + 5)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            waits = 0
            while waits < most and process.poll() is None:
                writer.step()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.002)
                waits += 1
            process.kill()
            _, errors = process.communicate()
        assert (errors, process.returncode in (0, -9)) == (b"", True)
        if process.returncode == 0:
            usual = waits
        else:
            kills += 1
            # An ingest of more files takes longer.
            usual += 1 + usual // 20
    writer.finish()
    done = run("ingest", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(run("analytics", "export", "--json", "--no-ingest").stdout)
    assert len(rows) == len(writer.truth)
    found, truth = Counter(map(tokens_of, rows)), Counter(writer.truth.values())
    assert (found - truth, truth - found) == (Counter(), Counter())
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["total_executions"] == len(writer.truth)
    for index, kind in enumerate(Tokens._fields):
        assert summary[f"total_{kind}"] == sum(tokens[index] for tokens in writer.truth.values())
    assert run("db", "check").returncode == 0
    assert json.loads(run("ingest", "--json").stdout)["added"] == 0
