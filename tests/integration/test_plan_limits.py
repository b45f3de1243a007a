"""Plan limits in the database, on both engines: what is kept, what is known now, and who shows it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from claude_force.alerts.decision import Measurement, Reason
from claude_force.alerts.measure import measure
from claude_force.alerts.rules import load_rules
from claude_force.analytics.blocks import session_blocks
from claude_force.analytics.plan_limits import current_limits, names_of
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import AT_ONCE_S, Database
from claude_force.database.plan_limits import KEPT_US, add_plan_limits
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.queries import Filter
from claude_force.database.queries.plan_limits import history, latest, latest_of_host
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.errors import BUSY_TIMEOUT_S
from claude_force.database.writes import Store
from claude_force.errors import DatabaseError, DatabaseMissing
from claude_force.executions.plan_limits import FIVE_HOUR, SEVEN_DAY, PlanLimit
from claude_force.exporters.metrics import LIMITS_KEPT, read_exposition
from claude_force.reports.dashboard.snapshot import read_snapshot
from tests.builders import NOON_US, an_execution

RESETS_US = NOON_US + 2 * HOUR_US


def a_limit(percent: float = 50, **changes: Any) -> PlanLimit:
    """An observation of the five-hour limit at noon, two hours before its reset, with some changes."""
    values: dict[str, Any] = {"host": "h", "kind": FIVE_HOUR, "observed_us": NOON_US, "resets_us": RESETS_US}
    return PlanLimit(used_percent=percent, **values | {"session_id": "s"} | changes)


def add(database: Database, *limits: PlanLimit) -> None:
    """Store observations as the status line does."""
    with database.write_at_once() as connection:
        add_plan_limits(connection, limits)


def stored(database: Database) -> list[PlanLimit]:
    """Every row."""
    with database.read() as connection:
        return sorted(PlanLimit(*row) for row in connection.fetch("SELECT * FROM plan_limits"))


@pytest.fixture
def created(database: Database) -> Database:
    """A database that exists, with an execution."""
    Store(database).add([an_execution(source="claude-code")])
    return database


def test_a_row_is_what_was_stored(created: Database) -> None:
    """Every field comes back; storing it again changes nothing."""
    limits = [a_limit(62.3), a_limit(0, kind="seven_day_opus", resets_us=None, session_id=None)]
    add(created, *limits)
    add(created, *limits)
    assert stored(created) == limits


def test_the_latest_observation_of_each_host_and_limit(created: Database) -> None:
    """Observations of the future come from a wrong clock and count when their time has come."""
    now = [a_limit(3), a_limit(4, kind=SEVEN_DAY), a_limit(5, host="g")]
    future = a_limit(6, observed_us=NOON_US + MINUTE_US)
    add(created, a_limit(1, observed_us=NOON_US - 2), a_limit(2, observed_us=NOON_US - 1), *now, future)
    with created.read() as connection:
        assert sorted(latest(connection, NOON_US)) == sorted(now)
        of_host = latest_of_host(connection, "h", (FIVE_HOUR, SEVEN_DAY, "spend_limit", FIVE_HOUR), NOON_US)
        assert of_host == {FIVE_HOUR: a_limit(3), SEVEN_DAY: now[1]}
        assert latest_of_host(connection, "nowhere", (FIVE_HOUR,), NOON_US) == {}
        assert latest_of_host(connection, "h", (), NOON_US) == {}
        assert latest_of_host(connection, "h", (FIVE_HOUR,), NOON_US + MINUTE_US) == {FIVE_HOUR: future}


def test_the_history_reaches_to_the_observation_before_the_lookback(created: Database) -> None:
    """An hour of a five-hour limit, and the one before it."""
    ages = (5 * HOUR_US, 2 * HOUR_US, HOUR_US // 2, 0)
    limits = [a_limit(place, observed_us=NOON_US - age) for place, age in enumerate(ages)]
    add(created, *limits, a_limit(9, observed_us=NOON_US + 1), a_limit(9, kind=SEVEN_DAY), a_limit(9, host="g"))
    with created.read() as connection:
        assert history(connection, limits[-1], NOON_US) == limits[1:]
        assert history(connection, limits[0], NOON_US - 5 * HOUR_US) == limits[:1]


def test_old_observations_are_deleted(created: Database) -> None:
    """Those of the same limit that are older than five weeks; the table stays small without a scheduler."""
    kept = [a_limit(2, observed_us=NOON_US - KEPT_US), a_limit(1, kind=SEVEN_DAY, observed_us=NOON_US - 2 * KEPT_US)]
    add(created, a_limit(1, observed_us=NOON_US - KEPT_US - 1), *kept)
    add(created, a_limit(3))
    assert stored(created) == sorted([*kept, a_limit(3)])


@pytest.fixture
def locked(created: Database) -> Iterator[Database]:
    """A database whose limits another process is writing."""
    if isinstance(created, SqliteDatabase):
        with closing(sqlite3.connect(created.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield created
        return
    assert isinstance(created, ServerDatabase)
    with created.engine().connect() as server:
        server.execute(text("LOCK TABLE plan_limits IN ACCESS EXCLUSIVE MODE"))
        yield created


def test_a_lock_is_not_waited_for(locked: Database) -> None:
    """The status line gives up while other writers of a file would still wait, for half a minute."""
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="locked by another process"):
        add(locked, a_limit())
    assert time.monotonic() - began < BUSY_TIMEOUT_S


def test_other_writes_wait_as_before(tmp_path: Path) -> None:
    """After a write that did not wait, the next one of the same connection waits for the lock."""
    path = tmp_path / "metrics.db"
    with closing(SqliteDatabase(path)) as database:
        Store(database).add([an_execution()])
        add(database, a_limit())
        is_locked = threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                is_locked.set()
                time.sleep(AT_ONCE_S * 6)  # longer than a write that does not wait
                other.execute("COMMIT")

        holder = threading.Thread(target=hold)
        holder.start()
        is_locked.wait()
        Store(database).add([an_execution()])
        holder.join()
        with database.read() as connection:
            assert connection.fetch("SELECT COUNT(*) FROM executions") == [(2,)]


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    """The status line never creates one."""
    path = tmp_path / "none.db"
    with closing(SqliteDatabase(path)) as database, pytest.raises(DatabaseMissing):
        add(database, a_limit())
    assert not path.exists()


def test_many_sessions_store_at_once(created: Database) -> None:
    """Each stores its row or gives up; nobody breaks, and a row is stored once."""
    limits = [a_limit(number % 7, observed_us=NOON_US + number % 7) for number in range(40)]
    failures: list[Exception] = []

    def session(limit: PlanLimit) -> None:
        try:
            add(created, limit)
        except DatabaseError:
            return
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=session, args=(limit,)) for limit in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert 1 <= len(stored(created)) == len(set(stored(created))) <= 7


def test_only_current_limits_are_known(created: Database) -> None:
    """A limit whose reset has passed says nothing; limits of several hosts are named with their hosts."""
    add(created, a_limit(60), a_limit(9, kind=SEVEN_DAY, resets_us=NOON_US + DAY_US), a_limit(7, host="g"))
    with created.read() as connection:
        both = current_limits(connection, NOON_US)
        later = current_limits(connection, RESETS_US)
        weekly = current_limits(connection, NOON_US, (SEVEN_DAY,))
    assert names_of(both) == ["5 hours, g", "5 hours, h", "week, h"]
    assert (names_of(later), later) == (["week"], [state._replace(forecast=later[0].forecast) for state in weekly])


def measured(database: Database, now_us: int = NOON_US, **rule: Any) -> Measurement:
    """What a rule measures."""
    (found,), problems = load_rules({"mine": {"operator": ">", "threshold": 90} | rule})
    assert problems == {}
    with database.read() as connection:
        return measure(connection, found, now_us, UTC)[None]


@pytest.mark.parametrize(
    ("metric", "kind", "resets_us"),
    [("five_hour_limit", FIVE_HOUR, RESETS_US), ("weekly_limit", SEVEN_DAY, NOON_US + DAY_US)],
)
def test_an_alert_measures_the_fullest_limit(created: Database, metric: str, kind: str, resets_us: int) -> None:
    """Its percentage, and when it runs out and is reset, on the machine that is nearest to its limit."""
    limits = {"kind": kind, "resets_us": resets_us}
    add(created, a_limit(96, **limits), a_limit(12, host="g", **limits), a_limit(99, kind="seven_day_opus"))
    found = measured(created, metric=metric)
    assert (found.value, found.limit, found.lack) == (96, 90, None)
    assert found.outlook is not None
    assert found.outlook.host == "h"
    assert found.outlook.resets_at is not None
    assert found.outlook.runs_out_at is not None
    assert found.outlook.runs_out_at < found.outlook.resets_at
    forecast = measured(created, metric=f"{metric}_forecast")
    assert forecast.value is not None
    assert forecast.value > 100
    assert forecast.outlook == found.outlook


def test_an_alert_without_an_observation_has_no_data(created: Database) -> None:
    """Neither if there never was one nor if its reset has passed: it is unknown, never 0."""
    for metric in ("five_hour_limit", "five_hour_limit_forecast", "weekly_limit", "weekly_limit_forecast"):
        assert measured(created, metric=metric) == Measurement(None, None, 0, Reason.NOT_OBSERVED)
    add(created, a_limit(99))
    assert measured(created, metric="five_hour_limit").value == 99
    assert measured(created, RESETS_US, metric="five_hour_limit") == Measurement(None, None, 0, Reason.NOT_OBSERVED)


def test_blocks_and_dashboard_show_the_current_limits(created: Database) -> None:
    """In the JSON of the blocks with every key, whatever the period; the dashboard has the same ones."""
    add(created, a_limit(30, observed_us=NOON_US - 2 * HOUR_US), a_limit(60, observed_us=NOON_US - MINUTE_US))
    (found,) = session_blocks(created, Filter(), 5, UTC, NOON_US).to_dict()["plan_limits"]
    assert json.loads(json.dumps(found)) == {
        "limit": "five_hour",
        "host": "h",
        "used_percent": 60,
        "resets_at": "2025-11-01T14:26:40.000000+00:00",
        "observed_at": "2025-11-01T12:25:40.000000+00:00",
        "age_seconds": 60,
        "percent_per_hour": 30,
        "forecast_percent": 120,
        "runs_out_at": "2025-11-01T13:46:40.000000+00:00",
    }
    snapshot = read_snapshot(created, "24h", NOON_US)
    assert [state.to_dict(UTC, NOON_US) for state in snapshot.plan_limits] == [found]
    assert session_blocks(created, Filter(), 5, UTC, RESETS_US).to_dict()["plan_limits"] == []


def test_prometheus_has_a_gauge_for_each_limit(created: Database) -> None:
    """Of the current ones; of very many, the fullest."""

    def samples(now_us: int) -> dict[tuple[str, ...], float]:
        families = {family.name: family for family in read_exposition(created, now_us, HOUR_US).families}
        family = families["claude_force_plan_limit_percent"]
        assert family.labels == ("window", "host")
        return dict(family.samples)

    add(created, a_limit(60), a_limit(7, kind=SEVEN_DAY, resets_us=NOON_US + DAY_US))
    assert samples(NOON_US) == {("five_hour", "h"): 60, ("seven_day", "h"): 7}
    assert samples(RESETS_US) == {("seven_day", "h"): 7}
    add(created, *(a_limit(number, host=f"h{number}") for number in range(LIMITS_KEPT + 5)))
    assert (len(samples(NOON_US)), min(samples(NOON_US).values())) == (LIMITS_KEPT, 7)
