"""The outbox: what is to be said is said, at least once, whatever happens to a sender or a service.

A sender first moves ahead when a delivery is due, so that no other sends it meanwhile, then sends, then writes down
what became of it. Who is killed on the way is followed by another when it is due again, with the same key. What fails
for a while is tried for two days, less and less often; what fails for good is kept, with the reason. The end of an
episode is said only where its beginning was delivered, and after it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from claude_force.alert_rows import DELIVERED, FAILED, SKIPPED, WAITING, Delivery
from claude_force.clock import DAY_US, SECOND_US
from claude_force.database import Connection, Database
from claude_force.notice import Notice
from claude_force.notify.base import Channel, Outcome
from claude_force.query import alerts as query
from claude_force.store import alerts as store

LEASE_US = 45 * SECOND_US
"""For so long nobody else sends what a sender has taken; longer than any channel takes."""

FIRST_WAIT_US = 15 * SECOND_US
LONGEST_WAIT_US = 1800 * SECOND_US
GIVEN_UP_US = 2 * DAY_US
"""What could not be delivered for so long is given up."""

Now = Callable[[], int]
"""Tells the time: sending takes some."""


class Sent(NamedTuple):
    """What became of a message, or of one that nobody could send."""

    channel: str
    notices: int
    outcome: Outcome


def deliver(database: Database, channels: Mapping[str, Channel], now: Now) -> list[Sent]:
    """Say what is due, on all channels at once, each in its order. Raises DatabaseError; what was sent before may be
    sent again then."""
    with database.read() as connection:
        waiting = query.due(connection, now())
    by_channel: dict[str, list[Delivery]] = {}
    for delivery in waiting:
        by_channel.setdefault(delivery.channel, []).append(delivery)
    if not by_channel:
        return []
    # A service that hangs must not keep the others waiting.
    with ThreadPoolExecutor(len(by_channel), "channel") as pool:
        work = [
            pool.submit(_deliver_on, database, channels.get(name), deliveries, now)
            for name, deliveries in by_channel.items()
        ]
        return [sent for done in work for sent in done.result()]


def _deliver_on(database: Database, channel: Channel | None, deliveries: Sequence[Delivery], now: Now) -> list[Sent]:
    sent = []
    for batch in _batches(deliveries):
        ready = _ready(database, batch, now())
        if ready:
            outcome = _send(channel, ready)
            _settle(database, ready, outcome, now())
            sent.append(Sent(ready[0].channel, len(ready), outcome))
    return sent


def _batches(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """What goes out as one message, in the order in which it came up."""
    batches: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        batches.setdefault(delivery.batch, []).append(delivery)
    yield from batches.values()


def _ready(database: Database, batch: Sequence[Delivery], now_us: int) -> list[Delivery]:
    """Those of a message that may be said now, taken so that nobody else says them. An end whose beginning was never
    delivered is skipped, one whose beginning still waits is left."""
    ready = []
    with database.write() as connection:
        for delivery in batch:
            beginning = _beginning(connection, delivery)
            if beginning is None:
                problem = "its beginning was never delivered"
                store.finish(connection, delivery.delivery_id, SKIPPED, now_us, problem)
            elif beginning.status != WAITING and store.claim(connection, delivery, now_us + LEASE_US):
                ready.append(replace(delivery, receipt=beginning.receipt))
    return ready


def _beginning(connection: Connection, delivery: Delivery) -> Delivery | None:
    """What must have been delivered before: of an end, the beginning on its channel, or one that still waits; None
    where there is neither. Anything else is its own beginning, to be sent whatever came before."""
    if delivery.action != "resolve":
        return replace(delivery, status=DELIVERED)
    earlier = [
        found
        for found in query.of_episode(connection, delivery.episode)
        if found.channel == delivery.channel and found.action != "resolve"
    ]
    for fate in (DELIVERED, WAITING):
        for found in earlier:
            if found.status == fate:
                return found
    return None


def _send(channel: Channel | None, ready: Sequence[Delivery]) -> Outcome:
    first = ready[0]
    if channel is None:
        return Outcome("retry", f"there is no usable channel {first.channel}: claude-force alerts list says why")
    return channel.send([Notice.from_json(delivery.notice) for delivery in ready], first.batch, first.receipt)


def _settle(database: Database, ready: Sequence[Delivery], outcome: Outcome, now_us: int) -> None:
    """Write down what became of a message."""
    with database.write() as connection:
        for delivery in ready:
            if outcome.status == "delivered":
                store.finish(connection, delivery.delivery_id, DELIVERED, now_us, outcome.problem, outcome.receipt)
            elif outcome.status == "failed" or now_us - delivery.created_us >= GIVEN_UP_US:
                store.finish(connection, delivery.delivery_id, FAILED, now_us, outcome.problem)
            else:
                due_us = now_us + wait_us(delivery, outcome.retry_after_s)
                store.postpone(connection, delivery.delivery_id, due_us, outcome.problem)


def wait_us(delivery: Delivery, retry_after_s: float | None) -> int:
    """How long to wait before a delivery is tried again: twice as long each time, at least as long as the service asked
    for, and up to a quarter longer, so that not everybody comes back at once. The same for the same attempt."""
    waits = FIRST_WAIT_US << min(delivery.attempts, 20)
    asked = 0 if retry_after_s is None else round(retry_after_s * SECOND_US)
    least = max(min(waits, LONGEST_WAIT_US), asked)
    # The batch, not the delivery: what is one message stays one.
    spread = hashlib.blake2b(f"{delivery.batch} {delivery.attempts}".encode(), digest_size=2).digest()
    return least + least * int.from_bytes(spread) // 4 // 65_536


def counts(sent: Sequence[Sent]) -> dict[str, int]:
    """How many messages were delivered, failed for good, and are to be tried again."""
    found = Counter(message.outcome.status for message in sent)
    return {"delivered": found["delivered"], "failed": found["failed"], "retried": found["retry"]}
