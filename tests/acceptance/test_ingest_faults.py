"""What goes wrong while transcripts are read: each fault is named, none stops the pass, and nothing is lost or counted
twice, whenever the reading process dies."""

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
    Line,
    Passes,
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

KILLS = scaled(30)
"""How often an ingesting process is killed."""

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
    for place in range(number):
        talk.respond(f"msg_{session}_{place}", Tokens(3, 100 + place, 9, 0, 4))
    return talk.lines


def a_response(message_id: str, **changes: Any) -> Line:
    """One line of a response, with changes."""
    return Talk(SESSION).respond(message_id, Tokens(3, 7, 9, 0, 4), **changes)[0]


@dataclass
class Pass:
    """What a pass said, and which executions there are after it."""

    done: subprocess.CompletedProcess[str]
    rows: list[dict[str, Any]]
    said: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        assert "Traceback" not in self.done.stderr
        assert "error: unexpected" not in self.done.stderr
        self.said = json.loads(self.done.stdout)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Path and reason of everything that was wrong."""
        return [(item["path"], item["problem"]) for item in self.said["sources"]["claude-code"]["problems"]]

    @property
    def messages(self) -> set[str]:
        """The sessions of executions."""
        return {row["workflow_id"] for row in self.rows}


def a_pass(run: Run, *arguments: str | Path, code: int = 1, **options: Any) -> Pass:
    """One pass by the installed program; what is wrong is named alike on stderr and in JSON."""
    done = run("ingest", "--json", *arguments, **options)
    rows = json.loads(run("analytics", "export", "--json").stdout)
    found = Pass(done, rows)
    assert done.returncode == code, done.stderr
    for path, problem in found.problems:
        assert f"{path}: {problem}" in done.stderr
    return found


def test_a_line_over_the_limit_is_named_and_the_rest_is_read(run: Run, projects: Path) -> None:
    """More than 8 MiB in one line, between two responses; and a line just below the limit, which is read."""
    lines = good("s1", 2)
    long = jsonl([a_response("msg_long", blocks=[text_block("x" * LIMIT)])])
    below = jsonl([a_response("msg_below", blocks=[text_block("x" * (LIMIT - 4096))], sessionId="below")])
    path = put(main_file(projects, "s1"), jsonl(lines[:2]) + long + jsonl(lines[2:]) + below)
    found = a_pass(run)
    ((where, reason),) = found.problems
    assert (where, found.said["rejected"]) == (str(path), 1)
    assert "line 3" in reason
    assert "8 MiB" in reason
    assert sorted(row["workflow_id"] for row in found.rows) == ["below", "s1", "s1"]
    with path.open("ab") as stream:
        stream.write(jsonl([a_response("msg_later")]))
    assert a_pass(run, code=0).said["added"] == 1


def test_a_line_over_the_limit_that_still_grows_is_not_lost_track_of(run: Run, projects: Path) -> None:
    """Where its end was not there in the first pass, the line after it is read all the same."""
    long = jsonl([a_response("msg_long", blocks=[text_block("x" * (LIMIT + MEBIBYTE))])])
    path = put(main_file(projects, "s1"), jsonl(good("s1")) + long[: LIMIT + 1000])
    run("ingest")
    with path.open("ab") as stream:
        stream.write(long[LIMIT + 1000 :] + jsonl([a_response("msg_after")]))
    run("ingest")
    rows = json.loads(run("analytics", "export", "--json").stdout)
    assert sorted(row["output_tokens"] for row in rows) == [7, 100]


def without_overriding() -> None:
    """Let permissions count for root too: without these capabilities it is a user like others."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.parametrize("what", ["folder", "file", "folder of sub-agents", "root"])
def test_what_may_not_be_read_is_named(what: str, run: Run, projects: Path) -> None:
    """Nothing else is left out; when it may be read, it is."""
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
        found = a_pass(run, preexec_fn=without_overriding)
    finally:
        path.chmod(mode)
    assert found.problems == [(str(path), "Permission denied")]
    assert ("open" in found.messages) == (what != "root")
    assert a_pass(run, code=0).messages == {"closed", "closed-agent", "open"}


