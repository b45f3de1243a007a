"""Evaluates alert rules against a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from claude_force.alerts.configured import ConfiguredRules
from claude_force.alerts.evaluation import Evaluation, NotificationContext, evaluate
from claude_force.alerts.rules import Rule, load_rules
from claude_force.database.contract import Database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, AlertRow, Delivery, EventRow
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_writes
from tests.builders import an_execution

CONTEXT = NotificationContext({"a": True, "b": False}, "metrics.db", "build-7")


NO_CHANNELS = NotificationContext({}, "metrics.db", "build-7")


FAILURES = {"metric": "failed_executions", "operator": ">", "threshold": 0, "window": "1h", "keep_firing_for": "0s"}
"""Fires after one failure, and is resolved an hour later."""


class Harness:
    """Evaluates a configuration against a database, and reads what was saved."""

    def __init__(self, database: Database, context: NotificationContext = CONTEXT) -> None:
        self.database = database
        self.context = context

    def fail(self, at_us: int, agent: str = "x", count: int = 1) -> None:
        """Record failed executions of an agent."""
        Store(self.database).add(
            [an_execution(timestamp_us=at_us, agent_name=agent, success=False) for _ in range(count)]
        )

    def evaluate(self, now_us: int, context: NotificationContext | None = None, **configured: Any) -> Evaluation:
        """Evaluate as the scheduler does: alerts of rules that are no longer configured are closed."""
        alerts = {name.replace("_", "-"): value for name, value in configured.items()}
        rules, _ = load_rules(alerts)
        names = ConfiguredRules.of(alerts, channel="")
        return evaluate(self.database, rules, context or self.context, now_us, UTC, names)

    def evaluate_part(self, now_us: int, rules: Sequence[Rule]) -> Evaluation:
        """Evaluate some rules, and close nothing."""
        return evaluate(self.database, rules, self.context, now_us, UTC)

    @property
    def states(self) -> dict[tuple[str, str], str]:
        """The state of every alert, by rule and labels."""
        return {(row.rule, row.labels): row.state for row in self.rows}

    @property
    def rows(self) -> list[AlertRow]:
        """The row of every alert."""
        with self.database.read() as connection:
            return alert_queries.alerts(connection)

    @property
    def events(self) -> list[EventRow]:
        """Every transition, newest first."""
        with self.database.read() as connection:
            return alert_queries.events(connection, 0, 1000)

    @property
    def waiting(self) -> list[Delivery]:
        """The deliveries that wait, in order."""
        with self.database.read() as connection:
            return alert_queries.by_status(connection, "waiting")

    @property
    def queued(self) -> list[tuple[str, str]]:
        """The deliveries that wait, as action and channel."""
        return sorted((delivery.action, delivery.channel) for delivery in self.waiting)

    def deliver(self, at_us: int, *channels: str, status: Any = DELIVERED) -> None:
        """Record that the waiting deliveries were delivered."""
        with self.database.write() as connection:
            for delivery in alert_queries.by_status(connection, "waiting"):
                if delivery.channel in (channels or ("a", "b")):
                    alert_writes.finish(connection, delivery.delivery_id, status, at_us, None)

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows of all tables of alerts."""
        tables = ("alert_states", "alert_events", "deliveries", "silences")
        with self.database.read() as connection:
            return [sorted(map(tuple, connection.fetch(f"SELECT * FROM {table}")), key=repr) for table in tables]


LASTING = FAILURES | {"window": "30d", "repeat": "1h"}
