"""How SQLite answers: a period is found by the index on time, and pages come in its order without sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import pytest

from claude_force import query
from claude_force.clock import ALL_TIME, HOUR_US, Window
from claude_force.database import Connection, Parameters, Row
from claude_force.query import Filter
from claude_force.sqlite import SqliteConnection, SqliteDatabase
from claude_force.store import Store
from tests.builders import NOON_US, an_execution

INDEX = "ix_executions_timestamp_us_uid"
LAST_DAYS = Filter(Window(NOON_US, NOON_US + HOUR_US))


class ExplainingConnection(SqliteConnection):
    """Asks for the plan of each query before it runs it."""

    plans: list[str]

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        self.plans += [str(row[3]) for row in super().fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().fetch(sql, parameters)


class ExplainingDatabase(SqliteDatabase):
    """A database that keeps the steps of the plans of everything that was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[str] = []

    @contextmanager
    def read(self) -> Iterator[SqliteConnection]:
        with self._transaction("BEGIN") as raw:
            connection = ExplainingConnection(raw)
            connection.plans = self.plans
            yield connection


@pytest.fixture
def explained(tmp_path: Path) -> Iterator[ExplainingDatabase]:
    """A database of more than two pages of executions, over five hours."""
    database = ExplainingDatabase(tmp_path / "metrics.db")
    instants = range(NOON_US - 4 * HOUR_US, NOON_US + HOUR_US, 5 * HOUR_US // (2 * query.PAGE + 100))
    Store(database).add(an_execution(timestamp_us=instant) for instant in instants)
    yield database
    database.close()


_REPORTS: dict[str, Callable[[Connection], object]] = {
    "totals": lambda connection: query.totals(connection, LAST_DAYS),
    "totals by agent": lambda connection: query.totals_by(connection, LAST_DAYS, "agent_name"),
    "percentiles": lambda connection: query.percentiles(connection, LAST_DAYS),
    "extent": lambda connection: query.extent(connection, LAST_DAYS),
    "trend": lambda connection: query.trend(connection, LAST_DAYS, "daily", UTC),
    "errors": lambda connection: query.errors(connection, LAST_DAYS),
}


@pytest.mark.parametrize("report", _REPORTS)
def test_a_period_is_found_by_the_index(report: str, explained: ExplainingDatabase) -> None:
    """Every query of a report about a period reads the part of the index that it needs; none reads the whole table."""
    with explained.read() as connection:
        _REPORTS[report](connection)
    steps = [step for step in explained.plans if "executions" in step]
    assert steps
    assert [step for step in steps if not step.startswith("SEARCH executions") or INDEX not in step] == []
    assert all("timestamp_us>?" in step for step in steps)


@pytest.mark.parametrize("window", [ALL_TIME, LAST_DAYS.window, Window(NOON_US), Window(None, NOON_US)])
def test_pages_come_in_order_of_the_index(window: Window, explained: ExplainingDatabase) -> None:
    """Each page begins where the last one ended, by the index, and nothing is sorted."""
    seen = list(query.iterate(explained, Filter(window)))
    assert len(seen) > 1000
    assert [record.timestamp_us for record in seen] == sorted(record.timestamp_us for record in seen)
    assert {step.split(" (")[0] for step in explained.plans} <= {
        f"SEARCH executions USING INDEX {INDEX}",
        f"SCAN executions USING INDEX {INDEX}",
    }
    assert [step for step in explained.plans if "TEMP B-TREE" in step] == []
    later_pages = explained.plans[1:]
    assert all(step.startswith("SEARCH") for step in later_pages)


def test_an_execution_is_found_by_its_identity(explained: ExplainingDatabase) -> None:
    """Asking which uids are stored reads no more than those."""
    wanted = [record.uid for record in query.iterate(explained, LAST_DAYS)][:3]
    explained.plans.clear()
    assert query.known_uids(explained, wanted) == set(wanted)
    assert explained.plans == ["SEARCH executions USING PRIMARY KEY (uid=?)"]