@pytest.mark.parametrize("what", ["file", "folder", "everything"])
def test_what_vanishes_before_it_is_read_is_named(what: str, tmp_path: Path) -> None:
    """A file that was there when files were listed, and is not when it is opened."""
    projects = tmp_path / "projects"
    for name in ("one", "two"):
        put(main_file(projects, name, f"-{name}"), good(name))
    passes = Passes(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    found = transcripts.find([projects], passes.report.add_problem)
    gone = [main_file(projects, "one", "-one")]
    if what == "everything":
        gone.append(main_file(projects, "two", "-two"))
    for path in gone:
        path.unlink()
        if what != "file":
            path.parent.rmdir()
    passes.read(found)
    assert sorted(path for path, _ in passes.report.problems) == sorted(map(str, gone))
    assert {row["workflow_id"] for row in passes.rows()} == ({"two"} if what != "everything" else set())


def test_a_file_that_is_cut_off_after_it_was_listed(tmp_path: Path) -> None:
    """It is read as it is when it is opened."""
    path = put(main_file(tmp_path, "one"), good("one", 3))
    passes = Passes(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    found = transcripts.find([tmp_path], passes.report.add_problem)
    path.write_bytes(jsonl(good("one", 3)[:2]))
    passes.read(found)
    assert (len(passes.rows()), passes.report.problems) == (1, [])


def test_links_in_a_circle_are_named(run: Run, projects: Path) -> None:
    """A folder that holds itself, a link to itself, and a link to nothing: everything else is read, once."""
    put(main_file(projects, "one"), good("one"))
    (projects / "-home-ada-engine" / "loop").symlink_to(projects)
    (projects / "self.jsonl").symlink_to(projects / "self.jsonl")
    (projects / "dangling.jsonl").symlink_to(projects / "nothing.jsonl")
    (projects / "dangling-folder").symlink_to(projects / "nothing")
    (projects / "also").symlink_to(projects / "-home-ada-engine")
    found = a_pass(run)
    named = {Path(path).name for path, _ in found.problems}
    assert {"loop", "self.jsonl", "dangling.jsonl"} <= named
    assert [row["workflow_id"] for row in found.rows] == ["one"]
    assert found.said["files"] == 1


def test_things_that_are_no_files_are_named(run: Run, projects: Path) -> None:
    """A folder named like a transcript is looked into; a pipe does not stop the pass."""
    put(main_file(projects, "one"), good("one"))
    (projects / "folder.jsonl").mkdir()
    put(projects / "folder.jsonl" / "two.jsonl", good("two"))
    os.mkfifo(projects / "pipe.jsonl")
    done = run("ingest", "--json", timeout=5)
    assert "Traceback" not in done.stderr
    assert "pipe.jsonl" in done.stderr
    assert json.loads(done.stdout)["added"] == 2


METAS: dict[str, bytes | None] = {
    "garbage": bytes(range(256)) * 4,
    "empty": b"",
    "cut off": b'{"agentType": "Expl',
    "an array": b"[1]",
    "a number for a name": b'{"agentType": 5}',
    "deep": b"[" * 100_000,
    "invalid UTF-8": b'{"agentType": "a\xff\xfeb"}',
    "a folder": None,
}


@pytest.mark.parametrize("content", METAS.values(), ids=METAS)
def test_a_broken_meta_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    """The responses of its sub-agent are stored, with the name that another record tells."""
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
    passes = Passes(Store(open_database(str(tmp_path / "metrics.db"))), tmp_path / "rejected.jsonl")
    passes.over(tmp_path)
    assert [path for path, _ in passes.report.problems] == [str(meta)]
    assert [row["agent_name"] for row in passes.rows()] == ["main", "Plan"]


def test_a_broken_meta_file_by_the_program(run: Run, projects: Path) -> None:
    """It is named on stderr and in JSON; the pass goes on."""
    meta = put(agent_file(projects, "a1", "s1"), good("s1")).with_name("agent-a1.meta.json")
    meta.write_bytes(b"{")
    put(main_file(projects, "s2"), good("s2"))
    found = a_pass(run)
    assert [path for path, _ in found.problems] == [str(meta)]
    assert found.messages == {"s1", "s2"}


GOOD = jsonl([a_response("msg_bad")])
BAD_LINES: dict[str, bytes] = {
    "binary garbage": bytes(byte for byte in range(256) if byte != 10) + b"\n",
    "only NUL bytes": bytes(4096) + b"\n",
    "a NUL within": GOOD.replace(b"msg_bad", b"msg\0bad"),
    "invalid UTF-8 in a name": GOOD.replace(b"msg_bad", b"msg\xff\xfebad"),
    "deep nesting": GOOD.replace(b'"userType":"external"', b'"userType":' + b"[" * 100_000 + b"]" * 100_000),
    "deep nesting, not closed": b"[" * 100_000 + b"\n",
    "an array": b"[1, 2]\n",
    "a number": b"12\n",
    "null": b"null\n",
    "a text": b'"text"\n',
    "a cut line": GOOD[: len(GOOD) // 2] + b"\n",
    "two objects": GOOD.strip() + GOOD,
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
    "no time that is known": jsonl([a_response("msg_bad", timestamp="yesterday")]),
    "a number for the time": jsonl([a_response("msg_bad", timestamp=1_772_000_000)]),
    "the year 9999": jsonl([a_response("msg_bad", timestamp="9999-12-31T23:59:59.999Z")]),
    "the year 1": jsonl([a_response("msg_bad", timestamp="0001-01-01T00:00:00.000Z")]),
}


def test_bad_lines_are_named_and_their_neighbours_stored(run: Run, projects: Path) -> None:
    """Each in a file of its own between two responses: every one is named with its file and line, on stderr, in JSON
    and in the file of rejected lines."""
    for name, line in BAD_LINES.items():
        assert line != GOOD, name
        lines = good(name, 2)
        put(main_file(projects, name), jsonl(lines[:2]) + line + jsonl(lines[2:]))
    found = a_pass(run)
    stored = Counter(row["workflow_id"] for row in found.rows)
    assert {name: stored[name] for name in BAD_LINES} == dict.fromkeys(BAD_LINES, 2)
    named = {Path(path).stem: problem for path, problem in found.problems}
    assert sorted(set(BAD_LINES) - set(named)) == []
    assert {name: problem for name, problem in named.items() if not problem.startswith("line 3: ")} == {}
    assert max(map(len, named.values())) < 300
    assert (found.said["rejected"], len(found.rows)) == (len(BAD_LINES), 2 * len(BAD_LINES))
    rejected = (projects.parent / "metrics" / "rejected.jsonl").read_text("ascii").splitlines()
    assert Counter(Path(json.loads(line)["file"]).stem for line in rejected) == Counter(BAD_LINES.keys())


def test_invalid_utf_8_in_what_was_said_takes_no_response_away(run: Run, projects: Path) -> None:
    """Texts are not kept, so that bytes in them which are no text matter to nobody: the response counts."""
    put(main_file(projects, SESSION), GOOD.replace(b"Here is", b"Her\xff\xfe is"))
    assert a_pass(run, code=0).said["added"] == 1


def test_half_a_character_in_what_was_said_takes_no_response_away(run: Run, projects: Path) -> None:
    """A text that was cut within an emoji ends with half of it, which JavaScript writes as an escape: in a prompt, an
    answer, the call of a tool and its result."""
    talk = Talk(SESSION)
    talk.prompt("Look at \ud83d")
    talk.respond("msg_1", blocks=[text_block("Cut \ud83d"), tool_block(command="echo \udc00")])
    talk.result("Cut \ud83d")
    talk.respond("msg_2")
    put(main_file(projects, SESSION), "".join(f"{json.dumps(line)}\n" for line in talk.lines).encode("ascii"))
    found = a_pass(run, code=0)
    assert (found.said["added"], found.said["rejected"]) == (2, 0)
    assert len({row["run_id"] for row in found.rows} - {None}) == 1


def test_passes_at_once_count_nothing_twice(run: Run, projects: Path) -> None:
    """Several passes over the same files at the same time store each response once, and none fails."""
    for number in range(40):
        put(main_file(projects, f"session-{number}"), good(f"session-{number}", 5))
    run("db", "upgrade")
    command = [str(PROGRAM), "ingest", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    ended = [(*process.communicate(), process.returncode) for process in started]
    assert [(said, code) for _, said, code in ended] == [(b"", 0)] * 4
    assert sum(json.loads(out)["added"] for out, _, _ in ended) == 200
    assert json.loads(run("analytics", "summary", "--json").stdout)["total_executions"] == 200
    assert run("db", "check").returncode == 0


def test_bad_bytes_at_the_end_wait_for_their_line(run: Run, projects: Path) -> None:
    """What has no newline yet may become a good line; it is no error before."""
    line = jsonl([a_response("msg_late")])
    path = put(main_file(projects, SESSION), jsonl(good(SESSION)) + line[:30])
    assert a_pass(run, code=0).said["added"] == 1
    with path.open("ab") as stream:
        stream.write(line[30:])
    assert a_pass(run, code=0).said["added"] == 1


def places(line: Line, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of a line, also within others."""
    for name, value in line.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from places(value, (*above, name))


def with_value(line: Line, place: tuple[str, ...], value: Any) -> Line:
    """The line with another value in one place."""
    name, *rest = place
    if rest:
        return {**line, name: with_value(line[name], tuple(rest), value)}
    return changed(line, {name: ...}) if value is ... else {**line, name: value}


VALUES: list[Any] = [None, True, 0, -1, 5, 1.5, 10**30, "", "x", "a\0b", "\ud800", [], [1], {}, {"a": 1}, ...]


def test_wrong_types_of_every_field_stop_nothing(run: Run, projects: Path) -> None:
    """Any value in any field of any kind of line: the pass ends, no internal error is said, and every other response
    is stored."""
    talk = Talk(SESSION, constants={"agentId": "a9", "attributionAgent": "Plan", "isApiErrorMessage": False})
    talk.prompt()
    talk.respond("msg_x", Tokens(3, 7, 9, 0, 4), blocks=[task_block("Look", "Plan")], error="x", costUSD=0.5)
    talk.result("ok", task_result("a9", Tokens(3, 7, 9, 0, 4), "Look"))
    talk.add("queue-operation", {}, operation="enqueue", content="<task-notification>")
    talk.add("progress", {}, data={"type": "agent_progress", "agentId": "a8", "message": talk.lines[1]})
    expected = 0
    for number, line in enumerate(talk.lines):
        for turn, value in enumerate(VALUES):
            lines = []
            for place in places(line):
                lines.append(with_value(line, place, value))
                expected += 1
                session = f"good-{number}-{turn}"
                lines.append(a_response(f"msg_good_{expected}", sessionId=session, cwd="/good"))
            data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            put(main_file(projects, f"file-{number}-{turn}"), data)
    done = run("ingest", "--json")
    assert "Traceback" not in done.stderr
    assert "error: unexpected" not in done.stderr
    assert done.returncode == 1, done.stderr
    rows = json.loads(run("analytics", "export", "--json", "--project", "/good").stdout)
    assert len(rows) == expected, done.stderr + done.stdout
    assert run("db", "check").returncode == 0
    assert json.loads(run("ingest", "--json").stdout)["added"] == 0


def test_many_problems_are_counted(run: Run, projects: Path) -> None:
    """Of more bad lines than a person reads the number is said; all are in the file of rejected lines."""
    put(main_file(projects, SESSION), b"not json\n" * 500 + jsonl(good(SESSION)))
    done = run("ingest")
    assert done.returncode == 1
    assert "more" in done.stderr
    assert len(done.stderr.splitlines()) < 100
    assert len((projects.parent / "metrics" / "rejected.jsonl").read_bytes().splitlines()) == 500
    assert json.loads(run("analytics", "summary", "--json").stdout)["total_executions"] == 1


# A process that dies


@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_pass_loses_nothing_and_counts_nothing_twice(run: Run, projects: Path) -> None:
    """The ingesting process is killed at random moments while files grow in split writes; after one whole pass every
    response is one execution, with exactly its tokens."""
    writer = Writer(projects, random.Random(20))
    for _ in range(300):
        writer.step()
    command = [str(PROGRAM), "ingest", "--quiet"]
    kills, usual = 0, 1000
    while kills < KILLS:
        for _ in range(writer.chance.randint(10, 120)):
            writer.step()
        # A pass begins with a long start; what is interesting comes after that, until its usual end.
        most = writer.chance.randint(usual * 2 // 3, usual + 5)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            waits = 0
            while waits < most and process.poll() is None:
                writer.step()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.002)
                waits += 1
            process.kill()
            _, said = process.communicate()
        assert (said, process.returncode in (0, -9)) == (b"", True)
        if process.returncode == 0:
            usual = waits
        else:
            kills += 1
            # More files take longer.
            usual += 1 + usual // 20
    writer.finish()
    done = run("ingest", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(run("analytics", "export", "--json").stdout)
    assert len(rows) == len(writer.truth)
    found, truth = Counter(map(tokens_of, rows)), Counter(writer.truth.values())
    assert (found - truth, truth - found) == (Counter(), Counter())
    summary = json.loads(run("analytics", "summary", "--json").stdout)
    assert summary["total_executions"] == len(writer.truth)
    for place, kind in enumerate(Tokens._fields):
        assert summary[f"total_{kind}"] == sum(tokens[place] for tokens in writer.truth.values())
    assert run("db", "check").returncode == 0
    assert json.loads(run("ingest", "--json").stdout)["added"] == 0
