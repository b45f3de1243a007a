"""Fresh by itself: when a report reads what is new, how much of it, and what it says of the rest. On both engines."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC
from pathlib import Path
from random import Random
from typing import Any

import pytest

from claude_force.clock import SECOND_US, instant_formatter
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.ingest_passes import IngestPass, last_pass, save_pass
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.executions.jsonl.codec import columns_of, encode_line
from claude_force.executions.origin import host_name
from claude_force.files import exclusive_lock
from claude_force.ingest import jsonl_source, spool
from claude_force.ingest.freshness import (
    ANOTHER_READS,
    BUSY,
    MAX_AGE_US,
    Freshness,
    bring_up_to_date,
    stored_freshness,
)
from claude_force.ingest.plan import ingest_inputs, ingest_options
from claude_force.ingest.run import run_pass
from claude_force.ingest.sources import INGESTING, waiting_files
from claude_force.ingest.transcripts import source
from claude_force.reports.freshness import freshness_dict, freshness_lines, unknown_figures, unknown_row
from claude_force.settings.claude_json import Settings
from claude_force.settings.home import home_at
from tests.builders import an_execution
from tests.transcripts import (
    AGENT,
    FORK,
    Talk,
    Tokens,
    agent_file,
    agent_talk,
    copied,
    main_file,
    parent_of_agent,
    put,
    statistics,
    task_result,
)

NOW_US = 1_790_000_000_000_000
HOST = host_name() or ""


@pytest.fixture
def projects(home: Path) -> Path:
    """Where Claude Code keeps the transcripts of the user."""
    return home / ".claude" / "projects"


@pytest.fixture
def workspace(home: Path, database: Database, location: str) -> Workspace:
    """The user's workspace, whose settings name the database."""
    return Workspace(home_at(home / ".claude"), Settings(database=location), location, database)


def talk(projects: Path, number: int, responses: int = 1) -> Path:
    """The transcript of a session, older than those with a higher number."""
    found = Talk(session=f"0000000{number}-0000-4000-8000-000000000000")
    found.prompt()
    for index in range(responses):
        found.respond(f"msg_{number}_{index}")
    return put(main_file(projects, found.session), found.lines, age=1000 - number)


def never() -> bool:
    """Time enough."""
    return False


def always() -> bool:
    """The time is over before anything was read."""
    return True


def executions(database: Database) -> int:
    """How many executions are stored."""
    with database.read() as connection:
        return queries.totals(connection, Filter()).executions


def test_new_files_are_read(workspace: Workspace, projects: Path) -> None:
    """Also into a database that does not exist yet; then nothing is left, and the pass is stored."""
    talk(projects, 1)
    assert bring_up_to_date(workspace, NOW_US, never) == Freshness(NOW_US, NOW_US, 0, 0)
    assert executions(workspace.database) == 1
    with workspace.database.read() as connection:
        assert last_pass(connection, HOST) == IngestPass(NOW_US)


