"""The report on outcomes: by day, by session, what is not known, and an empty one; on both engines."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.outcomes import OutcomeReport, Outcomes, ToolUse, outcome_report
from claude_force.clock import DAY_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import add_outcomes
from claude_force.errors import UnknownName
from claude_force.executions import outcomes
from claude_force.executions.record import CLAUDE_CODE
from claude_force.executions.signals import Outcome
from tests.builders import NOON_US, an_execution
from tests.conftest import Run

METRICS = {
    (outcomes.LINES, "added"): 12,
    (outcomes.LINES, "removed"): 3,
    (outcomes.COMMITS, ""): 2,
    (outcomes.PULL_REQUESTS, ""): 1,
    (outcomes.ACTIVE_TIME, "user"): 90 * SECOND_US,
    (outcomes.ACTIVE_TIME, "cli"): 600 * SECOND_US,
    (outcomes.DECISIONS, "accept"): 5,
    (outcomes.DECISIONS, "reject"): 4,
    (outcomes.COST, "m"): 10**9,
}
EVENTS = {
    (outcomes.TOOL_RESULTS, "Edit"): 6,
    (outcomes.TOOL_RESULTS, "failed:Edit"): 1,
    (outcomes.TOOL_RESULTS, "Bash"): 9,
    (outcomes.TOOL_DECISIONS, "accept"): 15,
    (outcomes.TOOL_DECISIONS, "reject"): 2,
    (outcomes.PROMPTS, ""): 3,
    (outcomes.RETRIES, "529"): 8,
    (outcomes.REFUSALS, ""): 1,
    (outcomes.COMPACTIONS, "auto"): 2,
    (outcomes.COMPACTIONS, "failed:auto"): 1,
}
OF_METRICS = {
    "lines_added": 12, "lines_removed": 3, "commits": 2, "pull_requests": 1, "active_us": 690 * SECOND_US,
    "accepted": 5, "rejected": 4,
}  # fmt: skip
OF_EVENTS = {
    "prompts": 3, "tool_calls": 16, "tool_failures": 1, "accepted": 15, "rejected": 2, "retries": 8, "refusals": 1,
    "compactions": 2,
}  # fmt: skip


def fill(database: Database, values: dict[tuple[str, str], int], session_id: str = "s", day: int = 0) -> None:
    """Store an outcome for each name and kind."""
    at_us = NOON_US + day * DAY_US
    records = [
        Outcome(key=f"{name} {kind} {session_id} {day}", at_us=at_us, name=name, kind=kind, value=value,
                session_id=session_id)
        for (name, kind), value in values.items()
    ]  # fmt: skip
    with database.write() as connection:
        add_outcomes(connection, records, NOON_US)


def report(database: Database, by: Any = "day", rows: RowChoice | None = None, **filters: Any) -> OutcomeReport:
    """The report of a filter."""
    return outcome_report(database, Filter(**filters), by, UTC, rows or RowChoice())


@pytest.mark.parametrize(
    ("values", "expected"),
    [(METRICS, OF_METRICS), (EVENTS, OF_EVENTS), (METRICS | EVENTS, OF_METRICS | OF_EVENTS), ({}, {})],
    ids=["metrics", "events", "both", "none"],
)
def test_what_did_not_come_is_not_known(
    values: dict[tuple[str, str], int], expected: dict[str, int], database: Database
) -> None:
    """Without metrics or without events their figures are None; decisions are those about any tool if events came."""
    fill(database, values)
    assert report(database).totals == Outcomes(**expected)


def test_days_and_sessions_add_up_to_the_total(database: Database) -> None:
    """A session or a day in which something did not happen has 0, since it is known of others."""
    fill(database, METRICS | EVENTS, "s")
    fill(database, {(outcomes.COMMITS, ""): 7}, "", day=1)
    by_day, by_session = report(database), report(database, "session")
    assert by_day.totals == by_session.totals
    assert [(name, found.commits) for name, found in by_session.groups] == [("s", 2), ("", 7)]
    (_, first), (day, second) = by_day.groups
    assert (first.lines_added, second.lines_added, second.tool_calls, second.commits) == (12, 0, 0, 7)
    assert by_day.rows()[1]["day"] == day > by_day.rows()[0]["day"]
    assert by_session.rows()[1]["session"] is None
    assert by_day.to_dict()["totals"]["active_seconds"] == 690
    cut = report(database, rows=RowChoice(is_ascending=False, limit=1))
    assert ([name for name, _ in cut.groups], cut.count, cut.totals) == ([day], 2, by_day.totals)


def test_tools_are_listed_with_their_failures(database: Database) -> None:
    """Those with most calls first."""
    fill(database, EVENTS)
    assert report(database).tools == [ToolUse("Bash", 9, 0), ToolUse("Edit", 7, 1)]


def test_a_session_is_known_by_its_telemetry_alone(database: Database) -> None:
    """Also by the beginning of its id; a name that neither telemetry nor an execution has is an error."""
    Store(database).add([an_execution(workflow_id="of-executions")])
    fill(database, {(outcomes.COMMITS, ""): 1}, "telemetry-only")
    assert report(database, sessions=("tele",)).totals.commits == 1
    assert report(database, sessions=("of-executions",)).count == 0
    with pytest.raises(UnknownName):
        report(database, sessions=("other",))


def test_an_empty_report_says_how_to_set_telemetry_up(run: Run, database: Database, location: str) -> None:
    """Unless the store has outcomes of another time: then it says which."""
    Store(database).add([an_execution()])
    line = ("outcomes", "--no-ingest", "--db", location)
    assert "claude-force telemetry setup" in run(*line).stdout
    fill(database, METRICS)
    other = run(*line, "--start", "2001-01-01", "--end", "2001-01-02").stdout
    assert other == "No outcomes match. The store has outcomes from 2025-11-01 to 2025-11-01.\n"


@pytest.mark.parametrize("by", ["day", "session"])
def test_the_table_fits_80_columns(by: str, run: Run, database: Database, location: str) -> None:
    """With large figures, and a session that is labelled."""
    Store(database).add([an_execution(source=CLAUDE_CODE, workflow_id="5f0c9a1e-3b52-4d7c", project="/srv/shop")])
    fill(database, {key: 12_345 * value for key, value in (METRICS | EVENTS).items()}, "5f0c9a1e-3b52-4d7c")
    text = run("outcomes", "--by", by, "--no-ingest", "--db", location, env={"COLUMNS": "80"}).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "148,140" in text
    assert "  Bash: 111,105 calls\n" in text
