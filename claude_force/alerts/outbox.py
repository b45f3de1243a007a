"""The outbox: what is to be said is said, at least once, whatever happens to a sender or a service.

A sender first moves ahead when a delivery is due, so that no other sends it meanwhile, then sends, then writes down
what became of it. Who is killed on the way is followed by another when it is due again, with the same key. What fails
for a while is tried for two days, less and less often; what fails for good is kept, with the reason. The end of an
episode is said only where its beginning was delivered, and is the last word of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.notification import Notification
from claude_force.clock import DAY_US, SECOND_US, Now
from claude_force.database.contract import Database
from claude_force.database.queries import alerts as query
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery
from claude_force.database.writes import alerts as store
from claude_force.network.outcome import Outcome

LEASE_US = 45 * SECOND_US
"""For so long nobody else sends what a sender has taken; longer than any channel takes."""

FIRST_WAIT_US = 15 * SECOND_US
LONGEST_WAIT_US = 1800 * SECOND_US
GIVEN_UP_US = 2 * DAY_US
"""What could not be delivered for so long is given up."""

FURTHEST_US = 7200 * SECOND_US
"""No wait is so long: what is due later was put off by a clock that was ahead."""

ROUND_US = 30 * SECOND_US
"""For so long a round sends on one channel; the rest is sent in the next, so that evaluating does not wait for it."""


class Sent(NamedTuple):
    """What became of a message, or of one that nobody could send."""

    channel: str
    notices: int
    outcome: Outcome


def deliver(
    database: Database, channels: Mapping[str, Channel], now: Now, on: Collection[str] | None = None
) -> list[Sent]:
    """Say what is due on these channels (None: on all), on all at once, each in its order. Raises DatabaseError; what
    was sent before may be sent again then."""
    with database.read() as connection:
        at_us = now()
        waiting = query.due(connection, at_us, at_us + FURTHEST_US)
    by_channel: dict[str, list[Delivery]] = {}
    for delivery in (found for found in waiting if on is None or found.channel in on):
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
    sent: list[Sent] = []
    began_us = now()
    for message in _messages(deliveries, channel):
        ready = _ready(database, message, now())
        if ready:
            outcome = _send(channel, ready)
            _settle(database, ready, outcome, now())
            sent.append(Sent(ready[0].channel, len(ready), outcome))
            # Who did not take this one would let each of the others wait as long.
            if outcome.status == "retry" or now() - began_us >= ROUND_US:
                break
    return sent


def _messages(deliveries: Sequence[Delivery], channel: Channel | None) -> Iterator[list[Delivery]]:
    """What goes out as one message, in the order in which it came up: a batch, as far as it was tried equally often, so
    that every attempt at a message holds the same. A channel that takes one at a time may have been another one when
    they came up."""
    is_alone = channel is not None and not channel.groups
    messages: dict[tuple[str, int], list[Delivery]] = {}
    for delivery in deliveries:
        name = delivery.delivery_id if is_alone else delivery.batch
        messages.setdefault((name, delivery.attempts), []).append(delivery)
    yield from messages.values()


def _ready(database: Database, message: Sequence[Delivery], now_us: int) -> list[Delivery]:
    """Those of a message that may be said now, taken so that nobody else says them. What cannot be said any more is
    finished, and an end is left as long as something that comes before it waits."""
    ready = []
    with database.write() as connection:
        for delivery in message:
            said = [
                found
                for found in query.of_episode(connection, delivery.episode)
                if found.channel == delivery.channel and found.delivery_id != delivery.delivery_id
            ]
            needless = _needless(delivery, said)
            if needless:
                store.finish(connection, delivery.delivery_id, SKIPPED, now_us, needless)
            elif not _is_readable(delivery):
                store.finish(connection, delivery.delivery_id, FAILED, now_us, UNREADABLE)
            elif not _has_to_wait(delivery, said) and store.claim(connection, delivery, now_us + LEASE_US):
                ready.append(replace(delivery, receipt=_receipt(said)))
    return ready


UNREADABLE = "its notice cannot be read; another version of claude-force wrote it"


def _is_readable(delivery: Delivery) -> bool:
    try:
        Notification.from_json(delivery.notice)
    except ValueError:
        return False
    return True


def _needless(delivery: Delivery, said: Sequence[Delivery]) -> str | None:
    """Why nobody needs to hear a delivery; None where somebody does. `said` is the rest of its episode on its channel.
    After the end a repetition would be a beginning, of something that nothing ends."""
    earlier = {found.status for found in said if found.action != "resolve"}
    is_over = any(found.action == "resolve" for found in said)
    if delivery.action == "repeat" and is_over and DELIVERED in earlier:
        return "the alert was over before it could be told again"
    if delivery.action == "resolve" and not earlier & {DELIVERED, WAITING}:
        return "its beginning was never delivered"
    return None


def _has_to_wait(delivery: Delivery, said: Sequence[Delivery]) -> bool:
    return delivery.action == "resolve" and any(found.action != "resolve" and found.status == WAITING for found in said)


def _receipt(said: Sequence[Delivery]) -> str | None:
    return next((found.receipt for found in said if found.status == DELIVERED and found.receipt), None)


def _send(channel: Channel | None, ready: Sequence[Delivery]) -> Outcome:
    first = ready[0]
    if channel is None:
        return Outcome(
            "retry", f"there is no usable channel {first.channel}: claude-force alerts test {first.channel} says why"
        )
    notices = [Notification.from_json(delivery.notice) for delivery in ready]
    try:
        return channel.send(notices, first.delivery_id, first.receipt)
    except Exception as error:
        # A channel that breaks on one message must not keep the next ones for ever. Its words may hold a secret.
        return Outcome("retry", f"the channel broke: {type(error).__name__}")


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
