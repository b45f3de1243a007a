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
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate_rows, verify_rollups
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.executions.costs import row_pricer
from claude_force.executions.record import ExecutionRow, column
from claude_force.exporters.base import PushError, PushResult
from claude_force.exporters.team.disclosure import Disclosure
from claude_force.exporters.team.push import TeamExporter
from claude_force.exporters.team.recipients import Receipt, TeamReceiver, TeamStore
from claude_force.network.redaction import Secret
from claude_force.receiver.receiving import receiving
from claude_force.receiver.server import Endpoint
from claude_force.receiver.team import delivering
from claude_force.settings.home import find_home
from tests.builders import NOON_US
from tests.sighted import PRICES

NOW_US = NOON_US + DAY_US
TOKEN = Secret("token-of-the-team")

COST, OUTPUT, HOST = column("cost_nanousd"), column("output_tokens"), column("host")


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
