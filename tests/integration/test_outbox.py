"""The outbox: whatever services answer and whoever is killed, each delivery is sent, in order, with one key. The other
side is a real server on 127.0.0.1; the clock is a number that the test moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.notification import Action, Notification
from claude_force.alerts.outbox import FIRST_WAIT_US, GIVEN_UP_US, LEASE_US, LONGEST_WAIT_US, deliver, wait_us
from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED, WAITING, Delivery
from claude_force.database.writes import alerts as alert_writes
from tests.builders import NOON_US, a_notification
from tests.counterparts import RESET, Reply, ScriptedServer, scripted
from tests.profiles import scaled

HOSTS = {"slack": "webhook_url", "pagerduty": "routing_key"}


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


def test_a_due_delivery_is_sent_once(database: Database) -> None:
    """A message that the service takes is recorded as delivered, at the time of the clock, and not sent again."""
    clock = Clock()
    with scripted([200]) as server:
        put(database, a_delivery(1, "slack"))
        first, second = (deliver(database, slack(server), clock) for _ in range(2))
        assert [sent.outcome.status for sent in first] == ["delivered"]
        assert second == []
        assert len(server.requests) == 1
    (done,) = outbox(database).values()
    assert (done.status, done.attempts, done.finished_us) == (DELIVERED, 1, clock())


def test_what_is_not_due_is_not_sent(database: Database) -> None:
    """A delivery that is due later stays."""
    with scripted() as server:
        put(database, a_delivery(1, "slack", due_us=NOON_US + 60 * SECOND_US))
        assert deliver(database, slack(server), Clock()) == []
        assert server.requests == []


def test_alerts_of_one_batch_are_one_message(database: Database) -> None:
    """Alerts of one evaluation are one message, with an attachment for each alert."""
    with scripted() as server:
        put(database, *(a_delivery(number, "slack", batch="b", episode=f"e-{number}") for number in range(3)))
        (sent,) = deliver(database, slack(server), Clock())
        assert sent.notifications == 3
        assert len(server.requests) == 1
        assert len(server.requests[0].json()["attachments"]) == 3
    assert {item.status for item in outbox(database).values()} == {DELIVERED}


def test_a_batch_is_retried_as_one_message(database: Database) -> None:
    """The retry of a message holds the same alerts as its first attempt."""
    clock = Clock()
    with scripted([500, 200]) as server:
        put(database, *(a_delivery(number, "slack", batch="b", episode=f"e-{number}") for number in range(3)))
        deliver_until_quiet(database, slack(server), clock)
        assert [len(request.json()["attachments"]) for request in server.requests] == [3, 3]


@pytest.mark.parametrize("refusal", [400, 403, 404, 410, 302])
def test_a_refusal_is_final_and_kept_with_its_reason(database: Database, refusal: int) -> None:
    """What the service will never take is not retried, and its reason is kept."""
    with scripted([Reply(refusal, b"channel_is_archived")]) as server:
        put(database, a_delivery(1, "slack"))
        deliver_until_quiet(database, slack(server), Clock())
        assert len(server.requests) == 1
        assert server.url not in str(outbox(database))
    (done,) = outbox(database).values()
    assert done.status == FAILED
    assert done.problem


def test_retry_after_is_respected(database: Database) -> None:
    """After 429 with Retry-After, nothing is sent before that time has passed."""
    clock = Clock()
    with scripted([Reply(429, headers={"Retry-After": "600"}), 200]) as server:
        put(database, a_delivery(1, "slack"))
        deliver(database, slack(server), clock)
        clock.move(599 * SECOND_US)
        assert deliver(database, slack(server), clock) == []
        clock.move(200 * SECOND_US)
        assert [sent.outcome.status for sent in deliver(database, slack(server), clock)] == ["delivered"]
        assert len(server.requests) == 2


def test_what_cannot_be_delivered_for_two_days_is_given_up(database: Database) -> None:
    """A service that is down for more than two days fails the message, with the last reason."""
    clock = Clock()
    with scripted([503]) as server:
        put(database, a_delivery(1, "slack"))
        deliver_until_quiet(database, slack(server), clock)
        # Less and less often: not a request a minute for two days.
        assert 50 < len(server.requests) < 200
    (done,) = outbox(database).values()
    assert done.status == FAILED
    assert "503" in (done.problem or "")
    assert clock() - NOON_US >= GIVEN_UP_US


def test_deliveries_of_a_missing_channel_wait(database: Database) -> None:
    """A message for a channel that cannot be used is kept, with a command that tells why, and sent when the channel
    works."""
    clock = Clock()
    put(database, a_delivery(1, "slack"))
    deliver(database, {}, clock)
    (waiting,) = outbox(database).values()
    assert waiting.status == WAITING
    assert "claude-force alerts test slack" in (waiting.problem or "")
    with scripted() as server:
        deliver_until_quiet(database, slack(server), clock)
        assert len(server.requests) == 1


def test_a_resolve_follows_its_trigger(database: Database) -> None:
    """While the trigger of an episode is not delivered, its resolve waits, and goes out after it with the same key."""
    clock = Clock()
    with scripted([500, RESET, 202]) as server:
        put(database, a_delivery(1, "pager"), a_delivery(2, "pager", "resolve"))
        deliver_until_quiet(database, pager(server), clock)
        sent = [(request.json()["event_action"], request.json()["dedup_key"]) for request in server.requests]
    assert sent == [("trigger", "e-1")] * 3 + [("resolve", "e-1")]


def test_a_resolve_without_a_trigger_is_skipped(database: Database) -> None:
    """If the trigger failed for good, the resolve is not sent."""
    with scripted([400]) as server:
        put(database, a_delivery(1, "pager"), a_delivery(2, "pager", "resolve"))
        deliver_until_quiet(database, pager(server), Clock())
        assert [request.json()["event_action"] for request in server.requests] == ["trigger"]
    found = outbox(database)
    assert (found["delivery-1"].status, found["delivery-2"].status) == (FAILED, SKIPPED)


def test_a_resolve_needs_its_trigger_on_the_same_channel(database: Database) -> None:
    """A trigger that was delivered on one channel does not release the resolve on another."""
    with scripted() as server, scripted([400]) as refusing:
        put(
            database, a_delivery(1, "slack"), a_delivery(2, "pager"),
            a_delivery(3, "slack", "resolve"), a_delivery(4, "pager", "resolve"),
        )  # fmt: skip
        deliver_until_quiet(database, slack(server) | pager(refusing), Clock())
    statuses = [item.status for _, item in sorted(outbox(database).items())]
    assert statuses == [DELIVERED, FAILED, DELIVERED, SKIPPED]


def test_an_incident_is_resolved_by_its_id(database: Database) -> None:
    """The id that PagerDuty gave an incident is kept with its trigger, and its resolve names it."""
    opened = Reply(201, b'{"incident": {"id": "PINC1"}}')
    with scripted([opened, 200]) as server:
        configured = {"type": "pagerduty", "api_key": "${KEY}", "service_id": "PS1", "from": "a@b.example"}
        channels, problems = load_channels(
            {"pager": configured | {"url": f"{server.url}incidents"}}, {"KEY": "k"}, Path.cwd()
        )
        assert not problems
        put(database, a_delivery(1, "pager"), a_delivery(2, "pager", "resolve"))
        deliver_until_quiet(database, channels, Clock())
        assert [request.method for request in server.requests] == ["POST", "PUT"]
        assert server.requests[1].path.endswith("/PINC1")


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


def test_a_failing_channel_does_not_delay_another(database: Database) -> None:
    """An incident is opened by the same call in which Slack is down."""
    with scripted([RESET]) as down, scripted([202]) as server:
        put(database, a_delivery(1, "slack"), a_delivery(2, "pager"))
        deliver(database, slack(down) | pager(server), Clock())
        assert len(server.requests) == 1
    found = outbox(database)
    assert (found["delivery-1"].status, found["delivery-2"].status) == (WAITING, DELIVERED)


def test_an_unreadable_notification_stops_no_other(database: Database) -> None:
    """What another version wrote is failed with the reason; the rest of its batch is sent."""
    unknown = a_notification().to_json().replace('"host"', '"machine"')
    with scripted() as server, scripted([202]) as other:
        put(
            database,
            a_delivery(1, "slack", batch="b"),
            replace(a_delivery(2, "slack", batch="b", episode="e-2"), notice=unknown),
            replace(a_delivery(3, "slack", episode="e-3"), notice="[1]"),
            replace(a_delivery(4, "pager"), notice="{"),
            a_delivery(5, "slack", episode="e-5"), a_delivery(6, "pager", episode="e-6"),
        )  # fmt: skip
        deliver_until_quiet(database, slack(server) | pager(other), Clock())
        assert [len(request.json()["attachments"]) for request in server.requests] == [1, 1]
        assert len(other.requests) == 1
    found = outbox(database)
    statuses = [found[f"delivery-{number}"].status for number in range(1, 7)]
    assert statuses == [DELIVERED, FAILED, FAILED, FAILED, DELIVERED, DELIVERED]
    assert "another version" in (found["delivery-2"].problem or "")


def test_fields_of_a_later_version_are_ignored(database: Database) -> None:
    """A field that a later version added is ignored, and the message is sent."""
    longer = json.dumps(json.loads(a_notification().to_json()) | {"runbook": "docs"})
    with scripted() as server:
        put(database, replace(a_delivery(1, "slack"), notice=longer))
        deliver_until_quiet(database, slack(server), Clock())
        assert len(server.requests) == 1


def test_nothing_follows_a_resolve(database: Database) -> None:
    """A repeat that could not be delivered is not sent after the resolve of its episode: it would be a new incident,
    which nothing resolves."""
    clock = Clock()
    with scripted([202, 500, 202]) as server:
        channels = pager(server)
        put(database, a_delivery(1, "pager"))
        deliver(database, channels, clock)
        put(database, a_delivery(2, "pager", "repeat"))
        deliver(database, channels, clock)
        put(database, a_delivery(3, "pager", "resolve"))
        deliver_until_quiet(database, channels, clock)
        assert [request.json()["event_action"] for request in server.requests] == ["trigger", "trigger", "resolve"]
    found = outbox(database)
    statuses = [found[f"delivery-{number}"].status for number in (1, 2, 3)]
    assert statuses == [DELIVERED, SKIPPED, DELIVERED]


def test_a_repeat_is_sent_where_the_trigger_failed(database: Database) -> None:
    """A repeat is a trigger for a channel that never got one; then the resolve is sent as well."""
    with scripted([400, 202]) as server:
        put(database, a_delivery(1, "pager"), a_delivery(2, "pager", "repeat"))
        deliver_until_quiet(database, pager(server), Clock())
        put(database, a_delivery(3, "pager", "resolve"))
        deliver_until_quiet(database, pager(server), Clock(NOON_US + 10 * SECOND_US))
        assert [request.json()["event_action"] for request in server.requests] == ["trigger", "trigger", "resolve"]


def test_a_long_queue_on_one_channel_does_not_delay_another(database: Database) -> None:
    """However many resolves wait for triggers that a dead service does not take, an incident on another channel is
    opened."""
    later = NOON_US + 3600 * SECOND_US
    with scripted([202]) as server, scripted([RESET]) as down:
        put(
            database,
            *(a_delivery(n, "slack", batch="b", episode=f"e-{n}", due_us=later) for n in range(1, 1201)),
            *(a_delivery(10_000 + n, "slack", "resolve", batch="c", episode=f"e-{n}") for n in range(1, 1201)),
            a_delivery(20_000, "pager", episode="e-0"),
        )
        deliver(database, slack(down) | pager(server), Clock())
        assert len(server.requests) == 1


def test_a_dead_service_is_asked_once_per_call(database: Database) -> None:
    """If nobody answers, the other messages of the channel wait for the next call: each would take a timeout, and the
    rules would not be evaluated meanwhile."""
    clock = Clock()
    with scripted([RESET]) as server:
        put(database, *(a_delivery(number, "pager", episode=f"e-{number}") for number in range(50)))
        deliver(database, pager(server), clock)
        assert len(server.requests) == 1
    with scripted([202]) as server:
        deliver_until_quiet(database, pager(server), clock)
        assert len(server.requests) == 50


def test_a_delivery_scheduled_by_a_wrong_clock_is_sent(database: Database) -> None:
    """A message that was created, or failed, while the clock was a year ahead does not wait for that year."""
    year = NOON_US + 365 * 86_400 * SECOND_US
    with scripted() as server:
        put(
            database, a_delivery(1, "slack", created_us=year, due_us=year),
            a_delivery(2, "slack", episode="e-2", created_us=year, due_us=year + 900 * SECOND_US, attempts=3),
            a_delivery(3, "slack", episode="e-3", created_us=NOON_US + 300_000_000, due_us=NOON_US + 300_000_000),
        )  # fmt: skip
        deliver(database, slack(server), Clock())
        assert len(server.requests) == 3


def test_a_batch_is_split_for_a_channel_that_takes_one_at_a_time(database: Database) -> None:
    """Alerts of one batch whose channel has become PagerDuty meanwhile are an incident each."""
    with scripted([202]) as server:
        put(database, *(a_delivery(number, "pager", batch="b", episode=f"e-{number}") for number in range(3)))
        deliver_until_quiet(database, pager(server), Clock())
        assert {request.json()["dedup_key"] for request in server.requests} == {"e-0", "e-1", "e-2"}


def test_another_message_has_another_key(database: Database) -> None:
    """Resolves of one batch that go out at two times, because a trigger still waited, have two keys: a webhook
    recognises a message by its key."""
    clock = Clock()
    with scripted() as server:
        channels, _ = load_channels({"hook": {"type": "webhook", "url": server.url}}, {}, Path.cwd())
        put(
            database, a_delivery(1, "hook"),
            a_delivery(2, "hook", episode="e-2", due_us=NOON_US + 600 * SECOND_US),
            a_delivery(3, "hook", "resolve", batch="b"), a_delivery(4, "hook", "resolve", batch="b", episode="e-2"),
        )  # fmt: skip
        deliver_until_quiet(database, channels, clock)
        keys = [request.headers["claude-force-id"] for request in server.requests]
        assert [request.json()["count"] for request in server.requests] == [1] * 4
        assert len(set(keys)) == 4


@given(attempts=st.integers(0, 1000), asked=st.none() | st.floats(0, 7200))
def test_waiting_doubles_within_bounds(attempts: int, asked: float | None) -> None:
    """A wait is at least what the service asked and 15 seconds, at most a quarter more than half an hour or what was
    asked, the same for the same attempt, and not shorter for a later one."""
    found = wait_us(a_delivery(1, "slack", attempts=attempts), asked)
    least = max(FIRST_WAIT_US, round((asked or 0) * SECOND_US))
    assert least <= found <= 1.25 * max(LONGEST_WAIT_US, least)
    assert found == wait_us(a_delivery(1, "slack", attempts=attempts), asked)
    assert wait_us(a_delivery(1, "slack", attempts=attempts + 5), None) >= min(
        wait_us(a_delivery(1, "slack", attempts=attempts), None), LONGEST_WAIT_US
    )


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
