"""What the store has of the session of a headless run, and what of its total is known already."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.database.queries.headless_runs import (
    NOTHING,
    Seen,
    cost_of_session,
    is_known_otherwise,
    last_total,
    seen_in_run,
)
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.record import RESULT, ExecutionMetrics
from claude_force.headless.record import Recorded
from claude_force.headless.totals import known_of_fork
from claude_force.reports.headless import cost_line
from tests.builders import NOON_US, an_execution

SESSION, FORK = "session-1", "session-2"
RUN = HeadlessRun("run-1", SESSION, None, None, None, NOON_US, 1, 0, 1, None, None, 5000)


def put_run(database: Database, **changes: Any) -> None:
    """Store a run of a session."""
    with database.write() as connection:
        add_headless_run(connection, RUN._replace(**changes))


def an_execution_of(session: str, at_us: int, cost: int | None = 1000, **changes: Any) -> ExecutionMetrics:
    """An execution of a session."""
    return an_execution(timestamp_us=at_us, cost_nanousd=cost, session_id=session, **changes)


@pytest.fixture
def filled(store: Store) -> Database:
    """A store with two executions of a session, one of another, and nothing of telemetry."""
    rows = [an_execution_of(SESSION, NOON_US), an_execution_of(SESSION, NOON_US + 10, None)]
    store.add([*rows, an_execution_of(FORK, NOON_US)])
    return store.database


def test_what_is_seen_is_of_the_sessions_and_the_time_of_the_run(filled: Database) -> None:
    """Both ends belong to it. What telemetry did not say, it missed; unknown costs are not counted as 0."""
    with filled.read() as connection:
        found = seen_in_run(connection, [SESSION], NOON_US, NOON_US + 10)
        assert found.everything[:3] == (2, 1000, 1)
        assert found.missed == found.everything
        assert found.only_heard == Seen(0, 0, 0, 0)
        assert seen_in_run(connection, [SESSION], NOON_US + 1, NOON_US + 9) == NOTHING
        assert seen_in_run(connection, [SESSION, FORK], NOON_US, NOON_US).everything[:3] == (2, 2000, 2)
        assert seen_in_run(connection, [], NOON_US, NOON_US) == NOTHING


def test_tokens_that_nobody_knows_are_not_nothing() -> None:
    """As where the API was not reached. A refused request costs nothing, and that is known."""
    everything = Seen(1, 0, 0, 0)
    assert cost_line(Recorded(RUN, NOTHING._replace(everything=everything))).startswith(
        "unknown cost, 1 request, unknown tokens; "
    )
    assert "$0.00, 1 request, 0 tokens; " in cost_line(
        Recorded(RUN, NOTHING._replace(everything=everything._replace(priced=1)))
    )


def test_the_cost_of_a_session_is_that_of_all_its_executions(filled: Database) -> None:
    """None of a session without one."""
    with filled.read() as connection:
        assert cost_of_session(connection, SESSION) == 1000
        assert cost_of_session(connection, "another") is None


@pytest.mark.parametrize("since_us", [NOON_US - 1, NOON_US + 1])
def test_results_are_no_other_source(store: Store, since_us: int) -> None:
    """Whether the other execution is of this run or older."""
    result = an_execution_of(SESSION, NOON_US, source=RESULT)
    store.add([result, an_execution_of(FORK, NOON_US)])
    with store.database.read() as connection:
        assert not is_known_otherwise(connection, SESSION, since_us)
        assert is_known_otherwise(connection, FORK, since_us)


def test_the_last_total_is_that_of_the_last_run_that_told_one(database: Database) -> None:
    """A run that crashed tells none."""
    put_run(database)
    put_run(database, run_id="run-2", started_us=NOON_US + 1, reported_cost_nanousd=7000)
    put_run(database, run_id="run-3", started_us=NOON_US + 2, reported_cost_nanousd=None)
    with database.read() as connection:
        assert last_total(connection, SESSION) == 7000
        assert last_total(connection, FORK) is None


def test_what_is_known_of_a_fork_is_the_total_of_its_original(filled: Database) -> None:
    """The one that a run told, else what is stored; nothing of a session that goes on or began."""
    with filled.read() as connection:
        assert known_of_fork(connection, "new", SESSION) == 1000
    put_run(filled)
    with filled.read() as connection:
        assert known_of_fork(connection, "new", SESSION) == 5000
        assert known_of_fork(connection, "new", "unknown") == 0
        assert known_of_fork(connection, "new", None) == 0
        assert known_of_fork(connection, "new", "new") == 0


def test_a_fork_that_goes_on_begins_with_its_own_last_total(filled: Database) -> None:
    """Its total is more than what is stored of it; that of another session is not."""
    put_run(filled, session_id=FORK)
    put_run(filled, run_id="run-2", reported_cost_nanousd=1000)
    with filled.read() as connection:
        assert known_of_fork(connection, FORK, FORK) == 5000
        assert known_of_fork(connection, SESSION, SESSION) == 0
