"""Ingests that stop in the middle of a file, files that change while they are read, and files of an unexpected kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import IngestResult, Store
from claude_force.errors import DatabaseBusy
from claude_force.executions.columns import Rows
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.ledgers import Ledger
from claude_force.executions.record import CLAUDE_CODE
from claude_force.executions.rollups import Sums
from claude_force.executions.run_parents import RunParent
from claude_force.executions.totals import Added
from claude_force.ingest import jsonl_source
from claude_force.ingest import run as ingest
from claude_force.ingest.jsonl_pass import JsonlPass
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.sources import JSONL
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.ingest.transcripts import source, transcript_pass
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass
from tests.builders import a_line
from tests.conftest import EXAMPLES, Run
from tests.profiles import scaled
from tests.transcripts import SESSION, Talk, Tokens, agent_file, main_file, notification, put

NOW_US = 1_790_000_000_000_000

BATCH, CHUNK_LINES = scaled(jsonl_source.BATCH), scaled(source.CHUNK_LINES)
"""Lines that are stored at once: fewer in a quick run, because most of its time goes into filling them."""


@pytest.fixture(autouse=True)
def lines_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read in this process is stored in so many lines at once."""
    monkeypatch.setattr(jsonl_source, "BATCH", BATCH)
    monkeypatch.setattr(source, "CHUNK_LINES", CHUNK_LINES)
    monkeypatch.setattr(transcript_pass, "OBSERVATIONS_PER_TRANSACTION", CHUNK_LINES // 2)


class FailingStore(Store):
    """A store whose database is locked after this number of calls."""

    def __init__(self, database: Database, calls: int) -> None:
        super().__init__(database)
        self.calls = calls

    def _count_down(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise DatabaseBusy("locked")

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],
        reports: Iterable[ReportedUsage] = (),
        ledgers: Sequence[Ledger] = (),
        parents: Sequence[RunParent] = (),
    ) -> IngestResult:
        self._count_down()
        return super().ingest(observations, cursors, reports, ledgers, parents)

    def add_rows(self, rows: Rows, sums: Sums | None = None, cursor: Cursor | None = None) -> Added:
        self._count_down()
        return super().add_rows(rows, sums, cursor)


def options(folder: Path) -> IngestOptions:
    """The options of an ingest. Rejected lines go to a file in the folder."""
    return IngestOptions(None, UTC, "here", RejectLog(folder / "rejected.jsonl"), NOW_US)


def read_transcripts(store: Store, folder: Path) -> None:
    """Ingest a folder once."""
    known = ingest.known_cursors(store.database, "here", CLAUDE_CODE)
    TranscriptPass(store, options(folder.parent), known).run(transcripts.find([folder], lambda _path, _problem: None))


def count_of(database: Database) -> int:
    """The number of stored executions."""
    with database.read() as connection:
        return queries.totals(connection, Filter()).executions


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_an_interrupted_transcript_is_continued(database: Database, tmp_path: Path, calls: int) -> None:
    """This holds even if the file does not change any more."""
    talk = Talk(SESSION)
    talk.prompt("Count")
    for number in range(2 * CHUNK_LINES + 500):
        talk.respond(f"msg_{number}")
    put(main_file(tmp_path / "projects", SESSION), talk.lines)
    with pytest.raises(DatabaseBusy):
        read_transcripts(FailingStore(database, calls), tmp_path / "projects")
    assert (count_of(database) > 0) == (calls > 0)
    read_transcripts(Store(database), tmp_path / "projects")
    assert count_of(database) == 2 * CHUNK_LINES + 500


def many_lines(count: int) -> list[bytes]:
    """Lines of executions one second apart. The last two are equal."""
    start = datetime(2025, 11, 14, tzinfo=UTC)
    times = [start + timedelta(seconds=number) for number in range(count - 1)]
    return [a_line(timestamp=time.isoformat()) for time in [*times, times[-1]]]


@pytest.mark.parametrize("calls", [0, 1])
def test_an_interrupted_executions_file_is_continued(database: Database, tmp_path: Path, calls: int) -> None:
    """Two equal lines before and after the interruption are two executions."""
    path = tmp_path / "executions.jsonl"
    lines = many_lines(BATCH + 2)
    path.write_bytes(lines[0])

    def read(store: Store) -> None:
        known = ingest.known_cursors(database, "here", JSONL)
        JsonlPass(store, options(tmp_path), known).run(path)

    read(Store(database))
    path.write_bytes(b"".join(lines))
    with pytest.raises(DatabaseBusy):
        read(FailingStore(database, calls))
    read(Store(database))
    assert count_of(database) == BATCH + 2


