"""Concurrent and killed senders: no notification is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.notification import Notification
from claude_force.alerts.outbox import LEASE_US, deliver
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED
from claude_force.database.writes import alerts as alert_writes
from tests.counterparts import RESET, scripted
from tests.outbox import Clock, a_delivery, deliver_until_quiet, outbox, pager, put, slack
from tests.profiles import scaled


def test_the_delivery_of_a_killed_sender_is_sent_again(database: Database) -> None:
    """A sender that is killed after its claim, before or after sending, leaves the delivery to be sent again with the
    same key when the claim expires, and not before."""
    clock = Clock()
    with scripted([202]) as server:
        put(database, a_delivery(1, "pager"))
        with database.write() as connection:
            (claimed,) = alert_queries.due(connection, clock(), clock() + LEASE_US)
            assert alert_writes.claim(connection, claimed, clock() + LEASE_US)
        # It sent the message as well, and was killed before it could record the result.
        sent = pager(server)["pager"].send([Notification.from_json(claimed.notice)], claimed.batch, None)
        assert sent.status == "delivered"
        assert deliver(database, pager(server), clock) == []
        clock.move(LEASE_US)
        assert [item.outcome.status for item in deliver(database, pager(server), clock)] == ["delivered"]
        assert [request.json()["dedup_key"] for request in server.requests] == ["e-1", "e-1"]
    (done,) = outbox(database).values()
    assert (done.status, done.attempts) == (DELIVERED, 2)


def test_of_several_senders_one_sends(database: Database, location: str) -> None:
    """Senders that run at the same time send each message once."""
    clock, barrier = Clock(), threading.Barrier(4)
    with scripted() as server:
        channels = slack(server)
        put(database, *(a_delivery(number, "slack", episode=f"e-{number}") for number in range(20)))

        def send() -> None:
            own = open_database(location)
            barrier.wait()
            deliver(own, channels, clock)
            own.close()

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert len(server.requests) == 20
    assert {item.status for item in outbox(database).values()} == {DELIVERED}


CHAOS: list[int | str] = [200, 202, 500, 503, 429, 408, RESET]
"""What a service may answer before all is well: none of it is final."""


@dataclass
class Story:
    """Episodes, each with its channels and whether it resolves."""

    episodes: list[tuple[tuple[str, ...], bool]]
    answers: dict[str, list[int | str]]
    killed: list[int]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Up to four episodes, up to twelve faults on each channel, and attempts after which the sender is killed."""
    channels = st.sampled_from([("slack",), ("pager",), ("slack", "pager")])
    return Story(
        draw(st.lists(st.tuples(channels, st.booleans()), min_size=1, max_size=4)),
        {name: draw(st.lists(st.sampled_from(CHAOS), max_size=12)) for name in ("slack", "pager")},
        draw(st.lists(st.integers(0, 12), max_size=3, unique=True)),
    )


class Killed(BaseException):
    """The sender ends here, as if it were killed: nothing is recorded any more."""


@dataclass
class Mortal:
    """A channel whose process is killed after it has sent a message, at some of its attempts."""

    channel: Channel
    dies_at: Sequence[int]
    attempts: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Any:
        """Send, and perhaps die."""
        found = self.channel.send(notifications, key, receipt)
        self.attempts += 1
        if self.attempts - 1 in self.dies_at:
            raise Killed
        return found


@pytest.fixture
def new_database(tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Makes empty SQLite databases."""
    with ExitStack() as stack:
        made: list[Database] = []

        def make() -> Database:
            made.append(open_database(str(tmp_path / f"{len(made)}.db")))
            stack.callback(made[-1].close)
            return made[-1]

        yield make


@settings(max_examples=scaled(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories())
def test_no_notification_is_lost_whatever_happens(new_database: Callable[[], Database], story: Story) -> None:
    """Services fail in any order, and senders are killed after they sent: each event arrives at least once, with the
    key of its episode, the resolve after the trigger, and no more often than attempts failed or died."""
    database, clock = new_database(), Clock()
    expected = [
        (channel, f"e-{number}", action)
        for number, (channels, has_end) in enumerate(story.episodes)
        for channel in channels
        for action in ("trigger", *(["resolve"] if has_end else []))
    ]
    put(
        database,
        *(
            a_delivery(number, channel, action, episode=episode)  # type: ignore[arg-type]
            for number, (channel, episode, action) in enumerate(expected)
        ),
    )
    with scripted([*story.answers["slack"], 200]) as one, scripted([*story.answers["pager"], 202]) as other:
        channels = slack(one) | pager(other)
        mortal: dict[str, Any] = {name: Mortal(channel, story.killed) for name, channel in channels.items()}
        for _ in range(100):
            try:
                deliver_until_quiet(database, mortal, clock)
                break
            except Killed:
                continue
        assert {item.status for item in outbox(database).values()} == {DELIVERED}
        received = [
            ("pager", request.json()["dedup_key"], request.json()["event_action"]) for request in other.requests
        ]
        assert set(received) == {event for event in expected if event[0] == "pager"}
        for _, episode, action in received:
            if action == "resolve":
                assert ("pager", episode, "trigger") in received[: received.index(("pager", episode, "resolve"))]
        spare = len(story.answers["slack"]) + len(story.answers["pager"]) + 2 * len(story.killed)
        assert len(one.requests) + len(other.requests) <= len(expected) + spare
