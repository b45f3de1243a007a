"""How often a report asks the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest

from claude_force.analytics import reports
from claude_force.analytics.periodic_usage import periodic_usage
from claude_force.clock import DAY_US
from claude_force.database.contract import Database, Readable, Snapshot
from claude_force.database.queries import Filter, time_range
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.writes import Store
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

PERIOD = Filter(Window(NOON_US, NOON_US + 2 * DAY_US))
REPORTS: dict[str, tuple[Callable[[Readable], object], int]] = {
    "summary": (lambda database: reports.summary(database, PERIOD), 4),
    "breakdown": (lambda database: reports.breakdown(database, PERIOD, "agent_name", "cost"), 4),
    "costs": (lambda database: reports.costs(database, PERIOD, reports.COST_PARTS | {"trends"}, zone=UTC), 3),
    "trends": (lambda database: reports.trends(database, PERIOD, "daily", UTC), 3),
    "daily": (lambda database: periodic_usage(database, PERIOD, "daily", UTC, NOON_US + 2 * DAY_US), 4),
}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """Three days of executions."""
    database = SqliteDatabase(tmp_path / "metrics.db")
    Store(database).add(an_execution(timestamp_us=NOON_US + day * DAY_US) for day in range(3))
    yield database
    database.close()


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_asks_for_the_history_once(name: str, history: SqliteDatabase) -> None:
    """The first and last instants of the history, which every part of a report needs, are one statement of it."""
    report, most = REPORTS[name]
    statements: list[str] = []
    with history.read() as connection:
        connection._raw.set_trace_callback(statements.append)
        report(Snapshot(connection))
        connection._raw.set_trace_callback(None)
    assert len([sql for sql in statements if "FROM archives" in sql]) == 1
    assert len(statements) <= most


def test_a_transaction_that_writes_asks_again(database: Database) -> None:
    """What was remembered for a snapshot is not used where the answer can change."""
    store = Store(database)
    store.add([an_execution(timestamp_us=NOON_US)])
    with database.write() as connection:
        before = time_range(connection)
        connection.execute("UPDATE executions SET timestamp_us = timestamp_us + 1")
        after = time_range(connection)
    assert before is not None
    assert after is not None
    assert after.first_us == before.first_us + 1


def test_each_snapshot_asks_anew(database: Database) -> None:
    """A later read sees what was added after an earlier one."""
    store = Store(database)
    store.add([an_execution(timestamp_us=NOON_US)])
    ranges = []
    for _ in range(2):
        with database.read() as connection:
            ranges.append(time_range(connection))
        store.add([an_execution(timestamp_us=NOON_US + DAY_US)])
    assert ranges[0] != ranges[1]
