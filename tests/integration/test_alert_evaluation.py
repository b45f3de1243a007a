"""Evaluating alerts against a database: states, transitions and deliveries are saved together, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from typing import Any

import pytest

from claude_force.alerts.evaluation import NotificationContext, evaluate, judge
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import load_rules
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.alerting import CONTEXT, FAILURES, LASTING, NO_CHANNELS, Harness
from tests.builders import NOON_US, an_execution

HOSTILE = (
    "<!channel>", "a\r\nBcc: b@c.d", "\x1b[31mred", "=HYPERLINK(1)", "{}", "null", "x" * 200, "é", "e\u0301", '"', "@b",
    "\u202eabc", "a\tb",
)  # fmt: skip


def test_a_trigger_saves_state_transition_and_deliveries_together(harness: Harness) -> None:
    """A breach saves a state, a transition and a delivery for each channel, all of one instant."""
    harness.fail(NOON_US)
    found = harness.evaluate(NOON_US + 1, mine=FAILURES)
    (row,), (event,) = harness.rows, harness.events
    assert len(found.firing) == 1
    assert (row.state, row.value, row.samples, row.notified_us) == ("firing", 1.0, 1, NOON_US + 1)
    assert (event.before, event.after, event.at_us, event.episode) == ("ok", "firing", NOON_US + 1, row.episode)
    assert harness.queued == [("trigger", "a"), ("trigger", "b")]
    notification = Notification.from_json(harness.waiting[0].notice)
    assert (notification.rule, notification.action, notification.began_us, notification.store) == (
        "mine",
        "trigger",
        NOON_US + 1,
        "metrics.db",
    )
    assert notification.summary == "Failed executions rose to 1 (threshold 0)"


class Interrupted(Exception):
    """An error in the middle of a transaction."""


def test_a_failed_transaction_saves_nothing(database: Database) -> None:
    """An evaluation that cannot write its deliveries changes no state either."""
    harness = Harness(database)
    harness.fail(NOON_US)
    with database.write() as connection:
        connection.execute("DROP TABLE deliveries")
    with pytest.raises(Exception, match="deliveries"):
        harness.evaluate(NOON_US + 1, mine=FAILURES)
    assert (harness.rows, harness.events) == ([], [])


def test_nothing_is_written_when_nothing_changes(harness: Harness) -> None:
    """An evaluation without a change leaves every row as it was; one of a rule within its threshold writes no row."""
    harness.evaluate(NOON_US, mine=FAILURES)
    assert harness.everything() == [[], [], [], []]
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    harness.evaluate(NOON_US + 2, mine=FAILURES)
    before = harness.everything()
    for minute in range(1, 5):
        harness.evaluate(NOON_US + minute * MINUTE_US, mine=FAILURES)
    assert harness.everything() == before


def test_judging_changes_nothing(harness: Harness) -> None:
    """A preview writes nothing."""
    harness.fail(NOON_US)
    rules, _ = load_rules({"mine": FAILURES})
    with harness.database.read() as connection:
        found = judge(connection, rules, CONTEXT, NOON_US + 1, UTC)
    assert len(found.firing) == 1
    assert harness.everything() == [[], [], [], []]


def test_the_life_of_an_alert(harness: Harness) -> None:
    """Pending, firing, resolved for a day, then ok; notified when it begins and when it is resolved."""
    rule = FAILURES | {"for": "5m"}
    harness.fail(NOON_US)
    for after_us in (1, 6 * MINUTE_US, HOUR_US + 1, HOUR_US + 2 + DAY_US, 3 * DAY_US):
        harness.evaluate(NOON_US + after_us, mine=rule)
        if harness.rows and harness.rows[0].state == "firing":
            harness.deliver(NOON_US + after_us)
    assert [event.after for event in harness.events] == ["ok", "resolved", "firing", "pending"]
    assert harness.queued == [("resolve", "a"), ("resolve", "b")]
    assert harness.states == {("mine", "{}"): "ok"}


def test_each_group_has_its_own_alert(harness: Harness) -> None:
    """Each agent fires by itself. A group without executions in the window is measured as zero, resolves, and is
    forgotten after a day."""
    rule = FAILURES | {"group_by": "agent"}
    harness.fail(NOON_US, "x")
    harness.fail(NOON_US + 30 * MINUTE_US, "y")
    harness.evaluate(NOON_US + 30 * MINUTE_US + 1, mine=rule)
    assert harness.states == {("mine", '{"agent": "x"}'): "firing", ("mine", '{"agent": "y"}'): "firing"}
    harness.evaluate(NOON_US + 70 * MINUTE_US, mine=rule)
    assert harness.states == {("mine", '{"agent": "x"}'): "resolved", ("mine", '{"agent": "y"}'): "firing"}
    for days in (2, 3, 4):
        harness.evaluate(NOON_US + days * DAY_US, mine=rule)
    assert harness.states == {}


def test_a_group_whose_rate_is_unknown_keeps_firing(harness: Harness) -> None:
    """A success rate of no executions is unknown: the alert of a group that vanished keeps firing, and sends
    nothing."""
    rule = {"metric": "success_rate", "operator": "<", "threshold": 95, "window": "1h", "group_by": "agent"}
    harness.fail(NOON_US, "x")
    harness.evaluate(NOON_US + 1, mine=rule)
    harness.deliver(NOON_US + 1)
    found = harness.evaluate(NOON_US + 2 * DAY_US, mine=rule)
    assert [alert.status.reason for alert in found.firing] == ["no data, keeps firing"]
    assert harness.queued == []


def test_a_rule_that_is_removed_while_it_fires(harness: Harness) -> None:
    """Its resolve goes to the channels that got its trigger, in the words of the last notification. It stays resolved
    for a day, and is forgotten then."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES | {"channels": "a"})
    harness.deliver(NOON_US + 2)
    harness.evaluate(NOON_US + 3)
    assert harness.queued == [("resolve", "a")]
    notification = Notification.from_json(harness.waiting[0].notice)
    assert (notification.action, notification.summary) == ("resolve", "Failures: the rule was removed")
    assert notification.episode == harness.waiting[0].episode == harness.events[0].episode
    for after_us in (4, DAY_US + 2):
        harness.evaluate(NOON_US + after_us)
        assert harness.states == {("mine", "{}"): "resolved"}
    harness.evaluate(NOON_US + DAY_US + 3)
    assert harness.rows == []
    harness.evaluate(NOON_US + DAY_US + 4)
    assert harness.queued == [("resolve", "a")]


