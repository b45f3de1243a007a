"""Evaluating against a database: states, transitions and deliveries are saved together, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from claude_force.alerts.evaluation import Evaluation, NotificationContext, evaluate, judge
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import Rule, load_rules
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.rows.alerts import DELIVERED, FAILED, AlertRow, Delivery, EventRow, Silence
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_writes
from tests.builders import NOON_US, an_execution

CONTEXT = NotificationContext({"a": True, "b": False}, "metrics.db", "build-7")
NO_CHANNELS = NotificationContext({}, "metrics.db", "build-7")

FAILURES = {"metric": "failed_executions", "operator": ">", "threshold": 0, "window": "1h", "keep_firing_for": "0s"}
"""Fires after one failure, and is resolved an hour later."""

HOSTILE = (
    "<!channel>", "a\r\nBcc: b@c.d", "\x1b[31mred", "=HYPERLINK(1)", "{}", "null", "x" * 200, "é", "e\u0301", '"', "@b",
    "\u202eabc", "a\tb",
)  # fmt: skip


class Harness:
    """Evaluates a configuration against a database, and reads what was saved."""

    def __init__(self, database: Database, context: NotificationContext = CONTEXT) -> None:
        self.database = database
        self.context = context

    def fail(self, at_us: int, agent: str = "x", count: int = 1) -> None:
        """Record failed executions of an agent."""
        Store(self.database).add(
            [an_execution(timestamp_us=at_us, agent_name=agent, success=False) for _ in range(count)]
        )

    def evaluate(self, now_us: int, context: NotificationContext | None = None, **configured: Any) -> Evaluation:
        """Evaluate as the scheduler does: alerts of rules that are no longer configured are closed."""
        rules, problems = load_rules({name.replace("_", "-"): value for name, value in configured.items()})
        names = {rule.name for rule in rules} | set(problems)
        return evaluate(self.database, rules, context or self.context, now_us, UTC, names)

    def evaluate_part(self, now_us: int, rules: Sequence[Rule]) -> Evaluation:
        """Evaluate some rules, and close nothing."""
        return evaluate(self.database, rules, self.context, now_us, UTC)

    @property
    def states(self) -> dict[tuple[str, str], str]:
        """The state of every alert, by rule and labels."""
        return {(row.rule, row.labels): row.state for row in self.rows}

    @property
    def rows(self) -> list[AlertRow]:
        """The row of every alert."""
        with self.database.read() as connection:
            return alert_queries.alerts(connection)

    @property
    def events(self) -> list[EventRow]:
        """Every transition, newest first."""
        with self.database.read() as connection:
            return alert_queries.events(connection, 0, 1000)

    @property
    def waiting(self) -> list[Delivery]:
        """The deliveries that wait, in order."""
        with self.database.read() as connection:
            return alert_queries.by_status(connection, "waiting")

    @property
    def queued(self) -> list[tuple[str, str]]:
        """The deliveries that wait, as action and channel."""
        return sorted((delivery.action, delivery.channel) for delivery in self.waiting)

    def deliver(self, at_us: int, *channels: str, status: Any = DELIVERED) -> None:
        """Record that the waiting deliveries were delivered."""
        with self.database.write() as connection:
            for delivery in alert_queries.by_status(connection, "waiting"):
                if delivery.channel in (channels or ("a", "b")):
                    alert_writes.finish(connection, delivery.delivery_id, status, at_us, None)

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows of all tables of alerts."""
        tables = ("alert_states", "alert_events", "deliveries", "silences")
        with self.database.read() as connection:
            return [sorted(map(tuple, connection.fetch(f"SELECT * FROM {table}")), key=repr) for table in tables]


@pytest.fixture
def harness(database: Database) -> Harness:
    """An empty database without rules, on both engines."""
    return Harness(database)


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


LASTING = FAILURES | {"window": "30d", "repeat": "1h"}


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
