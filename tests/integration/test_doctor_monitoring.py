"""The doctor's findings about jobs and exporters at given times, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.database.writes import Store, export_queue, jobs
from claude_force.database.writes.jobs import FAILED, OK
from claude_force.database.writes.rollups import apply_pending
from claude_force.doctor import monitoring
from claude_force.doctor.findings import Finding, attempt, ok
from claude_force.scheduler.runs import SCHEDULER, new_run
from claude_force.settings.home import home_at
from tests.builders import NOON_US, an_execution


@pytest.fixture
def workspace(location: str, database: Database, home: Path) -> Workspace:
    """A workspace whose database has one execution."""
    Store(database).add([an_execution()])
    return workspace_at(home_at(home / ".claude"), location)[0]._replace(database=database)


def levels(found: Iterable[Finding]) -> list[str]:
    """The levels of findings."""
    return [finding.level for finding in found]


def test_a_late_job_is_found(workspace: Workspace, location: str) -> None:
    """A job is late when a scheduler runs and the job was due more than an hour ago."""
    with workspace.database.write() as connection:
        for job in (SCHEDULER, "ingest", "alerts", "baseline", "archive", "maintenance", "reconcile"):
            run = new_run(job, NOON_US)
            jobs.begin(connection, run)
            if job != SCHEDULER:
                jobs.finish(connection, run._replace(finished_us=NOON_US, outcome=OK))
    assert levels(monitoring.check_jobs(workspace, NOON_US + 3 * HOUR_US)) == ["ok"]
    other = open_database(location)
    with other.try_exclusive(SCHEDULER):
        assert levels(monitoring.check_jobs(workspace, NOON_US + HOUR_US // 2)) == ["ok"]
        late = list(monitoring.check_jobs(workspace, NOON_US + 3 * HOUR_US))
    other.close()
    assert [finding.text.split()[2] for finding in late] == ["ingest", "alerts"]
    assert "is late by 3h00m" in late[0].text


def test_a_job_that_failed_is_found_while_it_is_on(workspace: Workspace) -> None:
    """A job that is switched off now is ignored."""
    with workspace.database.write() as connection:
        run = new_run("maintenance", NOON_US)
        jobs.begin(connection, run)
        jobs.finish(connection, run._replace(finished_us=NOON_US, outcome=FAILED, problem="x"))
    (found,) = monitoring.check_jobs(workspace, NOON_US + 1)
    assert (found.level, found.text) == ("problem", "the job maintenance failed: x")
    off = workspace._replace(settings=replace(workspace.settings, schedule={"maintenance": "off"}))
    assert levels(monitoring.check_jobs(off, NOON_US + 1)) == ["ok"]


def test_a_target_that_is_a_day_behind_is_found(workspace: Workspace) -> None:
    """The finding says how many executions wait, or that the older history does. Less than a day is fine."""
    with workspace.database.write() as connection:
        connection.lock_rollups()
        apply_pending(connection)
        export_queue.register(connection, "datadog", "here", NOON_US, 0)
        export_queue.register(connection, "elasticsearch", "there", NOON_US, None)
    assert levels(monitoring.check_export_queue(workspace, NOON_US + DAY_US // 2)) == []
    found = list(monitoring.check_export_queue(workspace, NOON_US + 2 * DAY_US))
    assert [finding.text.partition(" since")[0] for finding in found] == [
        "1 execution waits for datadog",
        "the older history waits for elasticsearch",
    ]


def test_executions_that_no_roll_up_counts_yet_wait_too(workspace: Workspace) -> None:
    """A few of them enter the queue with the next push: a push that is days late has them to send."""
    with workspace.database.write() as connection:
        connection.lock_rollups()
        apply_pending(connection)
        export_queue.register(connection, "team", "here", NOON_US, NOON_US + DAY_US)
    Store(workspace.database).add([an_execution(), an_execution()])
    (found,) = monitoring.check_export_queue(workspace, NOON_US + 2 * DAY_US)
    assert found.text.startswith("2 executions wait for team since")


def test_a_check_that_breaks_is_a_finding() -> None:
    """It has one line, and follows the findings made before the error."""

    def broken() -> Iterable[Finding]:
        yield ok("jobs", "one")
        raise RuntimeError("two\nlines")

    def gone() -> Iterable[Finding]:
        Path("/nowhere/at/all").stat()
        return []

    checks: list[tuple[Callable[[], Iterable[Finding]], str]] = [
        (broken, "RuntimeError: two lines"),
        (gone, "/nowhere"),
    ]
    for check, said in checks:
        *_, finding = attempt("jobs", check)
        assert (finding.id, finding.level) == ("jobs", "problem")
        assert said in finding.text

    assert levels(attempt("jobs", broken)) == ["ok", "problem"]


def test_an_invalid_schedule_is_a_finding(workspace: Workspace) -> None:
    """The finding has the message of the error."""
    broken = workspace._replace(settings=replace(workspace.settings, schedule={"ingest": 5}))
    (finding,) = attempt("jobs", lambda: monitoring.check_jobs(broken, NOON_US))
    assert "must be a length of time" in finding.text
