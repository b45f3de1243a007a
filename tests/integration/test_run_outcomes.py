"""What success costs: telemetry's share of it, small samples, unknown costs and archived executions."""

from __future__ import annotations

import io
from typing import Any

from claude_force.analytics.run_outcomes import FEWEST, RunsBy, run_outcomes
from claude_force.analytics.runs import runs
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import add_outcomes
from claude_force.executions import outcomes
from claude_force.executions.record import to_row
from claude_force.executions.signals import Outcome
from claude_force.reports.layouts.run_outcomes import run_outcomes_layout
from claude_force.reports.render import write_page
from tests.builders import NOON_US, an_execution


def a_run(name: str, **changes: Any) -> Any:
    """A run of one request of a session, for a dollar."""
    return an_execution(
        **({"workflow_id": "s", "run_id": name, "project": "/work/app", "cost_nanousd": 10**9} | changes)
    )


def tell(database: Database, session: str, commits: int) -> None:
    """What telemetry says of a session."""
    found = Outcome(key=session, at_us=NOON_US, name=outcomes.COMMITS, value=commits, kind="", session_id=session)
    with database.write() as connection:
        add_outcomes(connection, [found], NOON_US)


def rows_of(database: Database, by: RunsBy) -> dict[str | None, dict[str, Any]]:
    """The rows in the JSON, by name."""
    return {row[by]: row for row in run_outcomes(database, Filter(), by).rows()}


def test_commits_are_told_where_a_session_is_told(database: Database) -> None:
    """Of a workflow that is a session, of a project that had it alone, and in total; not of agents."""
    Store(database).add([a_run("one"), a_run("two"), a_run("three", workflow_id="t"), a_run("four", workflow_id="t",
                         project="/work/shop")])  # fmt: skip
    tell(database, "s", 6)
    tell(database, "t", 1)
    workflows, projects = rows_of(database, "workflow"), rows_of(database, "project")
    assert (workflows["s"]["commits"], workflows["s"]["commits_per_dollar"]) == (6, 3.0)
    assert (projects["/work/app"]["commits"], projects["/work/shop"]["commits"]) == (6, None)
    assert [row["commits"] for row in rows_of(database, "agent").values()] == [None]
    assert run_outcomes(database, Filter(), "agent").totals.delivered.commits == 7


def test_a_rate_is_claimed_of_enough_runs_only(database: Database) -> None:
    """With its interval; before that the table says so."""
    store = Store(database)
    store.add([a_run(str(number)) for number in range(FEWEST - 1)])
    report = run_outcomes(database, Filter(), "agent")
    file = io.StringIO()
    write_page(run_outcomes_layout(report).page(), file)
    assert (report.totals.success_rate, report.totals.interval) == (None, None)
    assert "too few" in file.getvalue()
    store.add([a_run("last", success=False, error_type="overloaded_error")])
    totals = run_outcomes(database, Filter(), "agent").totals
    assert totals.success_rate == 90.0
    assert totals.interval is not None
    assert [round(edge, 1) for edge in totals.interval] == [59.6, 98.2]


def test_a_session_is_shown_by_its_short_id(database: Database) -> None:
    """That is what `run show` takes. Workflows with a name of their own keep it."""
    Store(database).add(
        [a_run("one", workflow_id=name) for name in ("3e1c26d3-23ef-423e-a848-f808f54d35bf", "bug-fix")]
    )
    file = io.StringIO()
    write_page(run_outcomes_layout(run_outcomes(database, Filter(), "workflow")).page(), file)
    assert [line.split()[0] for line in file.getvalue().splitlines()[6:8]] == ["3e1c26d3", "bug-fix"]


def test_an_unknown_part_of_the_cost_is_unknown(database: Database) -> None:
    """Not nothing: what a failed run cost without a price, beside a successful one with a price."""
    Store(database).add([a_run("one"), a_run("two", success=False, error_type="x", cost_nanousd=None)])
    (row,) = rows_of(database, "agent").values()
    assert (row["total_cost"], row["failed_cost"], row["wasted_cost"], row["refused_cost"]) == (1.0, None, None, 0.0)
    assert (row["cost_per_success"], row["unpriced_executions"]) == (1.0, 1)


def test_nothing_succeeded_has_no_cost_per_success(database: Database) -> None:
    """Nor a time."""
    Store(database).add([a_run("one", success=False, error_type="refusal")])
    (row,) = rows_of(database, "model").values()
    assert (row["cost_per_success"], row["seconds_per_success"], row["refused_cost"]) == (None, None, 1.0)


def test_archived_executions_are_in_no_run(database: Database) -> None:
    """With names and without: runs and totals are those of what is stored, and the report says how many are not."""
    gone = [a_run("one"), a_run("", run_id=None, workflow_id=None, success=False, error_type="x")]
    store = Store(database)
    store.add([*gone, a_run("two"), a_run("", run_id=None, workflow_id=None)])
    store.archive([to_row(record) for record in gone], NOON_US)
    report, every = run_outcomes(database, Filter(), "agent"), runs(database, Filter(), "newest")
    assert (report.archived.executions, report.archived.is_counted) == (2, False)
    assert (report.totals.sums.runs, report.totals.sums.successes, report.totals.cost) == (2, 2, 2.0)
    assert (len(every.runs), every.totals.executions, every.archived.executions) == (2, 2, 2)
