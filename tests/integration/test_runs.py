"""Runs: which executions are one run, and how it ended."""

from __future__ import annotations

import io
from datetime import UTC
from typing import Any

import pytest

from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.run_trees import run_tree
from claude_force.analytics.runs import runs
from claude_force.clock import MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.queries.run_sums import run_sums
from claude_force.database.queries.runs import last_runs, runs_called
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.rollups import apply_pending
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.billed_steps import Step
from claude_force.executions.record import to_row
from claude_force.executions.runs import Run, RunKey
from claude_force.reports.layouts.run_tree import run_tree_page
from claude_force.reports.layouts.runs import runs_layout
from claude_force.reports.render import Page, write_page
from tests.builders import NOON_US, an_execution

FAILED: dict[str, Any] = {"success": False, "error_type": "overloaded_error"}
REFUSED: dict[str, Any] = {"success": False, "error_type": "refusal"}


def a_request(minute: int, **changes: Any) -> Any:
    """A request of a session that ended so many minutes after noon, for a dollar."""
    values = {"workflow_id": "session", "cost_nanousd": 10**9, "agent_name": "main", **changes}
    return an_execution(timestamp_us=NOON_US + minute * MINUTE_US, **values)


def stored(database: Database, *requests: Any) -> dict[str, Run]:
    """The runs of a store that has these requests, by id."""
    Store(database).add(list(requests))
    with database.read() as connection:
        return {run.key.id: run for run in last_runs(connection, Filter(), 99)}


def test_an_execution_that_is_stored_already_lists_its_run(database: Database) -> None:
    """A distributed database whose coordinator failed has the execution and may have lost that."""
    steps = (Step("message", "claude-opus-4-5", 1, 1, cost_nanousd=10**9),)
    request = a_request(0, run_id="prompt", input_tokens=1, output_tokens=1, steps=steps)
    stored(database, request)
    with database.write() as connection:
        connection.execute("DELETE FROM run_parents")
    Store(database).add([request])
    with database.read() as connection:
        assert connection.fetch("SELECT run_id, session_id FROM run_parents") == [("prompt", "session")]


def test_what_is_one_run(database: Database) -> None:
    """All requests with a run id in a session; without one, of a workflow; without either, each is alone."""
    alone = a_request(9, workflow_id=None)
    found = stored(
        database,
        a_request(0, run_id="prompt"),
        a_request(1, run_id="prompt", model="claude-opus-4-5", project="/work/app", **FAILED),
        a_request(2, run_id="prompt"),
        a_request(1, run_id="agent", agent_name="reviewer"),
        a_request(3, run_id="agent", workflow_id="wf-1", session_id="other"),
        a_request(4),
        a_request(5, workflow_id="wf-1", session_id="session"),
        alone,
    )
    with database.read() as connection:
        called = runs_called(connection, Filter(), "agent")
    assert sorted(run.key for run in called) == [RunKey("other", "agent"), RunKey("session", "agent")]
    assert list(found) == [alone.uid, "wf-1", "session", "agent", "prompt"]
    assert found["session"].totals.executions == found["wf-1"].totals.executions == 1
    prompt = found["prompt"]
    assert (prompt.totals.executions, prompt.failures) == (3, {"overloaded_error": 1})
    assert prompt.models == ("claude-3-5-haiku-20241022", "claude-opus-4-5")
    assert (prompt.agents, prompt.projects, prompt.workflows) == (("main",), ("/work/app",), ("session",))
    assert prompt.duration_us == 2 * MINUTE_US + 3_456_000


def test_parts_that_arrive_in_any_order_are_one_run(database: Database) -> None:
    """Two models on two days are two parts; what comes last may be the begin of one, and its end still decides."""
    next_day = 24 * 60
    for minute, changes in (
        (9, {}),
        (next_day + 5, {"model": "claude-opus-4-5", **FAILED}),
        (next_day + 1, {"model": "claude-opus-4-5"}),
    ):
        Store(database).add([a_request(minute, run_id="prompt", **{"model": "claude-haiku-4-5", **changes})])
        with database.write() as connection:
            connection.lock_rollups()
            apply_pending(connection)
    with database.read() as connection:
        sums = run_sums(connection, Filter()).whole
        began = connection.fetch("SELECT began_us FROM rollup_runs ORDER BY day")
    assert (sums.runs, sums.failed_nanousd) == (1, 3 * 10**9)
    firsts = [a_request(minute) for minute in (9, next_day + 1)]
    assert began == [(each.timestamp_us - each.duration_us,) for each in firsts]


def test_parts_of_a_day_are_made_again_where_some_of_it_leaves(database: Database) -> None:
    """In place of those that were there, and of no other day."""
    days = {day: a_request(day * 24 * 60, run_id=f"run-{day}") for day in (0, 1, 2)}
    leaves = a_request(24 * 60 + 1, run_id="leaves")
    store = Store(database)
    store.add([*days.values(), leaves])
    store.rebuild()
    assert store.archive([to_row(leaves)], leaves.timestamp_us + 1) == 1
    with database.read() as connection:
        parts = connection.fetch("SELECT name, executions FROM rollup_runs ORDER BY day")
    assert parts == [("run-0", 1), ("run-1", 1), ("run-2", 1)]


