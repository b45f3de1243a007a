"""Deliveries, channels to local servers, and a clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.notification import Action
from claude_force.alerts.outbox import deliver
from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery
from claude_force.database.writes import alerts as alert_writes
from tests.builders import NOON_US, a_notification
from tests.counterparts import ScriptedServer


def a_delivery(number: int, channel: str, action: Action = "trigger", **changes: Any) -> Delivery:
    """A delivery of noon."""
    episode = changes.pop("episode", "e-1")
    values: dict[str, Any] = {
        "batch": f"batch-{number}",
        "status": WAITING,
        "attempts": 0,
        "created_us": NOON_US + number,
        "due_us": NOON_US,
    }
    return Delivery(
        f"delivery-{number}", channel=channel, episode=episode, action=action,
        notice=a_notification(episode=episode, action=action).to_json(), **values | changes,
    )  # fmt: skip


def put(database: Database, *deliveries: Delivery) -> None:
    """Put deliveries into the outbox."""
    with database.write() as connection:
        alert_writes.add_deliveries(connection, deliveries)


def outbox(database: Database) -> dict[str, Delivery]:
    """All deliveries, by id."""
    with database.read() as connection:
        statuses = (WAITING, DELIVERED, FAILED, SKIPPED)
        return {item.delivery_id: item for status in statuses for item in alert_queries.by_status(connection, status)}


def slack(server: ScriptedServer) -> dict[str, Channel]:
    """A Slack channel to a server."""
    channels, problems = load_channels(
        {"slack": {"type": "slack", "webhook_url": "${HOOK}"}}, {"HOOK": server.url}, Path.cwd()
    )
    assert not problems
    return channels


def pager(server: ScriptedServer) -> dict[str, Channel]:
    """A PagerDuty channel to a server."""
    channels, problems = load_channels(
        {"pager": {"type": "pagerduty", "routing_key": "${KEY}", "url": server.url}}, {"KEY": "k" * 32}, Path.cwd()
    )
    assert not problems
    return channels


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at_us: int = NOON_US + SECOND_US
    moved: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        """The time."""
        return self.at_us

    def move(self, span_us: int) -> None:
        """Let time pass."""
        self.at_us += span_us


def deliver_until_quiet(database: Database, channels: dict[str, Channel], clock: Clock, calls: int = 500) -> None:
    """Deliver until nothing waits, each time when the next delivery is due."""
    for _ in range(calls):
        waiting = [item for item in outbox(database).values() if item.status == WAITING]
        if not waiting:
            return
        triggers = {(item.episode, item.channel) for item in waiting if item.action == "trigger"}
        # A resolve is due all the time while it waits for its trigger.
        due = [
            item.due_us for item in waiting if item.action == "trigger" or (item.episode, item.channel) not in triggers
        ]
        clock.at_us = max(clock.at_us, min(due))
        deliver(database, channels, clock)
        clock.move(SECOND_US)
    raise AssertionError("something waits forever")
