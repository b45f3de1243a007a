"""Outcomes, the records that came, and headless runs in the database, on both engines."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, HOUR_US, LATEST_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.queries.telemetry import headless_runs, outcomes, telemetry_kinds
from claude_force.database.rows.telemetry import HeadlessRun, OutcomeSum, TelemetryKind
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import (
    KEYS_KEPT_US,
    KINDS_LIMIT,
    add_headless_run,
    add_heard,
    add_outcomes,
    forget_counted,
)
from claude_force.executions.outcomes import COMMITS, LINES, VALUE_LIMIT
from claude_force.executions.signals import Heard, Outcome
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.scheduler.jobs import maintenance_once
from claude_force.settings.home import home_at
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

NOON_DAY_US = NOON_US - NOON_US % DAY_US


def an_outcome(number: int, value: int = 1, **changes: Any) -> Outcome:
    """A record of lines added at noon in session "s", with some changes; its key is made of the number."""
    values: dict[str, Any] = {"at_us": NOON_US, "name": LINES, "kind": "added", "session_id": "s"}
    return Outcome(key=f"{number:032x}", value=value, **values | changes)


def add(database: Database, *found: Outcome, now_us: int = NOON_US) -> int:
    """Store outcomes in a transaction of their own."""
    with database.write() as connection:
        return add_outcomes(connection, found, now_us)


def read(database: Database, *names: str, **filters: Any) -> list[OutcomeSum]:
    """The stored sums that a filter matches."""
    with database.read() as connection:
        return outcomes(connection, Filter(**filters), names)


def test_sums_are_by_day_session_name_and_kind(database: Database) -> None:
    """Records of one day, session, name and kind are added up; a day is one of UTC."""
    added = add(
        database,
        an_outcome(1, 12),
        an_outcome(2, 3, at_us=NOON_DAY_US),
        an_outcome(3, 4, kind="removed"),
        an_outcome(4, 5, at_us=NOON_DAY_US + DAY_US),
        an_outcome(5, 1, name=COMMITS, kind="", session_id=""),
    )
    assert added == 5
    assert read(database) == [
        (NOON_DAY_US, "", COMMITS, "", 1, 1),
        (NOON_DAY_US, "s", LINES, "added", 2, 15),
        (NOON_DAY_US, "s", LINES, "removed", 1, 4),
        (NOON_DAY_US + DAY_US, "s", LINES, "added", 1, 5),
    ]


def test_a_record_counts_once(database: Database) -> None:
    """Twice in one batch, and sent again."""
    assert add(database, an_outcome(1, 7), an_outcome(1, 7)) == 1
    assert add(database, an_outcome(1, 7), an_outcome(2, 2)) == 1
    assert read(database) == [(NOON_DAY_US, "s", LINES, "added", 2, 9)]


def test_many_records_are_stored_at_once(database: Database) -> None:
    """More than one statement takes; half of them are known."""
    assert add(database, *map(an_outcome, range(0, 500, 2))) == 250
    assert add(database, *map(an_outcome, range(500))) == 250
    assert read(database) == [(NOON_DAY_US, "s", LINES, "added", 500, 500)]


def test_impossible_records_are_left_out(database: Database) -> None:
    """A value that is too large, and times that no instant can be; a text that no database can store is cut."""
    bad = [an_outcome(1, VALUE_LIMIT + 1), an_outcome(2, at_us=-1), an_outcome(3, at_us=LATEST_US)]
    assert add(database, *bad, an_outcome(4, session_id="a\0b\ud800" + "c" * 999)) == 1
    assert read(database)[0].session_id == "ab?" + "c" * 197
    assert add(database) == 0


def test_keys_are_forgotten_after_a_week_and_sums_stay(database: Database) -> None:
    """A key of a week ago is still known, an older one is not."""
    add(database, an_outcome(1), now_us=NOON_US - 1)
    add(database, an_outcome(2), now_us=NOON_US)
    with database.write() as connection:
        assert forget_counted(connection, NOON_US + KEYS_KEPT_US) == 1
    assert read(database) == [(NOON_DAY_US, "s", LINES, "added", 2, 2)]
    assert add(database, an_outcome(2)) == 0


def test_two_writers_of_the_same_records_count_them_once(database: Database) -> None:
    """Two transactions at once, with the records in different orders."""
    found = [an_outcome(number, session_id=f"s{number % 7}") for number in range(300)]
    counted: list[int] = []
    orders = [found, found[::-1]]
    threads = [threading.Thread(target=lambda part=part: counted.append(add(database, *part))) for part in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counted) == 300
    assert sum(row.value for row in read(database)) == 300


def test_outcomes_are_found_by_day_name_and_session(database: Database) -> None:
    """A day that the period touches counts whole; a filter by agent finds the sessions in which it ran."""
    Store(database).add([an_execution(agent_name="a", workflow_id="s"), an_execution(agent_name="b", workflow_id="t")])
    add(database, an_outcome(1), an_outcome(2, session_id="t"), an_outcome(3, name=COMMITS, at_us=NOON_US + DAY_US))
    assert [row.session_id for row in read(database, window=Window(NOON_US + HOUR_US, NOON_DAY_US + DAY_US))] == [
        "s",
        "t",
    ]
    assert [row.name for row in read(database, window=Window(NOON_DAY_US + DAY_US, None))] == [COMMITS]
    assert [row.name for row in read(database, COMMITS)] == [COMMITS]
    assert [row.session_id for row in read(database, sessions=("t",))] == ["t"]
    assert [row.session_id for row in read(database, agents=("b",))] == ["t"]
    assert read(database, agents=("b",), sessions=("s",)) == []


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_latest_record_says_the_version(database: Database, is_reversed: bool) -> None:
    """Numbers are added up; the version is that of the latest record, in any order. What is ignored is told apart."""
    found = [
        Heard(service="claude-code", name="api_request", at_us=NOON_US, records=2, version="2.1.332"),
        Heard(service="claude-code", name="api_request", at_us=NOON_US + 1, records=3, version="2.1.333"),
        Heard(service="claude-code", name="hook", at_us=NOON_US, records=1, ignored="not needed"),
        Heard(service="claude-code", name="api_request", at_us=NOON_US - 1, records=1, ignored="it has no model"),
    ]
    for part in found[::-1] if is_reversed else found:
        with database.write() as connection:
            add_heard(connection, "h", [part, Heard(service="x", name="bad", at_us=-1, records=1)])
    with database.write() as connection:
        add_heard(connection, "other", found)
    with database.read() as connection:
        assert telemetry_kinds(connection, "h") == [
            TelemetryKind("h", "claude-code", "api_request", "", "2.1.333", NOON_US + 1, 5),
            TelemetryKind("h", "claude-code", "hook", "not needed", "", NOON_US, 1),
            TelemetryKind("h", "claude-code", "api_request", "it has no model", "", NOON_US - 1, 1),
        ]
        assert [(kind.host, kind.records) for kind in telemetry_kinds(connection)] == [
            ("h", 5), ("other", 5), ("h", 1), ("other", 1), ("h", 1), ("other", 1),
        ]  # fmt: skip


def test_countless_kinds_of_records_are_counted_together(database: Database) -> None:
    """A program that invents names does not fill the database. What was known before stays a kind of its own."""
    invented = [Heard(service="x", name=f"n{number}", at_us=NOON_US, records=1) for number in range(KINDS_LIMIT + 5)]
    known = Heard(service="claude-code", name="api_request", at_us=NOON_US + 1, records=1)
    for heard in ([known], invented, [known, *invented]):
        with database.write() as connection:
            add_heard(connection, "h", heard)
    with database.read() as connection:
        first, *rest = telemetry_kinds(connection, "h")
    other = TelemetryKind("h", "other", "further kinds", "", "", NOON_US, 2 * 6)
    assert first == TelemetryKind("h", "claude-code", "api_request", "", "", NOON_US + 1, 2)
    assert other in rest
    assert len(rest) == KINDS_LIMIT


def test_the_last_headless_runs(database: Database) -> None:
    """The latest first; what is stored again takes the place of what is known."""
    first = HeadlessRun("r1", "s", "a", "p", "h", NOON_US, 5, 1, 0, None, None, None)
    second = HeadlessRun("r2", None, None, None, None, NOON_US + 1, 5, 0, 1, "success", 3, 13_380_000)
    with database.write() as connection:
        for run in (second, first, first._replace(outcome="error_max_turns", turns=2)):
            add_headless_run(connection, run)
    with database.read() as connection:
        assert headless_runs(connection, 1) == [second]
        assert headless_runs(connection, 9) == [second, first._replace(outcome="error_max_turns", turns=2)]
        assert [run.run_id for run in headless_runs(connection, 9, "s")] == ["r1"]


def test_the_maintenance_job_forgets_keys(database: Database, location: str, home: Path) -> None:
    """Those of more than a week ago."""
    add(database, an_outcome(1), now_us=NOON_US)
    workspace = workspace_at(home_at(home / ".claude"), location)[0]._replace(database=database)
    assert maintenance_once(workspace, lambda: NOON_US + KEYS_KEPT_US).counts["forgotten"] == 0
    assert maintenance_once(workspace, lambda: NOON_US + KEYS_KEPT_US + 1).counts["forgotten"] == 1


def test_nothing_is_forgotten_while_signals_wait(database: Database, location: str, home: Path) -> None:
    """A pass may have counted them and been killed before it deleted them."""
    add(database, an_outcome(1), now_us=NOON_US)
    workspace = workspace_at(home_at(home / ".claude"), location)[0]._replace(database=database)
    spool = TelemetrySpool(telemetry_folders(workspace.location, workspace.home.metrics_folder)[0])
    spool.append([an_outcome(1)])
    spool.seal()
    assert maintenance_once(workspace, lambda: NOON_US + KEYS_KEPT_US + 1).counts["forgotten"] == 0
