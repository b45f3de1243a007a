"""How SQLite answers: reports from roll-ups and a few rows, whatever the history; pages in order of the index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from shutil import copy
from zoneinfo import ZoneInfo

import pytest

from claude_force.analytics import blocks as session_blocks
from claude_force.analytics import reports
from claude_force.analytics.groups import RowChoice
from claude_force.analytics.reconciled_days import reconciled_days
from claude_force.analytics.reconciliation import reconciliation
from claude_force.analytics.runs import runs
from claude_force.analytics.sessions import sessions
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Parameters, Row
from claude_force.database.queries import Filter, page
from claude_force.database.queries.export_queue import not_sent
from claude_force.database.queries.unpriced import unpriced
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.writes import PENDING_CHECK_EVERY, Store, export_queue
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.record import CLAUDE_CODE, identity_bytes
from claude_force.executions.session_blocks import LENGTH
from claude_force.time_windows import ALL_TIME, Window
from tests.builders import NOON_US, an_execution

INDEX = "ix_executions_timestamp_us_uid_series_id_duration_us"
DAYS = 40
PERIOD = Window(NOON_US + DAY_US // 3, NOON_US + (DAYS - 5) * DAY_US + 77)


class ExplainingConnection(SqliteConnection):
    """Asks for the plan of each query before it runs it."""

    plans: list[str]

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        self.plans += [str(row[3]) for row in super().fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().fetch(sql, parameters)


class ExplainingDatabase(SqliteDatabase):
    """A database that keeps the steps of the plans of everything that was read, and counts the work: the instructions
    of SQLite's machine, in hundreds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[str] = []
        self.work = 0

    @contextmanager
    def read(self) -> Iterator[SqliteConnection]:
        with super().read() as plain:
            raw, connection = plain._raw, ExplainingConnection(plain._raw)
            connection.plans = self.plans
            raw.set_progress_handler(self._count, 100)
            yield connection
            raw.set_progress_handler(None, 0)

    def _count(self) -> int:
        self.work += 1
        return 0


