"""The first answer: which periods it has, what needs attention, and how it looks. On both engines."""

from __future__ import annotations

import io
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from claude_force import clock
from claude_force.alerts.decision import State
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.plan_limits import add_plan_limits
from claude_force.database.queries import attention
from claude_force.database.rows.alerts import AlertRow, Silence
from claude_force.database.rows.cursor import Cursor
from claude_force.database.rows.jobs import JobRun
from claude_force.database.writes import Store, ingestion, jobs
from claude_force.database.writes import alerts as alert_writes
from claude_force.executions.plan_limits import FIVE_HOUR, PlanLimit
from claude_force.ingest.found_transcripts import FoundTranscripts
from claude_force.reports.freshness import unknown_figures
from claude_force.reports.layouts.overview import overview_page
from claude_force.reports.overview import Overview, read_overview
from claude_force.reports.render import write_page
from tests.builders import an_execution

NOW_US = clock.parse_instant("2025-11-14T15:30", UTC)
"""A Friday."""


def at(text: str) -> int:
    return clock.parse_instant(f"2025-{text}", UTC)


def shown(overview: Overview, *found: FoundTranscripts, is_incomplete: bool = False) -> list[str]:
    """The lines in a terminal of 80 columns, without the heading."""
    file = io.StringIO()
    write_page(overview_page(overview, found, is_incomplete=is_incomplete), file)
    return [" ".join(line.split()) for line in file.getvalue().splitlines()][5:]


def test_a_period_is_a_calendar_period_of_the_clock_on_the_wall(database: Database) -> None:
    """Today, this week from Monday, and this month from its first, each up to now."""
    moments = ("11-14T15:30", "11-14T05:00", "11-14T04:59", "11-10T05:00", "11-10T04:59", "11-01T04:00", "11-01T03:59")
    Store(database).add(an_execution(timestamp_us=at(moment)) for moment in moments)
    found = read_overview(database, ZoneInfo("America/New_York"), NOW_US)
    assert [(period.name, period.totals.executions) for period in found.periods] == [
        ("today", 2), ("week", 4), ("month", 6),
    ]  # fmt: skip


def test_an_empty_store_needs_nothing(database: Database) -> None:
    """No block, no limits, no attention."""
    found = read_overview(database, UTC, NOW_US).to_dict()
    assert [found[key] for key in ("first_execution", "active_block", "plan_limits", "attention")] == [
        None,
        None,
        [],
        [],
    ]
    assert found["today"]["executions"] == 0


def an_alert(rule: str, state: str = "firing", number: int = 1) -> AlertRow:
    return AlertRow(f"{rule}-{number}", rule, "{}", "critical", state, "BEGAN", NOW_US - 1, NOW_US)


def a_run(job: str, hours_ago: int, outcome: str, *, is_over: bool = True) -> JobRun:
    started_us = NOW_US - hours_ago * HOUR_US
    return JobRun(
        f"{job}{hours_ago}", job, "h", 1, started_us, started_us + 1 if is_over else None, outcome, "{}", "no"
    )


def a_cursor(path: str, rejected: int) -> Cursor:
    return Cursor(
        host="h", path=path, source="jsonl", device=1, inode=1, size=1, mtime_ns=1, position=1, head="", tail="",
        rejected=rejected,
    )  # fmt: skip


def test_what_needs_attention_has_its_command(database: Database) -> None:
    """What fires and is not silenced, jobs whose last run failed, unpriced executions of the month, rejected lines."""
    Store(database).add(
        an_execution(timestamp_us=when, cost_nanousd=None)
        for when in (at("11-13T12:00"), at("11-02T12:00"), at("10-31T12:00"))
    )
    with database.write() as connection:
        quiet = [an_alert("calm", "resolved"), an_alert("silenced"), an_alert("was-silenced")]
        alert_writes.save_alerts(connection, [an_alert("cost"), an_alert("cost", number=2), *quiet])
        alert_writes.silence(connection, Silence("silenced", NOW_US + 1, NOW_US, None))
        alert_writes.silence(connection, Silence("was-silenced", NOW_US, NOW_US - 1, None))
        runs = [
            a_run("ingest", 3, jobs.OK),
            a_run("ingest", 2, jobs.FAILED),
            a_run("ingest", 1, jobs.RUNNING, is_over=False),
        ]
        runs += [a_run("backup", 3, jobs.FAILED), a_run("backup", 2, jobs.OK), a_run("archive", 25, jobs.FAILED)]
        for run in runs:
            jobs.begin(connection, run)
        ingestion.save_cursors(connection, [a_cursor("a", 2), a_cursor("b", 1), a_cursor("c", 0)])
    found = read_overview(database, UTC, NOW_US)
    assert [(each.kind, each.number) for each in found.attention] == [
        ("alerts", 3), ("jobs", 1), ("unpriced_executions", 2), ("rejected_lines", 3),
    ]  # fmt: skip
    assert [line for line in shown(found) if line.startswith("Attention")] == [
        "Attention: 3 alerts fire: claude-force alerts list",
        "Attention: job ingest failed: claude-force scheduler status",
        "Attention: 2 executions without a price: claude-force costs --last month",
        "Attention: 3 lines could not be read: claude-force doctor",
    ]