def test_a_rule_that_is_removed_after_an_unreadable_notification(harness: Harness) -> None:
    """Its resolve is sent all the same, and the other rules are evaluated: what another version wrote stops nothing."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES | {"channels": "a"})
    harness.deliver(NOON_US + 2)
    with harness.database.write() as connection:
        connection.execute("UPDATE deliveries SET notice = '{}'")
    harness.evaluate(NOON_US + 3)
    assert harness.queued == [("resolve", "a")]
    assert Notification.from_json(harness.waiting[0].notice).summary == "mine: the rule was removed"


def test_a_rule_that_is_removed_before_anybody_was_notified(harness: Harness) -> None:
    """Nobody got its trigger, so nobody gets its resolve."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, NO_CHANNELS, mine=FAILURES)
    harness.evaluate(NOON_US + 2)
    assert (harness.states, harness.queued) == ({("mine", "{}"): "resolved"}, [])
    assert [event.after for event in harness.events] == ["resolved", "firing"]


def test_a_rule_with_an_error_is_left_alone(harness: Harness) -> None:
    """A typo in claude.json resolves nothing: the alert keeps firing, untouched, until the rule is valid again."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    before = harness.everything()
    harness.evaluate(NOON_US + DAY_US, mine=FAILURES | {"threshold": "zero"})
    assert harness.everything() == before


def test_a_rule_that_groups_differently(harness: Harness) -> None:
    """The alert of the whole is resolved where it was notified, and the alerts of the groups begin; and the reverse."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    harness.deliver(NOON_US + 1)
    grouped = FAILURES | {"group_by": "agent"}
    harness.evaluate(NOON_US + 2, mine=grouped)
    assert harness.states == {("mine", "{}"): "resolved", ("mine", '{"agent": "x"}'): "firing"}
    assert harness.queued == [("resolve", "a"), ("resolve", "b"), ("trigger", "a"), ("trigger", "b")]
    harness.deliver(NOON_US + 2)
    harness.evaluate(NOON_US + 3 + DAY_US, mine=grouped | {"window": "7d", "repeat": "7d"})
    assert harness.states == {("mine", '{"agent": "x"}'): "firing"}
    harness.evaluate(NOON_US + 4 + DAY_US, mine=FAILURES | {"group_by": "model"})
    assert ("mine", '{"agent": "x"}') in harness.states
    assert [action for action, _ in harness.queued] == ["resolve", "resolve"]


