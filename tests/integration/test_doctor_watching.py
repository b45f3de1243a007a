"""What the doctor says of a scheduler and of what is pushed, at times that are given; on both engines."""

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
    """A place whose database has an execution."""
    Store(database).add([an_execution()])
    return replace(workspace_at(home_at(home / ".claude"), location)[0], database=database)


def levels(found: Iterable[Finding]) -> list[str]:
    """The levels of findings."""
    return [finding.level for finding in found]


def test_a_job_that_is_late_is_found(workspace: Workspace, location: str) -> None:
    """While a scheduler runs, and its job should have begun more than an hour ago; without one nothing is late."""
    with workspace.database.write() as connection:
        for job in (SCHEDULER, "ingest", "alerts", "baseline", "archive", "maintenance"):
            run = new_run(job, NOON_US)
            jobs.begin(connection, run)
            if job != SCHEDULER:
                jobs.finish(connection, run._replace(finished_us=NOON_US, outcome=OK))
    assert levels(monitoring.jobs(workspace, NOON_US + 3 * HOUR_US)) == ["ok"]
    other = open_database(location)
    with other.try_exclusive(SCHEDULER):
        assert levels(monitoring.jobs(workspace, NOON_US + HOUR_US // 2)) == ["ok"]
        late = list(monitoring.jobs(workspace, NOON_US + 3 * HOUR_US))
    other.close()
    assert [finding.text.split()[2] for finding in late] == ["ingest", "alerts"]
    assert "is late by 3h00m" in late[0].text


def test_a_job_that_failed_is_found_while_it_is_on(workspace: Workspace) -> None:
    """What is off now is nobody's trouble any more."""
    with workspace.database.write() as connection:
        run = new_run("maintenance", NOON_US)
        jobs.begin(connection, run)
        jobs.finish(connection, run._replace(finished_us=NOON_US, outcome=FAILED, problem="x"))
    (found,) = monitoring.jobs(workspace, NOON_US + 1)
    assert (found.level, found.text) == ("problem", "the job maintenance failed: x")
    off = replace(workspace, settings=replace(workspace.settings, schedule={"maintenance": "off"}))
    assert levels(monitoring.jobs(off, NOON_US + 1)) == ["ok"]


def test_a_target_that_has_not_had_all_for_a_day_is_found(workspace: Workspace) -> None:
    """With how much waits, or that what was there before does; what is due is no longer than a day is in order."""
    with workspace.database.write() as connection:
        connection.lock_rollups()
        apply_pending(connection)
        export_queue.register(connection, "datadog", "here", NOON_US, 0)
        export_queue.register(connection, "elasticsearch", "there", NOON_US, None)
    assert levels(monitoring.unpushed(workspace, NOON_US + DAY_US // 2)) == []
    found = list(monitoring.unpushed(workspace, NOON_US + 2 * DAY_US))
    assert [finding.text.partition(" since")[0] for finding in found] == [
        "1 execution waits for datadog",
        "what was there before it waits for elasticsearch",
    ]


def test_a_check_that_breaks_is_a_finding() -> None:
    """In one line, whatever it raises, after what was found before."""

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


def test_a_schedule_that_cannot_be_is_a_finding(workspace: Workspace) -> None:
    """With its own words."""
    broken = replace(workspace, settings=replace(workspace.settings, schedule={"ingest": 5}))
    (finding,) = attempt("jobs", lambda: monitoring.jobs(broken, NOON_US))
    assert "must be a length of time" in finding.text
