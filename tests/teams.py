"""Laptops with stores of their own, and what connects them with the store of their team."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.merge.delivery import Delivery
from claude_force.database.merge.tables import TABLES
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate_rows, verify_rollups
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.executions.content_uids import content_uid
from claude_force.executions.costs import row_pricer
from claude_force.executions.deduplication import Observation
from claude_force.executions.record import ExecutionRow, column, identity_bytes, to_row
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.team.disclosure import Disclosure
from claude_force.exporters.team.push import TeamExporter
from claude_force.exporters.team.recipients import Receipt, TeamReceiver, TeamStore
from claude_force.network.redaction import Secret
from claude_force.receiver.receiving import receiving
from claude_force.receiver.server import Endpoint
from claude_force.receiver.team import delivering
from claude_force.settings.home import find_home
from tests.builders import NOON_US, an_execution, key
from tests.sighted import PRICES

NOW_US = NOON_US + DAY_US
TOKEN = Secret("token-of-the-team")

COST, OUTPUT, HOST = column("cost_nanousd"), column("output_tokens"), column("host")


ROWS: dict[str, tuple[Any, ...]] = {
    "run_parents": ("run-2", "s", "run-1", NOON_US),
    "run_labels": ("s", "r", "new-prompt", NOON_US, NOON_US + 1),
    "session_ledgers": ("s", "", NOON_US, 5, 1, 2, 3, 4, 0, 0),
    "headless_runs": ("h", "s", "main", "/srv/shop", "ana", NOON_US, 5, 0, 1, "success", 2, 900),
    "copied_sessions": ("s2", "s"),
    "outcomes": (NOON_US // DAY_US * DAY_US, "s", "lines", "added", 2, 30),
    "projects": ("/srv/shop/web", "/srv/shop"),
}


class Astray(PushError):
    """What became of a delivery is not known to its sender."""


@dataclass
class Road:
    """The way of deliveries to a recipient. `fates` decide what becomes of the next ones: "lost" before it arrives,
    "unanswered" after it was stored, "doubled", or "" for one that arrives."""

    recipient: TeamStore | TeamReceiver
    fates: list[str] = field(default_factory=list)

    @property
    def destination(self) -> str:
        """That of the recipient."""
        return self.recipient.destination

    def check(self, own: Database) -> None:
        """As the recipient."""
        self.recipient.check(own)

    def deliver(self, delivery: Delivery) -> Receipt:
        """As the recipient, if the fate lets it."""
        fate = self.fates.pop(0) if self.fates else ""
        if fate == "lost":
            raise Astray("lost")
        receipt = self.recipient.deliver(delivery)
        if fate == "doubled":
            self.recipient.deliver(delivery)
        if fate == "unanswered":
            raise Astray("unanswered")
        return receipt


class Laptop:
    """A store of its own, and its push to the team."""

    def __init__(self, folder: Path, name: str, recipient: TeamStore | TeamReceiver, **disclosure: Any) -> None:
        self.database = open_database(str(folder / name / "metrics.db"))
        self.store = Store(self.database, row_pricer(PRICES))
        self.road = Road(recipient)
        self.rejected_file = folder / name / "rejected-team.jsonl"
        self.disclosure = Disclosure(**{"host": name} | disclosure)

    def push(self, *fates: str, at_once: int = 5) -> PushResult:
        """One push, whose deliveries have these fates. Raises PushError."""
        self.road.fates = list(fates)
        exporter = TeamExporter(self.road, self.rejected_file, self.disclosure, at_once)  # type: ignore[arg-type]
        return exporter.push(self.database, lambda: NOW_US)

    def tries(self, *fates: str) -> None:
        """A push that may fail."""
        with suppress(Astray):
            self.push(*fates)

    def rows(self) -> list[ExecutionRow]:
        """What it has."""
        return list(iterate_rows(self.database, Filter()))


def team_rows(database: Database) -> dict[bytes, ExecutionRow]:
    """The executions of the team's store by uid, after a check that the roll-ups equal them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return {row[0]: row for row in iterate_rows(database, Filter())}


def cost_of(rows: Sequence[ExecutionRow]) -> int:
    """The sum of costs in nano-dollars."""
    return sum(row[COST] or 0 for row in rows)


@contextmanager
def receiver_of(location: str, folder: Path) -> Iterator[TeamReceiver]:
    """A receiver for the team's store, and how a laptop reaches it."""
    workspace, _ = workspace_at(find_home(), location)
    deliver = delivering(lambda: workspace)
    with receiving(Endpoint(token=TOKEN), [folder], lambda: None, None, deliver) as receiver:
        yield TeamReceiver(receiver.server.url, TOKEN)
    workspace.database.close()


def seen(*names: str, **changes: Any) -> Observation:
    """A response with these identities, of the first of which its uid is made."""
    values: dict[str, Any] = {"source": "claude-code", "cost_nanousd": 1000, "timestamp_us": NOON_US} | changes
    row = to_row(an_execution(uid=content_uid(values["timestamp_us"], key(names[0]), 0), **values))
    return Observation(row, tuple(map(key, names)))


def uid_of(name: str, at_us: int = NOON_US) -> bytes:
    """The uid of the response with this identity."""
    return identity_bytes(content_uid(at_us, key(name), 0))


def meaning(database: Database, name: str) -> bytes | None:
    """What an identity stands for."""
    with database.read() as connection:
        return file_queries.executions_of(connection, [key(name)]).get(key(name))


def only(database: Database) -> ExecutionRow:
    """The only execution of the team."""
    (row,) = team_rows(database).values()
    return row


def insert(database: Database, name: str, row: tuple[Any, ...]) -> None:
    """Store a row of a table, or its later version."""
    columns = TABLES[name].columns
    key_of = " AND ".join(f"{column} = :{column}" for column in columns[: TABLES[name].keys])
    with database.write() as connection:
        connection.execute(f"DELETE FROM {name} WHERE {key_of}", dict(zip(columns, row, strict=True)))
        connection.insert_all(f"{name} ({', '.join(columns)})", [row], "")


def table(database: Database, name: str) -> list[tuple[Any, ...]]:
    """The rows of a table."""
    with database.read() as connection:
        return sorted(connection.fetch(f"SELECT {', '.join(TABLES[name].columns)} FROM {name}"))


def set_revision(database: Database, revision: str) -> None:
    """Write a revision into a database, whatever its own is."""
    import sqlite3
    from contextlib import closing

    import psycopg

    if database.dialect == "sqlite":
        with closing(sqlite3.connect(database.name)) as raw, raw:
            raw.execute("UPDATE claude_force_version SET version_num = ?", (revision,))
    else:
        with psycopg.connect(database.name) as server:
            server.execute("UPDATE claude_force_version SET version_num = %s", (revision,))
    database.close()