def a_history(path: Path, each_day: int) -> ExplainingDatabase:
    """Forty days, each with so many executions of five agents at the same hours; a few executions are not counted."""
    database = ExplainingDatabase(path)
    store = Store(database)
    step = 10 * HOUR_US // each_day
    for day in range(DAYS):
        executions = [
            an_execution(
                timestamp_us=NOON_US + day * DAY_US + number * step,
                agent_name=f"agent-{number % 5}",
                host=f"host-{number % 3}",
                user_name=f"user-{number % 2}",
                success=number % 10 != 0,
                error_type="TimeoutError" if number % 10 == 0 else None,
                duration_us=1000 + number % 50,
            )
            for number in range(each_day)
        ]
        store.add(executions)
    store.add(an_execution(timestamp_us=NOON_US + day * DAY_US + 1) for day in range(DAYS))
    return database


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two databases that no test writes to. Each has more than two pages, and more executions than percentiles are
    exact for; the second has ten times as many as the first, in the same days."""
    folder = tmp_path_factory.mktemp("histories")
    paths = folder / "small.db", folder / "large.db"
    for path, each_day in zip(paths, (300, 3000), strict=True):
        a_history(path, each_day).close()
    return paths


@pytest.fixture
def explained(histories: tuple[Path, Path]) -> Iterator[ExplainingDatabase]:
    """The smaller history."""
    database = ExplainingDatabase(histories[0])
    yield database
    database.close()


Report = Callable[[Connection, Filter], object]

_REPORTS: dict[str, Report] = {
    "totals": queries.totals,
    "totals by agent and model": lambda connection, chosen: queries.totals_by(
        connection, chosen, "agent_name", "model"
    ),
    "percentiles": queries.percentiles,
    "percentiles by agent": lambda connection, chosen: queries.percentiles_by(connection, chosen, "agent_name"),
    "trend by day": lambda connection, chosen: queries.trend(connection, chosen, "daily", UTC),
    "trend by hour": lambda connection, chosen: queries.trend(connection, chosen, "hourly", UTC),
    "trend by day far from UTC": lambda connection, chosen: queries.trend(
        connection, chosen, "daily", ZoneInfo("America/New_York")
    ),
    "trend by day half an hour off": lambda connection, chosen: queries.trend(
        connection, chosen, "daily", ZoneInfo("Asia/Kolkata")
    ),
    "trend by hour half an hour off": lambda connection, chosen: queries.trend(
        connection, chosen, "hourly", ZoneInfo("Asia/Kolkata")
    ),
    "errors": queries.errors,
    "sums by hour": queries.hours,
    "sums by hour of everything": lambda connection, chosen: queries.time_buckets(connection, chosen, HOUR_US),
    "blocks": lambda connection, chosen: session_blocks.blocks_in(connection, chosen, LENGTH),
}
every_report = pytest.mark.parametrize("report", _REPORTS)
every_choice = pytest.mark.parametrize(
    "chosen",
    [Filter(), Filter(PERIOD), Filter(PERIOD, agents=("agent-1",))],
    ids=["all time", "a period", "one agent"],
)


@every_report
@every_choice
def test_a_report_reads_few_rows(report: str, chosen: Filter, explained: ExplainingDatabase) -> None:
    """Executions are looked up by their identity (those not counted yet), by the two ends of the index on time, or
    between two instants of it; never all of them."""
    with explained.read() as connection:
        _REPORTS[report](connection, chosen)
    assert_few_rows(explained.plans)
    assert [step for step in explained.plans if "rollup" in step and not step.startswith("SEARCH")] == []


def assert_few_rows(plans: list[str]) -> None:
    """No step of the plans reads all executions, and some read roll-ups."""
    steps = [step for step in plans if "executions" in step]
    assert steps
    assert any("rollup" in step for step in plans)
    allowed = re.compile(
        r"SEARCH executions USING PRIMARY KEY \(uid=\?\)"
        rf"|SEARCH executions USING COVERING INDEX {INDEX}"
        rf"|SEARCH executions USING (COVERING )?INDEX {INDEX} \(timestamp_us>\? AND timestamp_us<\?\)"
    )
    assert [step for step in steps if not allowed.fullmatch(step)] == []


@pytest.mark.parametrize("report", [name for name in _REPORTS if "half an hour" not in name])
@every_choice
def test_ten_times_the_executions_are_no_more_work(report: str, chosen: Filter, histories: tuple[Path, Path]) -> None:
    """A report on ten times the executions in the same days costs what it costs on a tenth of them, but for the edges.
    (Half an hour off UTC, half of the hour that holds midnight is read by its rows.)"""
    work = []
    for path in histories:
        database = ExplainingDatabase(path)
        with database.read() as connection:
            _REPORTS[report](connection, chosen)
        work.append(database.work)
        database.close()
    rows_at_edges = 0 if chosen == Filter() else 2 * 3000 if "percentiles" in report else 2 * 3000 // 10
    assert work[1] <= work[0] * 1.5 + rows_at_edges * 40 // 100


_OF_SEATS: dict[str, Report] = {
    "totals by host": lambda connection, chosen: queries.totals_by(connection, chosen, "host"),
    "totals by user and agent": lambda connection, chosen: queries.totals_by(
        connection, chosen, "user_name", "agent_name"
    ),
    "percentiles by user": lambda connection, chosen: queries.percentiles_by(connection, chosen, "user_name"),
}


@pytest.mark.parametrize("report", _OF_SEATS)
@pytest.mark.parametrize(
    "chosen",
    [Filter(), Filter(PERIOD), Filter(PERIOD, hosts=("host-1",))],
    ids=["all time", "a period", "one host"],
)
def test_a_report_by_host_or_user_reads_few_rows(report: str, chosen: Filter, explained: ExplainingDatabase) -> None:
    """The sums of seats by their key, and of the executions those at the two ends of the period, or not counted yet."""
    with explained.read() as connection:
        _OF_SEATS[report](connection, chosen)
    assert_few_rows(explained.plans)
    of_seats = [step for step in explained.plans if "rollup_seat" in step]
    assert of_seats
    assert [step for step in of_seats if not step.startswith("SEARCH")] == []


def test_half_hours_are_added_up_in_the_order_of_the_index(explained: ExplainingDatabase) -> None:
    """Half an hour off UTC, half of the rows are read: each hour between two instants, and nothing is sorted."""
    with explained.read() as connection:
        queries.trend(connection, Filter(), "hourly", ZoneInfo("Asia/Kolkata"))
    hours = explained.plans.index(f"SEARCH executions USING INDEX {INDEX} (timestamp_us>? AND timestamp_us<?)")
    assert explained.plans[hours - 1] == (
        "SEARCH rollups USING PRIMARY KEY (scope=? AND level=? AND bucket>? AND bucket<?)"
    )
    assert not any("TEMP B-TREE" in step for step in explained.plans[hours:])


@pytest.mark.parametrize("window", [ALL_TIME, PERIOD, Window(NOON_US), Window(None, NOON_US + 30 * DAY_US)])
def test_pages_come_in_order_of_the_index(window: Window, explained: ExplainingDatabase) -> None:
    """Each page begins where the last one ended, by the index, and nothing is sorted."""
    seen = list(queries.iterate(explained, Filter(window)))
    assert len(seen) > queries.PAGE
    assert [record.timestamp_us for record in seen] == sorted(record.timestamp_us for record in seen)
    assert {step.split(" (")[0] for step in explained.plans} <= {
        f"SEARCH executions USING INDEX {INDEX}",
        f"SCAN executions USING INDEX {INDEX}",
        "SEARCH series USING INTEGER PRIMARY KEY",
    }
    later_pages = [step for step in explained.plans[2:] if "executions" in step]
    assert all(step.startswith("SEARCH") for step in later_pages)


def test_the_last_executions_are_the_end_of_the_index(explained: ExplainingDatabase) -> None:
    """As many rows as were asked for are read, from the end of the index, and nothing is sorted."""
    with explained.read() as connection:
        found = queries.newest(connection, explained, 50)
    every = list(queries.iterate(explained, Filter()))
    assert found == every[:-51:-1]
    assert explained.plans[:2] == [
        f"SCAN executions USING INDEX {INDEX}",
        "SEARCH series USING INTEGER PRIMARY KEY (rowid=?)",
    ]


def test_minutes_are_read_between_two_instants(explained: ExplainingDatabase) -> None:
    """What is shorter than the finest roll-up is added up from the rows of its period alone."""
    with explained.read() as connection:
        queries.time_buckets(connection, Filter(Window(NOON_US, NOON_US + HOUR_US)), HOUR_US // 60)
    steps = [step for step in explained.plans if "executions" in step]
    assert steps == [f"SEARCH executions USING INDEX {INDEX} (timestamp_us>? AND timestamp_us<?)"]


def test_an_execution_is_found_by_its_identity(explained: ExplainingDatabase) -> None:
    """Asking which uids are stored, or were archived, reads no more than those."""
    day = Filter(Window(NOON_US, NOON_US + DAY_US))
    wanted = [identity_bytes(record.uid) for record in queries.iterate(explained, day)][:3]
    explained.plans.clear()
    assert queries.known_uids(explained, wanted) == set(wanted)
    assert explained.plans == [f"SEARCH {table} USING PRIMARY KEY (uid=?)" for table in ("executions", "archived")]


@pytest.mark.parametrize("chosen", [Filter(), Filter(PERIOD), Filter(agents=("agent-1",))])
def test_executions_without_a_cost_have_an_index_of_their_own(explained: ExplainingDatabase, chosen: Filter) -> None:
    """Those with a cost are not read."""
    with explained.read() as connection:
        assert unpriced(connection, chosen) == []
    steps = [step for step in explained.plans if "executions" in step]
    assert len(steps) == 1
    assert "INDEX ix_executions_unpriced" in steps[0]


def test_names_are_found_without_reading_executions(explained: ExplainingDatabase) -> None:
    """Agents, models and projects are known from their series."""
    with explained.read() as connection:
        assert queries.names(connection, "agent_name") == [*(f"agent-{number}" for number in range(5)), "python-expert"]
        assert not queries.has_name(connection, "model", "gpt-9")
    steps = [step for step in explained.plans if "executions" in step]
    assert set(steps) <= {"SEARCH executions USING PRIMARY KEY (uid=?)"}


class TracingDatabase(SqliteDatabase):
    """A database that keeps what it was told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.statements: list[str] = []

    @contextmanager
    def write(self) -> Iterator[SqliteConnection]:
        with super().write() as connection:
            connection._raw.set_trace_callback(self.statements.append)
        self.statements.clear()
        with super().write() as connection:
            yield connection


