"""Deliveries as their sender reads them: each with all identities of its executions, in few searches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection, Database, Row
from claude_force.database.merge import delivery_reader
from claude_force.database.merge.delivery import Delivery
from claude_force.database.merge.delivery_reader import DeliveryReader
from claude_force.database.queries.ingestion import identities_between
from claude_force.executions.content_uids import content_uid
from claude_force.executions.record import ExecutionRow, to_row
from claude_force.exporters.team.recipients import Receipt, TeamStore
from tests.builders import NOON_US, an_execution, key
from tests.teams import Laptop, meaning, seen, uid_of

PAGE, PAGES = 4, 20


def a_history(database: Database, *, is_in_time: bool) -> list[list[ExecutionRow]]:
    """Pages of executions in the order of time, each of which has two identities in the database. The uids of some say
    when they were, or none do."""
    chance = random.Random(7)
    rows = []
    for number in range(PAGE * PAGES):
        at_us = NOON_US + number * HOUR_US
        uid = content_uid(at_us, key(f"{number}"), 0) if is_in_time else str(UUID(bytes=chance.randbytes(16)))
        rows.append(to_row(an_execution(uid=uid, timestamp_us=at_us)))
    pairs = [(key(f"{number}-{turn}"), row[0]) for number, row in enumerate(rows) for turn in range(2)]
    with database.write() as connection:
        connection.insert_all("identities (identity, uid)", sorted(pairs), "")
    return [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The first uids of the searches through all identities."""
    found: list[bytes] = []

    def counted(connection: Connection, first: bytes, last: bytes) -> Iterator[Row]:
        found.append(first)
        return identities_between(connection, first, last)

    monkeypatch.setattr(delivery_reader, "identities_between", counted)
    return found


@pytest.mark.parametrize(("is_in_time", "limit", "most"), [(True, 1000, 4), (True, 3, PAGES), (False, 10, PAGES)])
def test_each_delivery_has_all_identities_of_its_executions(
    is_in_time: bool, limit: int, most: int, database: Database, monkeypatch: pytest.MonkeyPatch, searches: list[bytes]
) -> None:
    """Also where more are found than are kept, and where uids do not say the time."""
    monkeypatch.setattr(delivery_reader, "KEPT_LIMIT", limit)
    reader = DeliveryReader(database)
    for number, rows in enumerate(a_history(database, is_in_time=is_in_time)):
        wanted = {key(f"{number * PAGE + place}-{turn}"): row[0] for place, row in enumerate(rows) for turn in range(2)}
        assert reader.read(rows, is_queued=False) == Delivery(rows, wanted)
    assert 0 < len(searches) <= most


def test_what_the_queue_is_to_forget_is_read_anew(database: Database) -> None:
    """An identity that came after the last search is in the delivery after which the queue forgets its execution."""
    reader = DeliveryReader(database)
    first, second, *_ = a_history(database, is_in_time=True)
    reader.read(first, is_queued=False)
    with database.write() as connection:
        connection.insert_all("identities (identity, uid)", [(key("late"), second[0][0])], "")
    assert key("late") in reader.read(second, is_queued=True).identities


def test_few_changes_are_looked_up_alone(database: Database, searches: list[bytes]) -> None:
    """However far apart they were: the identities of what lies between them are not read."""
    first, *_, last = (row for page in a_history(database, is_in_time=True) for row in page)
    found = DeliveryReader(database).read([first, last], is_queued=True)
    assert set(found.identities.values()) == {first[0], last[0]}
    assert len(found.identities) == 4
    assert searches == []


@dataclass
class Meanwhile:
    """The team's store, and a laptop that learns another identity of its last execution while it sends the first."""

    team: TeamStore
    laptop: Laptop
    names: tuple[str, str]
    is_due: bool = True

    @property
    def destination(self) -> str:
        """That of the team's store."""
        return self.team.destination

    def check(self, own: Database) -> None:
        """As the team's store."""
        self.team.check(own)

    def deliver(self, delivery: Delivery) -> Receipt:
        """As the team's store, after the laptop learned it."""
        if self.is_due:
            self.is_due = False
            self.laptop.store.ingest([seen(*self.names, timestamp_us=NOON_US + 40 * HOUR_US)], [])
        return self.team.deliver(delivery)


def test_an_identity_that_is_found_during_a_push_arrives(database: Database, tmp_path: Path) -> None:
    """Whether its execution was read before that or after: with this push or the next."""
    with database.write():
        pass
    ana = Laptop(tmp_path, "ana", TeamStore(database))
    for number in range(41):
        ana.store.ingest([seen(f"{number}", timestamp_us=NOON_US + number * HOUR_US)], [])
    ana.road.recipient = Meanwhile(TeamStore(database), ana, ("40", "late"))  # type: ignore[assignment]
    for _ in range(2):
        ana.push(at_once=4)
    assert meaning(database, "late") == uid_of("40", NOON_US + 40 * HOUR_US)
    ana.database.close()