@pytest.mark.parametrize(
    ("later_us", "is_read"), [(0, False), (MAX_AGE_US, False), (MAX_AGE_US + 1, True), (-1, True)], ids=str
)
def test_a_pass_of_the_last_30_seconds_is_new_enough(
    workspace: Workspace, projects: Path, later_us: int, is_read: bool
) -> None:
    """Older ones are not, and one from the future says that the clock was set."""
    talk(projects, 1)
    bring_up_to_date(workspace, NOW_US, never)
    talk(projects, 2)
    found = bring_up_to_date(workspace, NOW_US + later_us, never)
    assert executions(workspace.database) == 1 + is_read
    assert found.age_s == (0 if is_read else later_us // SECOND_US)


def test_nothing_new_is_stored_as_a_pass(workspace: Workspace, projects: Path) -> None:
    """So that the next report need not look."""
    talk(projects, 1)
    bring_up_to_date(workspace, NOW_US, never)
    later_us = NOW_US + MAX_AGE_US + 1
    assert bring_up_to_date(workspace, later_us, never) == Freshness(later_us, later_us, 0, 0)
    with workspace.database.read() as connection:
        assert last_pass(connection, HOST) == IngestPass(later_us)


def test_an_empty_home_gets_no_database(home: Path) -> None:
    """There is nothing worth creating one for."""
    place = home_at(home / ".claude")
    location = str(place.database_file)
    found = bring_up_to_date(Workspace(place, Settings(), location, open_database(location)), NOW_US, never)
    assert found == Freshness(NOW_US, NOW_US, 0, 0)
    assert list(home.joinpath(".claude").iterdir()) == []


def test_a_pass_ends_with_its_time(workspace: Workspace, projects: Path) -> None:
    """Each reads at least one file, the next goes on without waiting, and all of them read what one would."""
    for number in range(1, 4):
        talk(projects, number, responses=number)
    sizes = [path.stat().st_size for path in sorted(projects.rglob("*.jsonl"))]
    for done in range(1, 4):
        found = bring_up_to_date(workspace, NOW_US + done, always)
        assert (found.unread_files, found.unread_bytes) == (3 - done, sum(sizes[done:]))
        assert executions(workspace.database) == sum(range(1, done + 1))
        assert found.is_incomplete is (done < 3)


def test_a_long_file_is_read_in_parts(workspace: Workspace, projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of it stays, and only the rest counts as unread."""
    monkeypatch.setattr(source, "CHUNK_LINES", 10)
    path = talk(projects, 1, responses=25)
    left = [path.stat().st_size]
    while left[-1]:
        found = bring_up_to_date(workspace, NOW_US + len(left), always)
        assert found.unread_bytes is not None
        assert found.unread_bytes < left[-1]
        left.append(found.unread_bytes)
    assert len(left) == 4
    assert executions(workspace.database) == 25


def test_a_long_file_of_executions_is_read_in_parts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics file of the settings is a usual source, too."""
    monkeypatch.setattr(jsonl_source, "BATCH", 10)
    path = workspace.home.metrics_folder / "executions.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(encode_line(an_execution(timestamp_us=NOW_US + at), UTC) for at in range(25)))
    stored = []
    for done in range(3):
        bring_up_to_date(workspace, NOW_US + done, always)
        stored.append(executions(workspace.database))
    assert stored == [10, 20, 25]


def test_what_waits_in_the_spool_is_read(workspace: Workspace) -> None:
    """Executions that could not be recorded are new, too."""
    spool.append([an_execution()], waiting_files(workspace))
    assert bring_up_to_date(workspace, NOW_US, never).unread_files == 0
    assert executions(workspace.database) == 1


def test_a_spool_file_that_another_process_uses_is_not_waited_for(workspace: Workspace) -> None:
    """It is said, and the file stays for the other process, or for the next report."""
    path = spool.append([an_execution()], waiting_files(workspace))
    with exclusive_lock(os.open(path, os.O_RDWR)):
        found = bring_up_to_date(workspace, NOW_US, never)
        assert found.problems == (f"{path}: another process uses it",)
        assert (path.exists(), executions(workspace.database)) == (True, 0)
    bring_up_to_date(workspace, NOW_US + MAX_AGE_US + 1, never)
    assert (path.exists(), executions(workspace.database)) == (False, 1)


def test_another_process_is_not_waited_for(workspace: Workspace, projects: Path) -> None:
    """What it reads counts as unread until it has been read."""
    path = talk(projects, 1)
    with workspace.database.try_exclusive(INGESTING):
        found = bring_up_to_date(workspace, NOW_US, never)
    assert found == Freshness(NOW_US, None, 1, path.stat().st_size, (ANOTHER_READS,))
    assert executions(workspace.database) == 0


def test_a_locked_database_is_not_waited_for(workspace: Workspace, projects: Path, location: str) -> None:
    """The report can still read it."""
    if "://" in location:
        pytest.skip("a server locks rows, not databases")
    talk(projects, 1)
    bring_up_to_date(workspace, NOW_US, never)
    talk(projects, 2)
    other = sqlite3.connect(location, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = bring_up_to_date(workspace, NOW_US + MAX_AGE_US + 1, never)
    other.execute("ROLLBACK")
    other.close()
    assert (found.problems, found.age_s, found.unread_files) == ((BUSY,), 30, 1)
    assert executions(workspace.database) == 1


def test_a_held_roll_up_lock_is_not_waited_for(workspace: Workspace, projects: Path, location: str) -> None:
    """On a server an import holds it for a transaction."""
    if "://" not in location:
        pytest.skip("a SQLite transaction that writes is the only one")
    talk(projects, 1)
    other = open_database(location)
    with other.write() as connection:
        connection.lock_rollups()
        found = bring_up_to_date(workspace, NOW_US, never)
    other.close()
    assert found.problems == (BUSY,)
    assert executions(workspace.database) == 0


def test_writes_wait_again_after_a_block_without_waiting(database: Database) -> None:
    """A lock that another holds for a moment stops nobody for good."""
    with database.without_waiting(), database.write() as connection:
        save_pass(connection, HOST, IngestPass(NOW_US))
    with database.write() as connection:
        save_pass(connection, HOST, IngestPass(NOW_US + 1))
    with database.read() as connection:
        assert last_pass(connection, HOST) == IngestPass(NOW_US + 1)


def test_a_named_database_stays_a_sample(workspace: Workspace, projects: Path, location: str) -> None:
    """Until the usual sources are read into it once, by `ingest` or by the scheduler."""
    talk(projects, 1)
    named = Workspace(workspace.home, Settings(), location, workspace.database)
    assert bring_up_to_date(named, NOW_US, never) == Freshness(NOW_US)
    assert freshness_lines(Freshness(NOW_US)) == []
    run_pass(named.database, ingest_inputs(named), ingest_options(named, NOW_US))
    talk(projects, 2)
    bring_up_to_date(named, NOW_US + MAX_AGE_US + 1, never)
    assert executions(named.database) == 2


def test_a_folder_of_samples_does_not_make_a_database_the_users(
    workspace: Workspace, projects: Path, location: str, tmp_path: Path
) -> None:
    """Only a pass over all usual sources does."""
    talk(projects, 1)
    talk(tmp_path / "samples", 2)
    named = Workspace(workspace.home, Settings(), location, workspace.database)
    run_pass(named.database, ingest_inputs(named, [tmp_path / "samples"]), ingest_options(named, NOW_US))
    assert bring_up_to_date(named, NOW_US + MAX_AGE_US + 1, never) == Freshness(NOW_US + MAX_AGE_US + 1)
    assert executions(named.database) == 1


def test_the_session_that_is_asked_for_comes_first(workspace: Workspace, projects: Path) -> None:
    """Once everything older was read: then no original is missing whose copy it may be."""
    talk(projects, 1)
    bring_up_to_date(workspace, NOW_US, never)
    paths = [talk(projects, number) for number in (2, 3, 4)]
    found = bring_up_to_date(workspace, NOW_US + 1, always, max_age_us=-1, session_file=str(paths[2]))
    assert found.unread_files == 2
    with workspace.database.read() as connection:
        assert queries.totals(connection, Filter(sessions=(paths[2].stem,))).executions == 1
    found = bring_up_to_date(workspace, NOW_US + 2, always, max_age_us=-1, session_file=str(paths[1]))
    with workspace.database.read() as connection:
        assert queries.totals(connection, Filter(sessions=(paths[0].stem,))).executions == 1


def test_a_file_that_cannot_be_read_is_a_problem(workspace: Workspace, projects: Path) -> None:
    """Also of the reports that do not look again, and it stops nothing else."""
    talk(projects, 1)
    (projects / "gone.jsonl").symlink_to(projects / "nowhere.jsonl")
    found = bring_up_to_date(workspace, NOW_US, never)
    assert executions(workspace.database) == 1
    assert [problem.partition(": ")[0] for problem in found.problems] == [str(projects / "gone.jsonl")]
    assert bring_up_to_date(workspace, NOW_US + 1, never).problems == found.problems


def test_what_cannot_be_read_is_no_zero(workspace: Workspace, projects: Path) -> None:
    """Where nothing is stored of a period, its figures are unknown: the file that cannot be read may hold them."""
    talk(projects, 1)
    assert not bring_up_to_date(workspace, NOW_US, never).is_incomplete
    (projects / "-home-ada-engine" / "loop").symlink_to("loop")
    found = bring_up_to_date(workspace, NOW_US + MAX_AGE_US + 1, never)
    assert (found.unread_files, len(found.problems), found.is_incomplete) == (0, 1, True)


def test_a_database_that_cannot_be_written_is_a_problem(workspace: Workspace, projects: Path, location: str) -> None:
    """The report follows, and meets its own errors."""
    if "://" in location:
        pytest.skip("for a file")
    Path(location).write_bytes(b"not a database")
    talk(projects, 1)
    (problem,) = bring_up_to_date(workspace, NOW_US, never).problems
    assert "is not a SQLite database" in problem


def test_what_cannot_be_stored_counts_as_unread(workspace: Workspace, projects: Path, location: str) -> None:
    """So that no figure is 0: here a folder has the name of the file that locks."""
    if "://" in location:
        pytest.skip("for a file")
    path = talk(projects, 1)
    Path(f"{location}.{INGESTING}").mkdir()
    found = bring_up_to_date(workspace, NOW_US, never)
    assert (found.unread_files, found.unread_bytes) == (1, path.stat().st_size)
    assert [problem.startswith(f"{location}.{INGESTING}: ") for problem in found.problems] == [True]


def test_without_a_look_only_the_age_is_known(workspace: Workspace, projects: Path) -> None:
    """What is unread is not known then."""
    talk(projects, 1)
    assert stored_freshness(workspace, NOW_US) == Freshness(NOW_US)
    bring_up_to_date(workspace, NOW_US, never)
    assert stored_freshness(workspace, NOW_US + 90 * SECOND_US) == Freshness(NOW_US + 90 * SECOND_US, NOW_US)


def test_a_pass_replaces_the_one_before_it_of_its_host(database: Database) -> None:
    """Also one that began later, before the clock was set back."""
    left = IngestPass(NOW_US - 1, 3, 4, ("a: b",))
    with database.write() as connection:
        save_pass(connection, HOST, left)
        save_pass(connection, "other", left)
        save_pass(connection, HOST, IngestPass(NOW_US))
        save_pass(connection, HOST, IngestPass(NOW_US - 2))
    with database.read() as connection:
        assert last_pass(connection, HOST) == IngestPass(NOW_US - 2)
        assert last_pass(connection, "other") == left
        assert last_pass(connection, "nobody") is None


def test_what_was_left_unread_before_the_clock_was_set_back_is_no_longer_said(
    workspace: Workspace, projects: Path
) -> None:
    """A pass from the future does not count: its time and what it left are replaced by those of the new pass."""
    with workspace.database.write() as connection:
        save_pass(connection, HOST, IngestPass(NOW_US + 10**15, 7, 700, ("a: b",)))
    talk(projects, 1)
    assert bring_up_to_date(workspace, NOW_US, never) == Freshness(NOW_US, NOW_US, 0, 0)
    assert stored_freshness(workspace, NOW_US + SECOND_US) == Freshness(NOW_US + SECOND_US, NOW_US)


def test_a_file_without_rights_counts_as_unread(tmp_path: Path) -> None:
    """In the foot and in JSON, whose pass left nothing that the next report could read; a folder is no file."""
    secret = tmp_path / "a: b.jsonl"
    secret.write_bytes(b"0123456789")
    problems = (f"{secret}: Permission denied", f"{tmp_path}: Permission denied", f"{secret}: line 3: no agent_name")
    found = Freshness(NOW_US, NOW_US, 2, 30, problems)
    assert freshness_lines(found)[1:3] == [
        "2 files (30 B) are not read yet: claude-force ingest",
        "1 file (10 B) cannot be read: no rights",
    ]
    shown = freshness_dict(found, UTC)
    assert (shown["unread_files"], shown["unread_bytes"], found.unread_files) == (3, 40, 2)
    assert freshness_dict(found._replace(unread_files=None, unread_bytes=None), UTC)["unread_files"] is None


def test_the_foot_says_what_is_not_read() -> None:
    """With the command that reads it, and at most three problems."""
    found = Freshness(NOW_US, NOW_US - 12 * SECOND_US, 1203, 1_400_000_000, tuple("abcde"))
    assert freshness_lines(found) == [
        "Read 12 s ago.",
        "1,203 files (1.4 GB) are not read yet: claude-force ingest",
        "Not everything is read: a",
        "Not everything is read: b",
        "Not everything is read: c",
        "and 2 more problems: claude-force doctor",
    ]
    assert freshness_lines(Freshness(NOW_US, NOW_US, 1, 640)) == [
        "Read just now.",
        "1 file (640 B) is not read yet: claude-force ingest",
    ]


def test_figures_of_nothing_are_unknown() -> None:
    """Zeros of every kind; texts, flags and other numbers stay."""
    figures = {"a": 0, "b": 0.0, "c": [0, {"d": 0, "e": "0"}], "f": False, "g": None, "h": 5}
    assert unknown_figures(figures) == figures
    assert unknown_figures(figures, is_empty=True) == {
        "a": None,
        "b": None,
        "c": [None, {"d": None, "e": "0"}],
        "f": False,
        "g": None,
        "h": 5,
    }


def test_a_group_without_executions_is_unknown_too() -> None:
    """The groups that have some keep their zeros."""
    some, none = {"name": "a", "executions": 5, "cost": 0.0}, {"name": "b", "executions": 0, "cost": 0.0}
    found = unknown_figures({"total": 5, "unpriced": 0, "rows": [some, none]})
    assert found == {"total": 5, "unpriced": 0, "rows": [some, {"name": "b", "executions": None, "cost": None}]}


@pytest.mark.parametrize(
    ("row", "unknown"),
    [
        (["2026-01-02", "0", "–", "", "$0.00"], ["2026-01-02", "–", "–", "", "–"]),
        (["2026-01-02", "sonnet", "0", "$0.00"], ["2026-01-02", "sonnet", "0", "$0.00"]),
        (["2026-01-02", "3", "0", "$0.00"], ["2026-01-02", "3", "0", "$0.00"]),
    ],
)
def test_a_row_of_nothing_is_unknown(row: list[str], unknown: list[str]) -> None:
    """A row that has anything keeps its zeros."""
    assert unknown_row(row) == unknown


def write_history(projects: Path) -> None:
    """Sessions with sub-agents whose last usage only the parent reports, a fork, and statistics of older days."""
    prompt = "Look at the valves."
    agent = agent_talk(prompt)
    parent = parent_of_agent(prompt, "Explore", result=task_result(AGENT, Tokens(1, 5, 9000, 70, 0), prompt))
    parent.respond("msg_P2")
    put(main_file(projects), parent.lines, age=500)
    put(agent_file(projects, AGENT), agent.lines, age=500)
    fork = copied(parent.lines, new_uuids=True, sessionId=FORK)
    more = Talk(session=FORK, seconds=900)
    more.respond("msg_F1")
    put(main_file(projects, FORK), [*fork, *more.lines], age=100)
    for number in range(1, 4):
        talk(projects, number, responses=number)
    statistics_file = projects.parent / "stats-cache.json"
    statistics_file.write_text(json.dumps(statistics({"2025-01-20": {"claude-sonnet-4-5": 1000}})))


def stored(database: Database) -> list[dict[str, Any]]:
    """The executions, as an export has them."""
    format_time = instant_formatter(UTC)
    return [columns_of(row, format_time) for row in queries.iterate_rows(database, Filter())]


@pytest.mark.parametrize("chunk_lines", [1, 3, 4000])
@pytest.mark.parametrize("seed", range(3))
def test_many_short_passes_store_what_one_does(
    workspace: Workspace, projects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_lines: int, seed: int
) -> None:
    """Wherever they stop: the same executions with the same figures, and nothing is left."""
    monkeypatch.setattr(source, "CHUNK_LINES", chunk_lines)
    write_history(projects)
    random, passes = Random(seed), 0
    found = Freshness(NOW_US, unread_files=1)
    while found.unread_files:
        passes += 1
        found = bring_up_to_date(workspace, NOW_US + passes, lambda: random.random() < 0.7)
        assert found.problems == ()
        assert passes < 100
    assert passes > 1
    with closing(open_database(str(tmp_path / "whole.db"))) as whole:
        at_once = Workspace(workspace.home, workspace.settings, str(tmp_path / "whole.db"), whole)
        run_pass(whole, ingest_inputs(at_once), ingest_options(at_once, NOW_US))
        assert stored(workspace.database) == stored(whole)
        assert len(stored(whole)) == 11