def test_a_record_is_five_statements(tmp_path: Path) -> None:
    """Recording one execution of a known series: find the series, insert, put on the list of those to be counted; every
    tenth time, look how long the list is."""
    path = tmp_path / "metrics.db"
    first = SqliteDatabase(path)
    Store(first).add([an_execution()])
    first.close()
    database = TracingDatabase(path)
    store = Store(database)
    looked = 0
    for _ in range(2 * PENDING_CHECK_EVERY):
        store.add([an_execution()])
        words = [" ".join(statement.split()[:3]) for statement in database.statements]
        looked += words.count("SELECT COUNT(*) FROM")
        assert [word for word in words if word != "SELECT COUNT(*) FROM"] == [
            "BEGIN IMMEDIATE",
            "SELECT series_id FROM",
            "INSERT INTO executions",
            "INSERT INTO uncounted",
            "COMMIT",
        ]
    database.close()
    assert looked == 2


def test_what_is_still_to_be_sent_is_looked_up(histories: tuple[Path, Path], tmp_path: Path) -> None:
    """However many executions wait for a target: archiving asks of each page of history."""
    explained = ExplainingDatabase(Path(copy(histories[0], tmp_path)))
    with explained.write() as connection:
        connection.lock_rollups()
        export_queue.register(connection, "test", "here", NOON_US, NOON_US)
    with explained.read() as connection:
        rows = page(connection, Filter(), None, 100)
        explained.plans.clear()
        assert not_sent(connection, rows)
    steps = [step for step in explained.plans if "export_queue" in step]
    assert steps
    assert {step for step in steps if "SEARCH" not in step or "kind=? AND uid=?" not in step} == set()
    explained.close()


