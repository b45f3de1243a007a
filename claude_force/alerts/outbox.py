"""The outbox: sends every delivery at least once, whatever happens to the sender or the service.

A sender claims a delivery for 45 seconds, sends it, and records the result. If it is killed in between, another sender
sends the delivery again when the claim expires, with the same key. Temporary failures are retried for two days, less
and less often; permanent failures are kept with their reason. A resolve is sent last, and only if the trigger of its
episode was delivered.
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
"""How long a claim keeps other senders away: longer than any channel takes."""

FIRST_WAIT_US = 15 * SECOND_US
LONGEST_WAIT_US = 1800 * SECOND_US
GIVEN_UP_US = 2 * DAY_US
"""How long a delivery is retried."""

FURTHEST_US = 7200 * SECOND_US
"""No retry is this far ahead: a later one was scheduled by a wrong clock, and is due now."""

SENDING_US = 30 * SECOND_US
"""How long one call of `deliver` sends on a channel. The next call sends the rest, so that rules are evaluated in
time."""


class Sent(NamedTuple):
    """The outcome of one message, which holds this many notifications."""

    channel: str
    notifications: int
    outcome: Outcome


def deliver(
    database: Database, channels: Mapping[str, Channel], now: Now, only: Collection[str] | None = None
) -> list[Sent]:
    """Send what is due on all channels at once, or on `only` some of them; on each channel in order. Raises
    DatabaseError; messages whose result could not be recorded will be sent again."""
    with database.read() as connection:
        at_us = now()
        waiting = query.due(connection, at_us, at_us + FURTHEST_US)
    by_channel: dict[str, list[Delivery]] = {}
    for delivery in waiting:
        if only is None or delivery.channel in only:
            by_channel.setdefault(delivery.channel, []).append(delivery)
    if not by_channel:
        return []
    # One thread for each channel: a service that hangs must not delay the others.
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
        claimed = _claim(database, message, now())
        if claimed:
            outcome = _send(channel, claimed)
            _record_result(database, claimed, outcome, now())
            sent.append(Sent(claimed[0].channel, len(claimed), outcome))
            # A service that is down would make each further message wait for its timeout.
            if outcome.status == "retry" or now() - began_us >= SENDING_US:
                break
    return sent


def _messages(deliveries: Sequence[Delivery], channel: Channel | None) -> Iterator[list[Delivery]]:
    """The deliveries of each message, in order. A message is a batch, as far as it has the same number of attempts, so
    that every attempt at it is the same. A channel that takes one at a time gets each alone, also if it was configured
    otherwise when the batch was made."""
    is_alone = channel is not None and not channel.groups
    messages: dict[tuple[str, int], list[Delivery]] = {}
    for delivery in deliveries:
        name = delivery.delivery_id if is_alone else delivery.batch
        messages.setdefault((name, delivery.attempts), []).append(delivery)
    yield from messages.values()


def _claim(database: Database, message: Sequence[Delivery], now_us: int) -> list[Delivery]:
    """The deliveries of a message that this sender claimed, and sends now. Those that need not or cannot be sent are
    finished."""
    claimed = []
    with database.write() as connection:
        for delivery in message:
            others = [
                found
                for found in query.of_episode(connection, delivery.episode)
                if found.channel == delivery.channel and found.delivery_id != delivery.delivery_id
            ]
            needless = _needless(delivery, others)
            if needless:
                store.finish(connection, delivery.delivery_id, SKIPPED, now_us, needless)
            elif not _is_readable(delivery):
                store.finish(connection, delivery.delivery_id, FAILED, now_us, UNREADABLE)
            elif not _must_wait(delivery, others) and store.claim(connection, delivery, now_us + LEASE_US):
                claimed.append(replace(delivery, receipt=_receipt(others)))
    return claimed


UNREADABLE = "its notification cannot be read; another version of claude-force wrote it"


def _is_readable(delivery: Delivery) -> bool:
    try:
        Notification.from_json(delivery.notice)
    except ValueError:
        return False
    return True


def _needless(delivery: Delivery, others: Sequence[Delivery]) -> str | None:
    """Why a delivery need not be sent; None if it must be. `others` are the rest of its episode on its channel. A
    repeat after the resolve would open a new incident, which nothing resolves."""
    earlier = {found.status for found in others if found.action != "resolve"}
    is_resolved = any(found.action == "resolve" for found in others)
    if delivery.action == "repeat" and is_resolved and DELIVERED in earlier:
        return "the alert was resolved before its repeat could be sent"
    if delivery.action == "resolve" and not earlier & {DELIVERED, WAITING}:
        return "its trigger was never delivered"
    return None


def _must_wait(delivery: Delivery, others: Sequence[Delivery]) -> bool:
    """Whether a delivery is a resolve whose trigger or repeat is still waiting."""
    is_waiting = any(found.action != "resolve" and found.status == WAITING for found in others)
    return delivery.action == "resolve" and is_waiting


def _receipt(others: Sequence[Delivery]) -> str | None:
    return next((found.receipt for found in others if found.status == DELIVERED and found.receipt), None)


def _send(channel: Channel | None, claimed: Sequence[Delivery]) -> Outcome:
    first = claimed[0]
    if channel is None:
        return Outcome(
            "retry", f"there is no usable channel {first.channel}; to see why: claude-force alerts test {first.channel}"
        )
    notifications = [Notification.from_json(delivery.notice) for delivery in claimed]
    try:
        return channel.send(notifications, first.delivery_id, first.receipt)
    except Exception as error:
        # A bug in a channel must not stop the messages after this one. Its text may hold a secret.
        return Outcome("retry", f"the channel broke: {type(error).__name__}")


def _record_result(database: Database, claimed: Sequence[Delivery], outcome: Outcome, now_us: int) -> None:
    with database.write() as connection:
        for delivery in claimed:
            if outcome.status == "delivered":
                store.finish(connection, delivery.delivery_id, DELIVERED, now_us, outcome.problem, outcome.receipt)
            elif outcome.status == "failed" or now_us - delivery.created_us >= GIVEN_UP_US:
                store.finish(connection, delivery.delivery_id, FAILED, now_us, outcome.problem)
            else:
                due_us = now_us + wait_us(delivery, outcome.retry_after_s)
                store.postpone(connection, delivery.delivery_id, due_us, outcome.problem)


def wait_us(delivery: Delivery, retry_after_s: float | None) -> int:
    """How long to wait before the next attempt: twice as long each time, at least as long as the service asked, and up
    to a quarter longer so that retries spread out. The same for the same attempt."""
    waits = FIRST_WAIT_US << min(delivery.attempts, 20)
    asked = 0 if retry_after_s is None else round(retry_after_s * SECOND_US)
    least = max(min(waits, LONGEST_WAIT_US), asked)
    # By batch: the deliveries of one message must stay together.
    spread = hashlib.blake2b(f"{delivery.batch} {delivery.attempts}".encode(), digest_size=2).digest()
    return least + least * int.from_bytes(spread) // 4 // 65_536


def counts(sent: Sequence[Sent]) -> dict[str, int]:
    """How many messages were delivered, failed for good, and will be retried."""
    found = Counter(message.outcome.status for message in sent)
    return {"delivered": found["delivered"], "failed": found["failed"], "retried": found["retry"]}