class RewritingStore(Store):
    """A store that truncates and rewrites the ingested file during its first call, as a fast writer would."""

    def __init__(self, database: Database, path: Path, content: bytes) -> None:
        super().__init__(database)
        self._path, self._content = path, content

    def _rewrite(self) -> None:
        if self._content:
            # The inode stays the same, as with copytruncate.
            self._path.write_bytes(self._content)
            self._content = b""

    def ingest(
        self,
        observations: Sequence[Observation],
        cursors: Iterable[Cursor],
        reports: Iterable[ReportedUsage] = (),
        ledgers: Sequence[Ledger] = (),
        parents: Sequence[RunParent] = (),
    ) -> IngestResult:
        self._rewrite()
        return super().ingest(observations, cursors, reports, ledgers, parents)

    def add_rows(self, rows: Rows, sums: Sums | None = None, cursor: Cursor | None = None) -> Added:
        self._rewrite()
        return super().add_rows(rows, sums, cursor)


def test_an_executions_file_rewritten_during_an_ingest_is_read_again(database: Database, tmp_path: Path) -> None:
    """The new file is longer than the part already read. No new line is missed, and no execution is made of half an old
    and half a new line."""
    path = tmp_path / "executions.jsonl"
    start = datetime(2025, 11, 14, tzinfo=UTC)
    times = [(start + timedelta(seconds=number)).isoformat() for number in range(2 * BATCH)]
    old = [a_line(timestamp=time, agent_name="old") for time in times[: BATCH + 100]]
    new = [a_line(timestamp=time, agent_name="new", run_id="n" * (number % 50)) for number, time in enumerate(times)]
    path.write_bytes(b"".join(old))
    reports = []
    for store in (RewritingStore(database, path, b"".join(new)), Store(database)):
        known = ingest.known_cursors(database, "here", JSONL)
        reports.append(JsonlPass(store, options(tmp_path), known).run(path))
    assert "while it was read" in str(reports[0].problems)
    assert [report.rejected for report in reports] == [0, 0]
    with database.read() as connection:
        agents = queries.totals_by(connection, Filter(), "agent_name")
    assert {name: found.executions for (name,), found in agents.items()} == {"old": BATCH, "new": 2 * BATCH}


def test_a_transcript_rewritten_during_an_ingest_is_read_again(database: Database, tmp_path: Path) -> None:
    """No response of the new file is missed."""
    old, new = Talk(SESSION), Talk(SESSION)
    for talk, name, responses in ((old, "old", CHUNK_LINES + 100), (new, "new", 2 * CHUNK_LINES)):
        for number in range(responses):
            talk.respond(f"msg_{name}_{number}")
    path = put(main_file(tmp_path / "projects", SESSION), old.lines)
    read_transcripts(RewritingStore(database, path, new.data()), tmp_path / "projects")
    read_transcripts(Store(database), tmp_path / "projects")
    assert count_of(database) >= 3 * CHUNK_LINES


def test_an_executions_file_among_transcripts_is_recognized(run: Run, home: Path) -> None:
    """Each file is read as what it is. A later ingest finds nothing new."""
    metrics = home / ".claude" / "metrics"
    metrics.mkdir(parents=True)
    sample = (EXAMPLES / "executions-guide.jsonl").read_bytes().splitlines(keepends=True)[:5]
    (metrics / "executions.jsonl").write_bytes(b"not an execution\n" + b"".join(sample))
    first = json.loads(run("ingest", home / ".claude", "--json").stdout)
    assert (first["sources"]["executions"]["added"], first["sources"]["claude-code"]["files"]) == (5, 0)
    with (metrics / "executions.jsonl").open("ab") as file:
        file.write(a_line(timestamp="2031-01-01T00:00:00+00:00"))
    second = run("ingest", "--json")
    assert (second.returncode, json.loads(second.stdout)["added"]) == (0, 1), second.stderr


def test_lines_of_another_format_are_counted(run: Run, home: Path) -> None:
    """A JSON file of another format is not skipped silently."""
    file = home / ".claude" / "projects" / "p" / "other.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"a": 1}\n{"b": 2}\n{"type": "assistant", "message": null}\n')
    found = json.loads(run("ingest", "--json").stdout)["sources"]["claude-code"]
    assert found["skipped"] == {"not an entry of a transcript": 2, "a response without a message": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"costUSD": 1e300},
        {"costUSD": -1.0},
        {"toolUseResult": {"agentId": "a1", "totalTokens": 2**70}},
        {"toolUseResult": {"agentId": "a\0", "totalTokens": 5}},
        {"toolUseResult": {"agentId": "a1", "totalTokens": 5, "totalDurationMs": -(10**18)}},
        {"toolUseResult": {"agentId": "a1", "totalTokens": 5, "usage": {"input_tokens": 2**63, "output_tokens": 1}}},
    ],
)
def test_impossible_numbers_beside_a_usage_are_ignored(
    changes: dict[str, Any], database: Database, tmp_path: Path
) -> None:
    """The response is stored without them. On both engines."""
    talk = Talk(SESSION)
    talk.prompt("Do", **{name: value for name, value in changes.items() if name == "toolUseResult"})
    talk.respond("msg_1", **{name: value for name, value in changes.items() if name == "costUSD"})
    put(main_file(tmp_path / "projects", SESSION), talk.lines)
    store = Store(database)
    read_transcripts(store, tmp_path / "projects")
    ingest.apply_reported_usage(store, None, {"a1"}, NOW_US)
    assert count_of(database) == 1