@pytest.fixture(scope="module")
def histories_of_sessions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two databases that no test writes to: a session of twenty responses on each of 80 and of 400 days before noon,
    with its ledger."""
    folder = tmp_path_factory.mktemp("sessions")
    for days in (80, 400):
        database = SqliteDatabase(folder / f"{days}.db")
        store = Store(database)
        starts = {f"session-{day}": NOON_US - day * DAY_US for day in range(days)}
        store.add(
            an_execution(timestamp_us=at_us + number, workflow_id=name, source=CLAUDE_CODE)
            for name, at_us in starts.items()
            for number in range(20)
        )
        ledgers = [(LedgerEntry(name, "", at_us + HOUR_US, 0, 0, 0, 0, 0, 0, 0),) for name, at_us in starts.items()]
        store.ingest([], [], [], ledgers)
        database.close()
    return [folder / "80.db", folder / "400.db"]


@pytest.mark.parametrize("by_day", [False, True])
def test_reconciling_a_week_reads_no_older_history(histories_of_sessions: list[Path], by_day: bool) -> None:
    """The executions of the week, and those of the month before, in which its sessions may have begun: however long the
    history is."""
    week, work = Filter(Window(NOON_US - 7 * DAY_US, NOON_US + DAY_US)), []
    for path in histories_of_sessions:
        database = ExplainingDatabase(path)
        if by_day:
            assert reconciled_days(database, week, NOON_US + DAY_US).count == 8
        else:
            assert reconciliation(database, week, UTC).compared == 8
        assert [step for step in database.plans if re.match(r"SCAN (executions|step_usage)", step)] == []
        work.append(database.work)
        database.close()
    assert work[1] <= work[0] * 1.2


_STEPS_OF_A_SPAN = 60

_ON_SESSIONS: dict[str, Callable[[SqliteDatabase], object]] = {
    "sessions": lambda database: sessions(database, Filter(), "newest", RowChoice(limit=5)),
    "workflows": lambda database: reports.breakdown(database, Filter(), "workflow_id", "newest", RowChoice(limit=5)),
    "a workflow": lambda database: reports.summary(database, Filter(workflows=("session-3",))),
    "the begin of a session": lambda database: reports.trends(
        database, Filter(sessions=("session-7",)), "daily", UTC, NOON_US
    ),
}


def test_the_last_sessions_and_one_session_read_their_own_time(histories_of_sessions: list[Path]) -> None:
    """Which sessions were the last is known from spans, of which each session has one a day: the history of executions
    is not read for it."""
    work: dict[str, list[int]] = {name: [] for name in _ON_SESSIONS}
    for path in histories_of_sessions:
        database = ExplainingDatabase(path)
        for name, report in _ON_SESSIONS.items():
            database.work = 0
            report(database)
            work[name].append(database.work)
        assert [step for step in database.plans if re.match(r"SCAN (executions|step_usage)\b(?! USING C)", step)] == []
        database.close()
    assert [name for name, (few, many) in work.items() if many > few * 1.2 + 320 * _STEPS_OF_A_SPAN // 100] == []


def test_the_last_runs_read_their_own_sessions(histories_of_sessions: list[Path]) -> None:
    """The newest executions say which runs ended last, and spans when their sessions were."""
    work = []
    for path in histories_of_sessions:
        database = ExplainingDatabase(path)
        assert len(runs(database, Filter(), "newest", RowChoice(limit=5)).runs) == 5
        work.append(database.work)
        assert [step for step in database.plans if re.match(r"SCAN (executions|step_usage)\b(?! USING)", step)] == []
        database.close()
    assert work[1] <= work[0] * 1.2 + 320 * _STEPS_OF_A_SPAN // 100