@pytest.mark.parametrize(
    ("last", "outcome", "waste"),
    [
        ({}, "success", (0, 0, 10**9)),
        (FAILED, "failed", (2 * 10**9, 0, 0)),
        (REFUSED, "refused", (0, 2 * 10**9, 0)),
        ({"success": False, "error_type": "unfinished"}, "unknown", (0, 0, 0)),
        ({"usage_basis": "provisional"}, "success", (0, 0, 10**9)),
    ],
)
def test_the_last_request_decides(
    database: Database, last: dict[str, Any], outcome: str, waste: tuple[int, ...]
) -> None:
    """And the outcome decides what of the money was for nothing."""
    run = stored(database, a_request(0, **FAILED), a_request(1, **last))["session"]
    sums = run.sums
    assert (run.outcome, (sums.failed_nanousd, sums.refused_nanousd, sums.retried_nanousd)) == (outcome, waste)


def test_requests_that_end_together_count_as_the_best_of_them(database: Database) -> None:
    """Whatever their order."""
    assert (
        stored(database, a_request(1, **REFUSED), a_request(1), a_request(1, **FAILED))["session"].outcome == "success"
    )


@pytest.mark.parametrize(
    ("last", "success", "outcome"),
    [(FAILED, 1, "success"), ({}, 0, "failed"), (REFUSED, 0, "refused"), (FAILED, 0, "failed")],
)
def test_what_the_program_of_a_headless_run_said_wins(
    database: Database, last: dict[str, Any], success: int, outcome: str
) -> None:
    """For the last prompt of its time, not for earlier ones and not for sub-agents."""
    with database.write() as connection:
        run = HeadlessRun("run", "session", None, None, None, NOON_US, 5 * MINUTE_US, 1, success, None, None, None)
        add_headless_run(connection, run)
    found = stored(
        database,
        a_request(1, run_id="first"),
        a_request(2, run_id="last", **last),
        a_request(3, run_id="sub-agent", agent_name="reviewer"),
        a_request(9, run_id="later"),
    )
    assert found["last"].outcome == outcome
    assert [found[name].outcome for name in ("first", "sub-agent", "later")] == ["success"] * 3


def test_an_unknown_cost_is_not_nothing(database: Database) -> None:
    """A run says how many of its requests have none; a single request without a time has no duration."""
    run = stored(database, a_request(0, cost_nanousd=None, duration_us=None))["session"]
    assert (run.totals.cost, run.totals.unpriced, run.duration_us) == (None, 1, None)


def test_a_run_without_a_request_comes_after_those_that_ended(database: Database) -> None:
    """Of a model that only took a step of another one's request no end is known; on both engines it is the last of the
    runs that take equally long, also where only the first ones are read."""
    opus = Step("message", "claude-opus-4-5", 1, 1, cost_nanousd=10**9)
    Store(database).add(
        [
            a_request(1, run_id="ended", model=opus.model, duration_us=None),
            a_request(2, run_id="step", input_tokens=1, output_tokens=1, steps=(opus,)),
        ]
    )
    chosen = Filter(models=(opus.model,))
    for rows in (ALL_ROWS, RowChoice(limit=2)):
        assert [run.key.name for run in runs(database, chosen, "duration", rows).runs] == ["ended", "step"]


def test_the_beginning_of_an_id_is_enough(database: Database) -> None:
    """Of a run, a session and a headless run, also where the execution was stored alone."""
    for minute in range(2):
        stored(database, a_request(minute, run_id=f"{minute}-prompt"))
    stored(database, a_request(5, workflow_id="other"))
    run = HeadlessRun("headless-1", "other", None, None, None, NOON_US, 5 * MINUTE_US, 0, 1, None, None, None)
    with database.write() as connection:
        add_headless_run(connection, run)
    for begin, name in (("0-pr", "0-prompt"), ("1-pr", "1-prompt"), ("sess", "session"), ("head", "headless-1")):
        assert run_tree(database, begin, UTC).root.id == name


def text_of(page: Page) -> str:
    """A page as it is written."""
    file = io.StringIO()
    write_page(page, file)
    return file.getvalue()


def test_the_table_shows_ids_that_run_show_takes(database: Database) -> None:
    """A request that is a run of its own has none, and without others there is no hint."""
    Store(database).add([a_request(1, workflow_id=None)])
    alone = text_of(runs_layout(runs(database, Filter(), "newest", zone=UTC), "the last first").page())
    assert "  –    main " in alone
    assert "run show" not in alone
    Store(database).add([a_request(0, run_id="named")])
    assert "claude-force run show named" in text_of(
        runs_layout(runs(database, Filter(), "newest", zone=UTC), "the last first").page()
    )


def test_the_head_of_a_tree_fits_the_terminal(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many names are counted, and projects have the names that other reports show."""
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"security-specialist-{number}" for number in range(9)]
    Store(database).add([a_request(0, agent_name=name, model=name, project="/home/dev/shop") for name in names])
    page = text_of(run_tree_page(run_tree(database, "session", UTC)))
    assert max(map(len, page.splitlines())) <= 80
    assert "and 7 more" in page
    assert "Project     shop\n" in page
