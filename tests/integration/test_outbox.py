"""The outbox sends each delivery once, and retries with growing waits. The service is a real server on 127.0.0.1."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.alerts.outbox import FIRST_WAIT_US, GIVEN_UP_US, LONGEST_WAIT_US, deliver, wait_us
from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.rows.alerts import DELIVERED, FAILED, WAITING
from tests.builders import NOON_US, a_notification
from tests.counterparts import RESET, Reply, scripted
from tests.outbox import Clock, a_delivery, deliver_until_quiet, outbox, pager, put, slack


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
