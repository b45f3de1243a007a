"""Roll-ups stay equal to the rows while other transactions add executions at any moment, as on a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Parameters, Row
from claude_force.database.open import open_database
from claude_force.database.postgres.connection import ServerConnection
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, PENDING_CHECK_EVERY, PENDING_LIMIT, Store
from claude_force.database.writes.archives import archive_rows, tombstone
from claude_force.executions.record import ExecutionMetrics, to_row
from claude_force.time_windows import Window
from tests import citus
from tests.builders import NOON_US, an_execution
from tests.profiles import sparse


class InterruptedConnection(ServerConnection):
    """Runs a function after a given number of statements."""

    left: int
    interrupt: Callable[[], object]
    stops_commits = False

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.interrupt()

    def execute(self, sql: str, parameters: Parameters = {}) -> int:
        found = super().execute(sql, parameters)
        self._count()
        return found

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        found = super().execute_many(sql, rows)
        self._count()
        return found

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        super().insert_all(into, rows, otherwise, values)
        self._count()

    def update_all(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        super().update_all(table, columns, rows)
        self._count()

    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        found = super().insert_new(table, columns, rows, other)
        self._count()
        return found

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        found = super().fetch(sql, parameters)
        # With the lock of commits of a cluster it stops others, for an answer: here these would wait for themselves.
        self.stops_commits = "pg_advisory_lock(" in sql or (self.stops_commits and "pg_advisory_unlock(" not in sql)
        if not self.stops_commits:
            self._count()
        return found


class InterruptedDatabase(ServerDatabase):
    """A database whose next transaction runs a function after some statements. `reached` says whether it did."""

    after: int
    interrupt: Callable[[], object]
    reached: bool

    @contextmanager
    def write(self) -> Iterator[ServerConnection]:
        with super().write() as plain:
            # The same transaction, whose first statement may not have been sent.
            plain.__class__ = InterruptedConnection
            connection = cast("InterruptedConnection", plain)
            connection.left, connection.interrupt = self.after, self.interrupt
            yield connection
        self.reached = connection.left <= 0


def a_day(number: int) -> list[ExecutionMetrics]:
    """More executions of one day than may become pending."""
    start = NOON_US + number * DAY_US
    return [an_execution(timestamp_us=start + place * 1000, cost_nanousd=7) for place in range(DIRECT_ROLLUP_ROWS)]


OLD = a_day(0)
WAITING = [an_execution(timestamp_us=NOON_US + 50 * 1000 + place, cost_nanousd=7) for place in range(5)]
LATE = an_execution(timestamp_us=NOON_US + 55 * 1000 + 1, cost_nanousd=7)

_CHANGES: dict[str, Callable[[Store], object]] = {
    "rebuild": lambda store: store.rebuild(),
    "delete": lambda store: store.delete(Window(None, NOON_US + 60 * 1000)),
    "reprice": lambda store: store.reprice(
        [to_row(replace(found, cost_nanousd=50, price_version="new")) for found in [*OLD, *WAITING, LATE]]
    ),
    "add many": lambda store: store.add(a_day(1)),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_an_execution_recorded_at_any_moment_is_counted_once(change: str, postgres_url: str) -> None:
    """Another process records an execution after the first statement of a change of the roll-ups, after the second, and
    so on. Each time the roll-ups equal the rows, also after the next pending rows are applied."""
    for after in sparse(range(1, 100)):
        with closing(InterruptedDatabase(postgres_url)) as database, closing(open_database(postgres_url)) as other:
            plain = Store(other)
            plain.delete(Window())
            plain.add(OLD)
            plain.add(WAITING)
            database.after, database.interrupt = after, partial(plain.add, [LATE])
            _CHANGES[change](Store(database))
            with other.read() as connection:
                assert verify_rollups.differences(connection) == [], after
                stored = connection.fetch("SELECT COUNT(*), SUM(cost_nanousd) FROM executions")[0]
                found = queries.totals(connection, Filter())
                assert (found.executions, found.cost_nanousd) == (stored[0], int(stored[1])), after
            plain.add(a_day(3))
            with other.read() as connection:
                assert verify_rollups.differences(connection) == [], after
        if not database.reached:
            break
    assert after > 5


def test_two_imports_of_the_same_rows_do_not_lock_each_other(postgres_url: str) -> None:
    """Two processes add the same executions in different orders: each is stored once, and both succeed."""
    rows = [to_row(an_execution(timestamp_us=NOON_US + place)) for place in range(1500)]
    with closing(open_database(postgres_url)) as database:
        failures: list[Exception] = []

        def bring(some: Sequence[Row]) -> None:
            try:
                with closing(open_database(postgres_url)) as own:
                    Store(own).add_rows(some)
            except Exception as error:
                failures.append(error)

        for shift in range(3):
            Store(database).delete(Window())
            both = [threading.Thread(target=bring, args=(some,)) for some in (rows[shift:], rows[::-1])]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert failures == []
            with database.read() as connection:
                assert queries.totals(connection, Filter()).executions == len(rows)
                assert verify_rollups.differences(connection) == []


def test_recording_does_not_wait_for_an_import(postgres_url: str) -> None:
    """While another transaction holds the roll-up lock, executions are still recorded, even with many pending."""
    with closing(open_database(postgres_url)) as database, closing(open_database(postgres_url)) as other:
        store = Store(database)
        with other.write() as importing:
            importing.lock_rollups()
            for start in range(0, PENDING_LIMIT, DIRECT_ROLLUP_ROWS - 1):
                store.add(an_execution(timestamp_us=NOON_US + start + place) for place in range(DIRECT_ROLLUP_ROWS - 1))
            for _ in range(2 * PENDING_CHECK_EVERY):
                store.add([an_execution()])
        with database.read() as connection:
            assert connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0] > PENDING_LIMIT
        for _ in range(PENDING_CHECK_EVERY):
            store.add([an_execution()])
        with database.read() as connection:
            assert connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0] < PENDING_CHECK_EVERY
            assert verify_rollups.differences(connection) == []


def test_the_first_of_equal_uids_is_stored(store: Store) -> None:
    """Two different executions with one uid, among many: the result names those that are stored."""
    first = an_execution(agent_name="first", cost_nanousd=1)
    second = replace(first, agent_name="second", cost_nanousd=5)
    store.add([*a_day(0), first, second])
    with store.database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert queries.has_name(connection, "agent_name", "first")
        assert not queries.has_name(connection, "agent_name", "second")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_another_process_is_archiving_is_not_stored_again(count: int, postgres_url: str) -> None:
    """Recording it again waits for the archiving, and then finds that it is archived: alone, with another, and with
    many others."""
    rows = [to_row(found) for found in WAITING[:count]]
    added: list[int] = []
    with closing(open_database(postgres_url)) as database, closing(open_database(postgres_url)) as other:
        store = Store(database)
        store.add_rows(rows)
        again = threading.Thread(target=lambda: added.append(store.add_rows(rows).added))
        with other.write() as archiving:
            archiving.lock_rollups()
            assert archive_rows(archiving, rows[:1], [tombstone(rows[0])], NOON_US) == 1
            again.start()
            while not archiving.fetch(citus.WAITS_FOR_A_LOCK):
                assert again.is_alive()
        again.join()
        with database.read() as connection:
            uids = {row[0] for row in connection.fetch("SELECT uid FROM executions")}
            assert verify_rollups.differences(connection) == []
    assert added == [0]
    assert uids == {row[0] for row in rows[1:]}


@pytest.mark.parametrize("is_known", [True, False])
def test_an_execution_is_recorded_once(is_known: bool, postgres_url: str) -> None:
    """Whether or not an earlier one has made its series, a repetition is no new execution."""
    with closing(open_database(postgres_url)) as database:
        store = Store(database)
        if is_known:
            store.add([replace(LATE, uid=WAITING[0].uid)])
        assert [store.add([LATE]).added for _ in range(3)] == [1, 0, 0]
        store.rebuild()
        assert store.add([LATE]).added == 0
        with database.read() as connection:
            assert connection.fetch("SELECT COUNT(*) FROM executions") == [(1 + is_known,)]
            assert connection.fetch("SELECT COUNT(*) FROM uncounted") == [(0,)]
            assert verify_rollups.differences(connection) == []