@pytest.mark.parametrize(
    ("today", "first", "period"), [("11-14T15:30", "11-02T12:00", "month"), ("12-01T15:30", "12-01T12:00", "month"),
                                   ("10-02T15:30", "09-30T12:00", "week")],
)  # fmt: skip
def test_a_cost_that_is_not_whole_is_said_of_every_period(
    database: Database, today: str, first: str, period: str
) -> None:
    """The month is not always the longest: in its first days the week began before it."""
    Store(database).add(
        [
            an_execution(timestamp_us=at(first), cost_nanousd=None),
            an_execution(timestamp_us=at(first), usage_basis="provisional"),
        ]
    )
    found = read_overview(database, UTC, at(today))
    assert found.longest.name == period
    lines = shown(found)
    assert f"Attention: 1 execution without a price: claude-force costs --last {period}" in lines
    assert "1 execution was never finalised: its output tokens and cost may be higher" in lines


def test_the_states_are_those_of_their_owners() -> None:
    """They are written twice, because their owners take long to load."""
    assert (attention.FIRING, attention.FAILED) == (State.FIRING, jobs.FAILED)


@pytest.fixture
def busy(database: Database) -> Database:
    """A block that is active, a limit of the plan, and two agents on two models."""
    opus = {
        "model": "claude-opus-4-5-20251101",
        "agent_name": "main",
        "source": "claude-code",
        "project": "/home/a/app",
    }
    Store(database).add(
        [
            an_execution(timestamp_us=NOW_US - HOUR_US, cost_nanousd=3 * 10**9, **opus),
            an_execution(timestamp_us=NOW_US - HOUR_US // 2, cost_nanousd=10**9, **(opus | {"agent_name": "review"})),
            an_execution(timestamp_us=NOW_US - 3 * DAY_US, cost_nanousd=4 * 10**9, agent_name="main"),
        ]
    )
    with database.write() as connection:
        add_plan_limits(connection, [PlanLimit("h", FIVE_HOUR, NOW_US - MINUTE_US, 62.0, NOW_US + HOUR_US)])
    return database


def test_the_first_answer_is_about_ten_lines(busy: Database) -> None:
    """The periods with their most expensive model and agent, the block, the plan, and what to type next."""
    lines = shown(read_overview(busy, UTC, NOW_US))
    assert lines == [
        "Today $4.00 2 3,602 opus-4-5 100% main 75%",
        "This week $8.00 3 5,403 3-5-haiku 50% main 88%",
        "This month $8.00 3 5,403 3-5-haiku 50% main 88%",
        "",
        "Block of 5 hours: $4.00, 3h 30m left, $8.00/hour",
        "Plan limits: 5 hours 62% until 16:30",
        "Next: claude-force daily, sessions, runs, costs, dashboard or --help",
    ]


def test_what_is_not_read_is_not_zero(database: Database) -> None:
    """While files are unread, a period without executions is unknown, in text and in JSON."""
    Store(database).add([an_execution(timestamp_us=at("11-02T12:00"))])
    found = read_overview(database, UTC, NOW_US)
    assert shown(found, is_incomplete=True)[:2] == ["Today – – – – –", "This week – – – – –"]
    assert shown(found)[0] == "Today $0.00 0 0 – –"
    unread = unknown_figures(found.to_dict())
    assert (unread["today"]["total_cost"], unread["today"]["executions"]) == (None, None)
    assert unread["month"]["executions"] == 1


def test_an_old_store_says_when_it_ended(database: Database) -> None:
    """So that zeros of this month are no riddle."""
    Store(database).add(an_execution(timestamp_us=at(day)) for day in ("03-01T12:00", "04-02T12:00"))
    line = "The executions are from 2025-03-01 to 2025-04-02: claude-force summary"
    assert line in shown(read_overview(database, UTC, NOW_US))


def test_a_first_command_says_what_it_found(busy: Database) -> None:
    """The folder, its sessions and its size."""
    lines = shown(read_overview(busy, UTC, NOW_US), FoundTranscripts(Path("/srv/projects"), 214, 200_000_000))
    assert "Found /srv/projects: 214 sessions (200.0 MB)" in lines
