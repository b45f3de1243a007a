"""A push that fails at any of its statements, at either end: the next one makes the team's store whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.postgres.connection import ServerConnection
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.errors import DatabaseError
from claude_force.exporters.base import PushError
from claude_force.exporters.team.recipients import TeamStore
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled, thorough
from tests.sighted import in_telemetry, in_transcript
from tests.teams import COST, OUTPUT, ROWS, Laptop, insert, receiver_of, seen, table, team_rows

STATEMENTS = ("execute", "execute_many", "insert_all", "insert_new", "insert_columns", "update_all", "fetch", "lookup")


class Faults:
    """Fails the statement, or the end of a transaction, whose number is `at`, counted over both stores. The end of one
    fails twice: before the commit, and after it, when only its answer is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.count = 0, 0
        for connection in (SqliteConnection, ServerConnection):
            for name in STATEMENTS:
                monkeypatch.setattr(connection, name, self._counted(getattr(connection, name)))
        for database in (SqliteDatabase, ServerDatabase):
            monkeypatch.setattr(database, "write", self._ended(database.write))

    @property
    def was_met(self) -> bool:
        """Whether there was a statement of this number."""
        return 0 < self.at <= self.count

    def point(self) -> None:
        """A point where a fault may be."""
        self.count += 1
        if self.count == self.at:
            raise DatabaseError("a fault")

    def _counted(self, statement: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.point()
            return statement(*arguments, **named)

        return call

    def _ended(self, write: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def call(database: Database) -> Iterator[Any]:
            with write(database) as connection:
                yield connection
                self.point()
            self.point()

        return call


@contextmanager
def at(faults: Faults, number: int) -> Iterator[None]:
    """For the block, the fault is at this statement; no fault for 0."""
    faults.at, faults.count = number, 0
    yield
    faults.at = 0


def learn(ana: Laptop, ben: Laptop, number: int) -> None:
    """What both know before a push of ana: an execution that turns out to be one of ben's, one that both saw in
    another way, changes, and rows of other tables."""
    at_us = NOON_US + number * SECOND_US
    message, request = f"msg_{number}", f"req_{number}"
    ana.store.ingest([seen(f"a{number}", timestamp_us=at_us, output_tokens=300)], [])
    ana.store.add([an_execution(timestamp_us=at_us, cost_nanousd=500)])
    ana.store.ingest([in_transcript(message, request, timestamp_us=at_us)], [])
    ana.push()
    ben.store.ingest([seen(f"b{number}", timestamp_us=at_us, output_tokens=400)], [])
    ben.store.ingest([in_telemetry(request_id=request, at_us=at_us)], [])
    ben.push()
    ana.store.ingest([seen(f"a{number}", f"b{number}", timestamp_us=at_us, output_tokens=500)], [])
    ana.store.add([an_execution(timestamp_us=at_us) for _ in range(6)])
    repriced = [(*row[:COST], 100 + number, *row[COST + 1 :]) for row in ana.rows() if row[COST] == 500]
    ana.store.reprice(repriced)
    insert(ana.database, "run_labels", ("s", f"r{number}", "new", at_us, at_us + 1))
    insert(ana.database, "session_ledgers", ("s", "", at_us, 5 + number, *ROWS["session_ledgers"][4:]))
    insert(ana.database, "outcomes", (NOON_US // DAY_US * DAY_US, "s", "lines", "added", number + 1, number + 1))


def told(database: Database) -> list[tuple[Any, ...]]:
    """What must be equal: times, usage and cost of all executions, and the other tables."""
    rows = sorted((row[1], row[OUTPUT], row[COST] or 0) for row in team_rows(database).values())
    return [*rows, *(row for name in ("run_labels", "session_ledgers", "outcomes") for row in table(database, name))]


@pytest.mark.parametrize("over_http", [False, *thorough(True)])
def test_a_push_that_fails_at_any_statement_is_made_good(
    over_http: bool, database: Database, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its statements at the laptop and at the team, and each commit, whose answer may be lost: after the next
    push the team's store has what it would have without the fault, once, and its roll-ups are right."""
    with database.write():
        pass
    faults = Faults(monkeypatch)
    with receiver_of(location, tmp_path) as receiver:
        recipient = receiver if over_http else TeamStore(database)
        ana, ben = (Laptop(tmp_path, name, recipient) for name in ("ana", "ben"))
        plain = SqliteDatabase(tmp_path / "plain.db")
        twin, other = (Laptop(tmp_path / "twins", name, TeamStore(plain)) for name in ("ana", "ben"))
        with plain.write():
            pass
        number, step = 1, 60 // scaled(60)
        while True:
            learn(ana, ben, number)
            with at(faults, number):
                with suppress(DatabaseError, PushError):
                    ana.push()
                was_met = faults.was_met
            ana.push()
            assert ana.push().counts["added"] == 0
            if not was_met:
                break
            number += step
        for passed in range(1, number + 1, step):
            learn(twin, other, passed)
            twin.push()
        assert told(database) == told(plain)
        assert number > 60
        for laptop in (ana, ben, twin, other):
            laptop.database.close()
        plain.close()
