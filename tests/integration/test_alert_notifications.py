"""Which alerts are notified, on which channels and when: silences, repeats and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from claude_force.alerts.rules import load_rules
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.rows.alerts import FAILED, Silence
from claude_force.database.writes import alerts as alert_writes
from tests.alerting import FAILURES, LASTING, NO_CHANNELS, Harness
from tests.builders import NOON_US


def test_a_silence(harness: Harness) -> None:
    """A silenced rule is evaluated and not notified. What still fires afterwards is notified then. A resolve goes where
    the trigger went, silenced or not."""
    harness.fail(NOON_US)
    with harness.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + 10 * MINUTE_US, NOON_US))
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    assert (harness.rows[0].state, harness.rows[0].reason, harness.queued) == ("firing", "SILENCED", [])
    harness.evaluate(NOON_US + 10 * MINUTE_US, mine=FAILURES)
    assert harness.queued == [("trigger", "a"), ("trigger", "b")]
    harness.deliver(NOON_US + 10 * MINUTE_US)
    with harness.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + DAY_US, NOON_US))
    harness.evaluate(NOON_US + 9 * HOUR_US // 10, mine=FAILURES)
    harness.evaluate(NOON_US + 2 * HOUR_US, mine=FAILURES)
    assert harness.queued == [("resolve", "a"), ("resolve", "b")]


def test_unsilencing(harness: Harness) -> None:
    """Unsilenced, a rule is notified at the next evaluation."""
    harness.fail(NOON_US)
    with harness.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + DAY_US, NOON_US))
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    with harness.database.write() as connection:
        assert alert_writes.unsilence(connection, "mine")
        assert not alert_writes.unsilence(connection, "mine")
    harness.evaluate(NOON_US + 2, mine=FAILURES)
    assert harness.queued == [("trigger", "a"), ("trigger", "b")]


def test_a_repeat_counts_from_the_last_delivery_of_its_channel(harness: Harness) -> None:
    """A channel that got its last notification late gets the repeat as much later. One that still waits gets none, one
    that failed for good gets it on time."""
    harness.fail(NOON_US - 1)
    harness.evaluate(NOON_US, mine=LASTING)
    harness.deliver(NOON_US + 1, "a")
    harness.evaluate(NOON_US + HOUR_US + 1, mine=LASTING)
    assert harness.queued == [("repeat", "a"), ("trigger", "b")]
    harness.deliver(NOON_US + HOUR_US + 2, "a")
    harness.deliver(NOON_US + HOUR_US + 30 * MINUTE_US, "b")
    harness.evaluate(NOON_US + 2 * HOUR_US + 2, mine=LASTING)
    assert harness.queued == [("repeat", "a")]
    harness.deliver(NOON_US + 2 * HOUR_US + 3, "a", status=FAILED)
    harness.evaluate(NOON_US + 3 * HOUR_US + 2, mine=LASTING)
    assert harness.queued == [("repeat", "a"), ("repeat", "b")]


def test_a_repeat_that_is_too_early_on_every_channel_is_postponed(harness: Harness) -> None:
    """If every channel got its last notification late, the repeat comes when one of them is due."""
    harness.fail(NOON_US - 1)
    harness.evaluate(NOON_US, mine=LASTING)
    before = harness.everything()
    harness.evaluate(NOON_US + HOUR_US, mine=LASTING)
    harness.deliver(NOON_US + HOUR_US + 1)
    assert harness.rows[0].notified_us == NOON_US
    assert harness.rows[0].reason == "GOES_ON"
    assert len(before[2]) == 2
    harness.evaluate(NOON_US + 2 * HOUR_US, mine=LASTING)
    assert harness.queued == []
    harness.evaluate(NOON_US + 2 * HOUR_US + 1, mine=LASTING)
    assert harness.queued == [("repeat", "a"), ("repeat", "b")]


def test_without_a_channel_nothing_is_sent(harness: Harness) -> None:
    """It fires and says why nobody is notified; it is notified as soon as there is a channel."""
    harness.fail(NOON_US)
    several: list[dict[str, Any]] = [{"channels": []}, {}]
    for channels in several:
        harness.evaluate(NOON_US + 1, NO_CHANNELS, mine=FAILURES | channels)
        assert harness.rows[0].reason == "NO_CHANNEL"
    harness.evaluate(NOON_US + 2, mine=FAILURES | {"channels": []})
    assert harness.queued == []
    harness.evaluate(NOON_US + 3, mine=FAILURES)
    assert harness.queued == [("trigger", "a"), ("trigger", "b")]


def test_alerts_for_one_channel_are_separate(harness: Harness) -> None:
    """RULE@CHANNEL notifies its channel alone, knows nothing of the others, and is not resolved with them. A silence of
    the rule covers both."""
    (rule,), _ = load_rules({"mine": FAILURES})
    alone = replace(rule, name="mine@b", channels=("b",))
    harness.fail(NOON_US)
    harness.evaluate_part(NOON_US + 1, [alone])
    assert harness.queued == [("trigger", "b")]
    harness.evaluate(NOON_US + 2)
    assert harness.states == {("mine@b", "{}"): "firing"}
    harness.evaluate(NOON_US + 3, mine=FAILURES)
    assert harness.queued == [("trigger", "a"), ("trigger", "b"), ("trigger", "b")]
    with harness.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + 30 * DAY_US, NOON_US))
    harness.evaluate_part(NOON_US + 4, [alone])
    assert [row.reason for row in harness.rows if row.rule == "mine@b"] == ["SILENCED"]


def test_alerts_of_one_evaluation_share_a_message_if_the_channel_groups(harness: Harness) -> None:
    """On a channel that groups, triggers are one message and resolves another; on any other channel, each alert is a
    message."""
    rule = FAILURES | {"group_by": "agent"}
    for name in ("x", "y", "z"):
        harness.fail(NOON_US, name)

    def batches(channel: str) -> list[int]:
        found = [delivery.batch for delivery in harness.waiting if delivery.channel == channel]
        return sorted(found.count(batch) for batch in set(found))

    harness.evaluate(NOON_US + 1, mine=rule)
    assert (batches("a"), batches("b")) == ([3], [1, 1, 1])
    harness.deliver(NOON_US + 1)
    harness.fail(NOON_US + HOUR_US, "w")
    harness.evaluate(NOON_US + HOUR_US + 1, mine=rule)
    assert (batches("a"), batches("b")) == ([1, 3], [1, 1, 1, 1])
