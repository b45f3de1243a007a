"""An ingest with nothing new says the same as a pass would, and does not load one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_force.database.contract import Database
from claude_force.database.ingest_passes import last_pass
from claude_force.database.workspace import Workspace
from claude_force.executions.origin import host_name
from claude_force.ingest.nothing_new import reports_of_nothing
from claude_force.ingest.plan import as_inputs, ingest_inputs, ingest_options
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import run_pass
from claude_force.ingest.sources import usual_sources
from claude_force.settings.claude_json import Settings
from claude_force.settings.home import home_at
from tests.builders import NOON_US, a_line
from tests.profiles import sqlite_when_quick
from tests.transcripts import Talk, main_file, notification, put, statistics

pytestmark = sqlite_when_quick


@pytest.fixture
def projects(home: Path) -> Path:
    """A transcript, a file of executions among the transcripts, and Claude Code's statistics."""
    folder = home / ".claude" / "projects"
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    put(main_file(folder), talk.lines)
    put(folder / "-srv" / "executions.jsonl", a_line())
    put(home / ".claude" / "stats-cache.json", json.dumps(statistics({})).encode())
    return folder


@pytest.fixture
def workspace(home: Path, database: Database, location: str) -> Workspace:
    """The user's workspace, whose settings name the database."""
    return Workspace(home_at(home / ".claude"), Settings(database=location), location, database)


def a_pass(workspace: Workspace, paths: list[Path]) -> dict[str, SourceReport]:
    """What a pass over some paths, or the usual sources, reports."""
    report = SourceReport()
    usual = usual_sources(workspace, report.add_problem)
    inputs = ingest_inputs(workspace, paths) if paths else as_inputs(usual, report)
    return run_pass(workspace.database, inputs, ingest_options(workspace, NOON_US))


@pytest.mark.parametrize("is_named", [False, True])
def test_the_report_is_that_of_a_pass(workspace: Workspace, projects: Path, is_named: bool) -> None:
    """Every count of every source; of the usual sources it is stored that nothing was new."""
    paths = [projects] if is_named else []
    assert reports_of_nothing(workspace, paths, NOON_US) is None
    a_pass(workspace, paths)
    assert reports_of_nothing(workspace, paths, NOON_US + 1) == a_pass(workspace, paths)
    if not is_named:
        reports_of_nothing(workspace, paths, NOON_US + 2)
        with workspace.database.read() as connection:
            last = last_pass(connection, host_name() or "")
        assert last is not None and last.began_us == NOON_US + 2  # noqa: PT018


def _append(projects: Path) -> None:
    with main_file(projects).open("ab") as file:
        file.write(b"{}\n")


def _add_json(projects: Path) -> None:
    put(projects / "result.json", b"{}")


def _report_usage(projects: Path) -> None:
    talk = Talk(session="another")
    talk.prompt(notification("a1", 500))
    put(main_file(projects, "another"), talk.lines)


@pytest.mark.parametrize("change", [_append, _add_json])
def test_something_new_is_for_a_pass(workspace: Workspace, projects: Path, change: Callable[[Path], None]) -> None:
    """A file that grew, or one that may hold results."""
    a_pass(workspace, [projects])
    change(projects)
    assert reports_of_nothing(workspace, [projects], NOON_US) is None


def test_what_an_earlier_pass_left_is_for_a_pass(workspace: Workspace, projects: Path) -> None:
    """A usage that was reported of a run which was not read; a folder whose repository was not looked for."""
    a_pass(workspace, [])
    with workspace.database.write() as connection:
        connection.execute("DELETE FROM projects")
    assert reports_of_nothing(workspace, [], NOON_US) is None
    a_pass(workspace, [])
    assert reports_of_nothing(workspace, [], NOON_US) is not None
    _report_usage(projects)
    a_pass(workspace, [])
    assert reports_of_nothing(workspace, [], NOON_US) is None


def test_a_named_file_is_for_a_pass(workspace: Workspace, projects: Path) -> None:
    """Only a pass tells what it is."""
    a_pass(workspace, [projects])
    assert reports_of_nothing(workspace, [main_file(projects)], NOON_US) is None