def test_a_long_text_full_of_tags_is_parsed_quickly(database: Database, tmp_path: Path) -> None:
    """An agent's text may look like the numbers after it. Only the numbers count."""
    talk = Talk(SESSION)
    text = "<task-notification>" + "<task-id>a1</task-id>" * 20_000 + "<total_tokens>1</" * 20_000
    talk.prompt(text)
    talk.respond("msg_1")
    put(main_file(tmp_path / "projects", SESSION), talk.lines)
    read_transcripts(Store(database), tmp_path / "projects")
    assert count_of(database) == 1


def test_deeply_nested_folders_are_searched(run: Run, home: Path) -> None:
    """Here 300 levels deep."""
    deep = home / ".claude" / "projects"
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    talk = Talk(SESSION)
    talk.prompt("Deep")
    talk.respond("msg_1")
    put(deep / "s.jsonl", talk.lines)
    assert json.loads(run("ingest", "--json").stdout)["added"] == 1


def test_an_unknown_user_in_claude_config_dir_is_a_missing_folder(run: Run) -> None:
    """The folder is named."""
    done = run("ingest", env={"CLAUDE_CONFIG_DIR": "~nobody-of-this-name/x"})
    assert done.returncode == 1
    assert "not there, though CLAUDE_CONFIG_DIR names it" in done.stderr


@pytest.mark.parametrize("session", ["a/b", "a\0b", "x" * 300, "..", ""])
def test_a_session_id_that_is_no_file_name_is_accepted(session: str, run: Run, home: Path) -> None:
    """A sub-agent in the old layout is ingested with any session id."""
    folder = home / ".claude" / "projects" / "p"
    talk = Talk(session, agent_id="a1")
    talk.prompt("Look")
    talk.respond("msg_1")
    put(folder / "agent-a1.jsonl", talk.lines)
    done = run("ingest", "--json")
    assert (done.returncode, json.loads(done.stdout)["added"]) == (0, 1), done.stderr


def test_a_wrong_clock_loses_no_tokens(run: Run, home: Path) -> None:
    """A line days after its response does not move the response. A prompt from another year leaves it without a
    duration."""
    talk = Talk(SESSION)
    talk.prompt("Look")
    talk.respond("msg_1", request="req_1")
    talk.seconds += 400 * 86_400
    talk.respond("msg_1", request="req_1")
    talk.respond("msg_2", request="req_2")
    put(main_file(home / ".claude" / "projects", SESSION), talk.lines)
    assert run("ingest").returncode == 0
    rows = json.loads(run("analytics", "export", "--json").stdout)
    assert len(rows) == 2
    assert max(row["execution_time_ms"] or 0 for row in rows) < 60_000


def test_an_empty_file_may_become_an_executions_file(run: Run, home: Path) -> None:
    """The kind of a file is checked until it has a line of a transcript."""
    file = home / "logs" / "executions.jsonl"
    file.parent.mkdir()
    file.touch()
    assert run("ingest", file.parent).returncode == 0
    file.write_bytes(a_line())
    assert json.loads(run("ingest", file.parent, "--json").stdout)["sources"]["executions"]["added"] == 1


def test_agents_of_the_old_layout_are_ingested_after_their_session(database: Database, tmp_path: Path) -> None:
    """What they replay of the session therefore counts once, even if their files are older."""
    main, agents = Talk(SESSION), [Talk(SESSION, agent_id=f"a{number}") for number in range(2)]
    main.prompt("Look")
    main.respond("msg_1", request="req_main")
    folder = tmp_path / "projects" / "p"
    put(folder / f"{SESSION}.jsonl", main.lines)
    for number, agent in enumerate(agents):
        agent.prompt("Look")
        agent.respond("msg_1", request=f"req_{number}")
        put(folder / f"agent-a{number}.jsonl", agent.lines, age=1000)
    read_transcripts(Store(database), tmp_path / "projects")
    assert count_of(database) == 1


def test_a_notification_waits_until_its_agent_is_ingested(run: Run, projects: Path) -> None:
    """An ingest of the session alone does not assign the total to an earlier response of the agent."""
    main, agent = Talk(SESSION), Talk(SESSION, agent_id="a1", seconds=1)
    agent.prompt("Look")
    agent.respond("msg_1", Tokens(10, 2, 0, 0, 0), is_final=False)
    put(agent_file(projects, "a1"), agent.lines)
    put(main_file(projects, SESSION), [])
    assert run("ingest").returncode == 0
    agent.respond("msg_2", Tokens(4000, 1, 0, 0, 0), is_final=False)
    put(agent_file(projects, "a1"), agent.lines)
    main.seconds = agent.seconds + 1
    main.prompt(notification("a1", 5000))
    put(main_file(projects, SESSION), main.lines)
    assert run("ingest", main_file(projects, SESSION)).returncode == 0
    assert run("ingest").returncode == 0
    rows = json.loads(run("analytics", "export", "--json").stdout)
    assert sorted(row["output_tokens"] for row in rows) == [2, 1000]