def test_evaluations_at_the_same_time_notify_once(database: Database, location: str) -> None:
    """Of many that find the same breach at the same time, one saves it and notifies."""
    harness = Harness(database)
    harness.fail(NOON_US)
    rules, _ = load_rules({"mine": FAILURES, "other": FAILURES | {"group_by": "agent"}})
    ready = threading.Barrier(6)
    problems: list[Exception] = []

    def work(number: int) -> None:
        with closing(open_database(location)) as own:
            try:
                ready.wait()
                for again in range(3):
                    evaluate(own, rules, CONTEXT, NOON_US + 1 + number + again, UTC)
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert harness.queued == [("trigger", "a")] * 2 + [("trigger", "b")] * 2
    assert len(harness.events) == 2


class Overtaken:
    """A database in which another process evaluates between the read and the write of an evaluation."""

    def __init__(self, database: Database, overtake: Callable[[], object]) -> None:
        self._database, self._overtake = database, overtake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self) -> Any:
        """Let the other process go first."""
        self._overtake()
        return self._database.write()


@pytest.mark.parametrize("repeat", [False, True])
def test_an_alert_that_changed_after_the_decision_is_left_alone(harness: Harness, repeat: bool) -> None:
    """A decision about a state that another process changed meanwhile is dropped: one trigger, one repeat, one
    transition."""
    rules, _ = load_rules({"mine": LASTING})
    harness.fail(NOON_US - 1)
    now_us = NOON_US
    if repeat:
        evaluate(harness.database, rules, CONTEXT, now_us, UTC)
        harness.deliver(now_us)
        now_us += HOUR_US
    overtaken: Any = Overtaken(harness.database, lambda: evaluate(harness.database, rules, CONTEXT, now_us, UTC))
    found = evaluate(overtaken, rules, CONTEXT, now_us + 1, UTC)
    assert len(found.firing) == 1
    action = "repeat" if repeat else "trigger"
    assert harness.queued == [(action, "a"), (action, "b")]
    assert [event.after for event in harness.events] == ["firing"]
    assert [row.evaluated_us for row in harness.rows] == [now_us]


def test_hostile_names_as_labels(harness: Harness) -> None:
    """Whatever an agent is called, its alert is saved, notified, resolved and forgotten under that name."""
    rule = FAILURES | {"group_by": "agent"}
    for name in HOSTILE:
        harness.fail(NOON_US, name)
    found = harness.evaluate(NOON_US + 1, mine=rule)
    assert sorted(alert.labels["agent"] or "" for alert in found.firing) == sorted(HOSTILE)
    assert sorted(json.loads(row.labels)["agent"] for row in harness.rows) == sorted(HOSTILE)
    notifications = [Notification.from_json(delivery.notice) for delivery in harness.waiting if delivery.channel == "b"]
    assert sorted(notification.labels["agent"] for notification in notifications) == sorted(HOSTILE)
    harness.deliver(NOON_US + 1)
    harness.evaluate(NOON_US + 2 * HOUR_US, mine=rule)
    assert len(harness.queued) == 2 * len(HOSTILE)
    assert {row.state for row in harness.rows} == {"resolved"}


def test_an_execution_without_a_project_has_a_label(harness: Harness) -> None:
    """The group without a name is a group of its own, stored as null and shown as unknown."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, mine=FAILURES | {"group_by": "project"})
    assert harness.states == {("mine", '{"project": null}'): "firing"}
    assert Notification.from_json(harness.waiting[0].notice).labels == {"project": "unknown"}
    harness.evaluate(NOON_US + 2 * HOUR_US, mine=FAILURES | {"group_by": "project"})
    assert harness.states == {("mine", '{"project": null}'): "resolved"}


def test_an_alert_outside_the_limit_of_groups_keeps_firing(harness: Harness) -> None:
    """Beyond the limit of groups, the largest are measured, and those that fire: no alert is resolved for being left
    out."""
    rule = FAILURES | {"group_by": "agent"}
    harness.fail(NOON_US, "first")
    harness.evaluate(NOON_US + 1, mine=rule)
    Store(harness.database).add(
        [
            an_execution(timestamp_us=NOON_US + 1, agent_name=f"{number}", success=False)
            for number in range(520)
            for _ in range(2)
        ]
    )
    found = harness.evaluate(NOON_US + 2, mine=rule)
    assert len(found.firing) == 501
    assert harness.states["mine", '{"agent": "first"}'] == "firing"
    assert "resolve" not in {action for action, _ in harness.queued}


def test_a_path_that_is_not_utf_8_is_stored(harness: Harness) -> None:
    """A database in a folder whose name is not UTF-8 has alerts all the same."""
    harness.fail(NOON_US)
    harness.evaluate(NOON_US + 1, NotificationContext({"a": True}, "/home/\udcff/metrics.db", "host"), mine=FAILURES)
    assert Notification.from_json(harness.waiting[0].notice).store == "/home/\udcff/metrics.db"
