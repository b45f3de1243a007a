"""The order of triggers, repeats and resolves, and the alerts that share a message."""

from __future__ import annotations

from pathlib import Path

from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.outbox import deliver
from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.rows.alerts import DELIVERED, FAILED, SKIPPED
from tests.builders import NOON_US
from tests.counterparts import RESET, Reply, scripted
from tests.outbox import Clock, a_delivery, deliver_until_quiet, outbox, pager, put, slack


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
