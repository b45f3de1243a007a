"""Evaluating against a database: states, transitions and what is to be said change together, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from claude_force.alerts.evaluation import Evaluation, NotificationContext, evaluate, gone, judge, measure_all
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

TOLD = NotificationContext({"a": True, "b": False}, "metrics.db", "build-7")
NOBODY = NotificationContext({}, "metrics.db", "build-7")

FAILURES = {"metric": "failed_executions", "operator": ">", "threshold": 0, "window": "1h", "keep_firing_for": "0s"}
"""Fires of one failure, and is over an hour later."""

HOSTILE = (
    "<!channel>", "a\r\nBcc: b@c.d", "\x1b[31mred", "=HYPERLINK(1)", "{}", "null", "x" * 200, "é", "e\u0301", '"', "@b",
    "\u202eabc", "a\tb",
)  # fmt: skip


class Keeper:
    """Evaluates a configuration against a database, and reads what is kept."""

    def __init__(self, database: Database, told: NotificationContext = TOLD) -> None:
        self.database = database
        self.told = told

    def fail(self, at_us: int, agent: str = "x", count: int = 1) -> None:
        """Let executions of an agent fail."""
        Store(self.database).add(
            [an_execution(timestamp_us=at_us, agent_name=agent, success=False) for _ in range(count)]
        )

    def evaluate(self, now_us: int, told: NotificationContext | None = None, **configured: Any) -> Evaluation:
        """Evaluate as the scheduler does: what is no longer configured ends."""
        rules, problems = load_rules({name.replace("_", "-"): value for name, value in configured.items()})
        with self.database.read() as connection:
            ended = gone(connection, {rule.name for rule in rules} | set(problems))
        return evaluate(self.database, rules, told or self.told, now_us, UTC, ended)

    def evaluate_part(self, now_us: int, rules: Sequence[Rule]) -> Evaluation:
        """Evaluate some rules, and end nothing."""
        return evaluate(self.database, rules, self.told, now_us, UTC)

    @property
    def states(self) -> dict[tuple[str, str], str]:
        """What every kept alert is, by rule and labels."""
        return {(row.rule, row.labels): row.state for row in self.rows}

    @property
    def rows(self) -> list[AlertRow]:
        """Every kept alert."""
        with self.database.read() as connection:
            return alert_queries.alerts(connection)

    @property
    def events(self) -> list[EventRow]:
        """Every transition, the newest first."""
        with self.database.read() as connection:
            return alert_queries.events(connection, 0, 1000)

    @property
    def waiting(self) -> list[Delivery]:
        """What waits to be said, in its order."""
        with self.database.read() as connection:
            return alert_queries.by_status(connection, "waiting")

    @property
    def said(self) -> list[tuple[str, str]]:
        """What waits to be said, as action and channel."""
        return sorted((delivery.action, delivery.channel) for delivery in self.waiting)

    def deliver(self, at_us: int, *channels: str, fate: Any = DELIVERED) -> None:
        """Say that what waits was delivered."""
        with self.database.write() as connection:
            for delivery in alert_queries.by_status(connection, "waiting"):
                if delivery.channel in (channels or ("a", "b")):
                    alert_writes.finish(connection, delivery.delivery_id, fate, at_us, None)

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All rows of all tables of alerts."""
        tables = ("alert_states", "alert_events", "deliveries", "silences")
        with self.database.read() as connection:
            return [sorted(map(tuple, connection.fetch(f"SELECT * FROM {table}")), key=repr) for table in tables]


@pytest.fixture
def keeper(database: Database) -> Keeper:
    """An empty database with nothing watched, on both engines."""
    return Keeper(database)


def test_what_begins_is_kept_and_told_in_one(keeper: Keeper) -> None:
    """A breach is a state, a transition and a delivery for each channel, of one instant."""
    keeper.fail(NOON_US)
    found = keeper.evaluate(NOON_US + 1, mine=FAILURES)
    (row,), (event,) = keeper.rows, keeper.events
    assert (len(found.firing), found.deliveries) == (1, 2)
    assert (row.state, row.value, row.samples, row.notified_us) == ("firing", 1.0, 1, NOON_US + 1)
    assert (event.before, event.after, event.at_us, event.episode) == ("ok", "firing", NOON_US + 1, row.episode)
    assert keeper.said == [("trigger", "a"), ("trigger", "b")]
    notification = Notification.from_json(keeper.waiting[0].notice)
    assert (notification.rule, notification.action, notification.began_us, notification.store) == (
        "mine",
        "trigger",
        NOON_US + 1,
        "metrics.db",
    )
    assert notification.summary == "Failed executions rose to 1 (threshold 0)"


class Interrupted(Exception):
    """Something that went wrong on the way."""


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    """An evaluation that cannot write its deliveries has changed no state either."""
    keeper = Keeper(database)
    keeper.fail(NOON_US)
    with database.write() as connection:
        connection.execute("DROP TABLE deliveries")
    with pytest.raises(Exception, match="deliveries"):
        keeper.evaluate(NOON_US + 1, mine=FAILURES)
    assert (keeper.rows, keeper.events) == ([], [])


def test_nothing_is_written_when_nothing_changes(keeper: Keeper) -> None:
    """An evaluation like the one before leaves every row as it was; one of a rule that is well leaves none."""
    keeper.evaluate(NOON_US, mine=FAILURES)
    assert keeper.everything() == [[], [], [], []]
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES)
    keeper.evaluate(NOON_US + 2, mine=FAILURES)
    before = keeper.everything()
    for minute in range(1, 5):
        assert keeper.evaluate(NOON_US + minute * MINUTE_US, mine=FAILURES).deliveries == 0
    assert keeper.everything() == before


def test_judging_changes_nothing(keeper: Keeper) -> None:
    """To look is no evaluation."""
    keeper.fail(NOON_US)
    rules, _ = load_rules({"mine": FAILURES})
    with keeper.database.read() as connection:
        found = judge(connection, measure_all(connection, rules, NOON_US + 1, UTC), TOLD, NOON_US + 1)
    assert len(found.firing) == 1
    assert keeper.everything() == [[], [], [], []]


def test_a_life(keeper: Keeper) -> None:
    """Pending, firing, resolved for a day, then ok; told at its beginning and its end."""
    rule = FAILURES | {"for": "5m"}
    keeper.fail(NOON_US)
    for after_us in (1, 6 * MINUTE_US, HOUR_US + 1, HOUR_US + 2 + DAY_US, 3 * DAY_US):
        keeper.evaluate(NOON_US + after_us, mine=rule)
        if keeper.rows and keeper.rows[0].state == "firing":
            keeper.deliver(NOON_US + after_us)
    assert [event.after for event in keeper.events] == ["ok", "resolved", "firing", "pending"]
    assert keeper.said == [("resolve", "a"), ("resolve", "b")]
    assert keeper.states == {("mine", "{}"): "ok"}


def test_groups_are_alerts_of_their_own(keeper: Keeper) -> None:
    """Each agent fires by itself; one whose executions left the window is measured as nothing, ends, and is forgotten
    when its day is over."""
    rule = FAILURES | {"group_by": "agent"}
    keeper.fail(NOON_US, "x")
    keeper.fail(NOON_US + 30 * MINUTE_US, "y")
    keeper.evaluate(NOON_US + 30 * MINUTE_US + 1, mine=rule)
    assert keeper.states == {("mine", '{"agent": "x"}'): "firing", ("mine", '{"agent": "y"}'): "firing"}
    keeper.evaluate(NOON_US + 70 * MINUTE_US, mine=rule)
    assert keeper.states == {("mine", '{"agent": "x"}'): "resolved", ("mine", '{"agent": "y"}'): "firing"}
    for days in (2, 3, 4):
        keeper.evaluate(NOON_US + days * DAY_US, mine=rule)
    assert keeper.states == {}


def test_a_group_whose_rate_cannot_be_told_goes_on_firing(keeper: Keeper) -> None:
    """A success rate of no executions is not well: the alert of a group that vanished is held, silently."""
    rule = {"metric": "success_rate", "operator": "<", "threshold": 95, "window": "1h", "group_by": "agent"}
    keeper.fail(NOON_US, "x")
    keeper.evaluate(NOON_US + 1, mine=rule)
    keeper.deliver(NOON_US + 1)
    found = keeper.evaluate(NOON_US + 2 * DAY_US, mine=rule)
    assert [alert.status.reason for alert in found.firing] == ["not measured, goes on firing"]
    assert keeper.said == []


def test_a_rule_that_is_removed_while_it_fires(keeper: Keeper) -> None:
    """Its end is told on the channels that heard of it, in words of the last notice, and it is forgotten after."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES | {"channels": "a"})
    keeper.deliver(NOON_US + 2)
    keeper.evaluate(NOON_US + 3)
    assert keeper.said == [("resolve", "a")]
    notification = Notification.from_json(keeper.waiting[0].notice)
    assert (notification.action, notification.summary) == ("resolve", "Failures: the rule was removed")
    assert notification.episode == keeper.waiting[0].episode == keeper.events[0].episode
    assert keeper.states == {("mine", "{}"): "resolved"}
    keeper.evaluate(NOON_US + 4)
    assert keeper.rows == []
    keeper.evaluate(NOON_US + 5)
    assert keeper.said == [("resolve", "a")]


def test_a_rule_that_is_removed_after_a_notice_that_cannot_be_read(keeper: Keeper) -> None:
    """Its end is told all the same, and the other rules are evaluated: what another version wrote stops nothing."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES | {"channels": "a"})
    keeper.deliver(NOON_US + 2)
    with keeper.database.write() as connection:
        connection.execute("UPDATE deliveries SET notice = '{}'")
    keeper.evaluate(NOON_US + 3)
    assert keeper.said == [("resolve", "a")]
    assert Notification.from_json(keeper.waiting[0].notice).summary == "mine: the rule was removed"


def test_a_rule_that_is_removed_untold(keeper: Keeper) -> None:
    """Nobody heard of it, so nobody hears of its end; it is forgotten at once."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, NOBODY, mine=FAILURES)
    keeper.evaluate(NOON_US + 2)
    assert (keeper.rows, keeper.said) == ([], [])
    assert [event.after for event in keeper.events] == ["resolved", "firing"]


def test_a_rule_with_an_error_in_it_is_left_as_it_is(keeper: Keeper) -> None:
    """A typo in claude.json ends nothing: the alert fires on, untouched, until the rule can be read again."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES)
    before = keeper.everything()
    keeper.evaluate(NOON_US + DAY_US, mine=FAILURES | {"threshold": "zero"})
    assert keeper.everything() == before


def test_a_rule_that_groups_otherwise(keeper: Keeper) -> None:
    """The alert of the whole ends, told where it was, and those of the groups begin; and back."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES)
    keeper.deliver(NOON_US + 1)
    grouped = FAILURES | {"group_by": "agent"}
    keeper.evaluate(NOON_US + 2, mine=grouped)
    assert keeper.states == {("mine", "{}"): "resolved", ("mine", '{"agent": "x"}'): "firing"}
    assert keeper.said == [("resolve", "a"), ("resolve", "b"), ("trigger", "a"), ("trigger", "b")]
    keeper.deliver(NOON_US + 2)
    keeper.evaluate(NOON_US + 3, mine=grouped)
    assert keeper.states == {("mine", '{"agent": "x"}'): "firing"}
    keeper.evaluate(NOON_US + 4, mine=FAILURES | {"group_by": "model"})
    assert ("mine", '{"agent": "x"}') in keeper.states
    assert [action for action, _ in keeper.said] == ["resolve", "resolve", "trigger", "trigger"]


def test_a_silence(keeper: Keeper) -> None:
    """A silenced rule is evaluated and not told; what still fires afterwards is told then. An end is told where the
    beginning was, silence or not."""
    keeper.fail(NOON_US)
    with keeper.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + 10 * MINUTE_US, NOON_US))
    keeper.evaluate(NOON_US + 1, mine=FAILURES)
    assert (keeper.rows[0].state, keeper.rows[0].reason, keeper.said) == ("firing", "SILENCED", [])
    keeper.evaluate(NOON_US + 10 * MINUTE_US, mine=FAILURES)
    assert keeper.said == [("trigger", "a"), ("trigger", "b")]
    keeper.deliver(NOON_US + 10 * MINUTE_US)
    with keeper.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + DAY_US, NOON_US))
    keeper.evaluate(NOON_US + 9 * HOUR_US // 10, mine=FAILURES)
    keeper.evaluate(NOON_US + 2 * HOUR_US, mine=FAILURES)
    assert keeper.said == [("resolve", "a"), ("resolve", "b")]


def test_a_silence_that_ends_before_its_time(keeper: Keeper) -> None:
    """Unsilenced, a rule is told at the next evaluation."""
    keeper.fail(NOON_US)
    with keeper.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + DAY_US, NOON_US))
    keeper.evaluate(NOON_US + 1, mine=FAILURES)
    with keeper.database.write() as connection:
        assert alert_writes.unsilence(connection, "mine")
        assert not alert_writes.unsilence(connection, "mine")
    keeper.evaluate(NOON_US + 2, mine=FAILURES)
    assert keeper.said == [("trigger", "a"), ("trigger", "b")]


LASTING = FAILURES | {"window": "30d", "repeat": "1h"}


def test_a_repetition_waits_for_the_last_word_of_its_channel(keeper: Keeper) -> None:
    """A channel that got the last word late hears the next one as much later; one where it still waits hears none;
    one where it failed for good hears it in time."""
    keeper.fail(NOON_US - 1)
    keeper.evaluate(NOON_US, mine=LASTING)
    keeper.deliver(NOON_US + 1, "a")
    keeper.evaluate(NOON_US + HOUR_US + 1, mine=LASTING)
    assert keeper.said == [("repeat", "a"), ("trigger", "b")]
    keeper.deliver(NOON_US + HOUR_US + 2, "a")
    keeper.deliver(NOON_US + HOUR_US + 30 * MINUTE_US, "b")
    keeper.evaluate(NOON_US + 2 * HOUR_US + 2, mine=LASTING)
    assert keeper.said == [("repeat", "a")]
    keeper.deliver(NOON_US + 2 * HOUR_US + 3, "a", fate=FAILED)
    keeper.evaluate(NOON_US + 3 * HOUR_US + 2, mine=LASTING)
    assert keeper.said == [("repeat", "a"), ("repeat", "b")]


def test_a_repetition_that_nobody_is_due_for_is_none(keeper: Keeper) -> None:
    """Where every channel got the last word late, the repetition is put off, and comes when one is due."""
    keeper.fail(NOON_US - 1)
    keeper.evaluate(NOON_US, mine=LASTING)
    before = keeper.everything()
    keeper.evaluate(NOON_US + HOUR_US, mine=LASTING)
    keeper.deliver(NOON_US + HOUR_US + 1)
    assert keeper.rows[0].notified_us == NOON_US
    assert keeper.rows[0].reason == "GOES_ON"
    assert len(before[2]) == 2
    keeper.evaluate(NOON_US + 2 * HOUR_US, mine=LASTING)
    assert keeper.said == []
    keeper.evaluate(NOON_US + 2 * HOUR_US + 1, mine=LASTING)
    assert keeper.said == [("repeat", "a"), ("repeat", "b")]


def test_without_a_channel_nothing_is_told(keeper: Keeper) -> None:
    """It fires and says why nobody hears of it; told as soon as there is a channel."""
    keeper.fail(NOON_US)
    several: list[dict[str, Any]] = [{"channels": []}, {}]
    for channels in several:
        keeper.evaluate(NOON_US + 1, NOBODY, mine=FAILURES | channels)
        assert keeper.rows[0].reason == "NO_CHANNEL"
    keeper.evaluate(NOON_US + 2, mine=FAILURES | {"channels": []})
    assert keeper.said == []
    keeper.evaluate(NOON_US + 3, mine=FAILURES)
    assert keeper.said == [("trigger", "a"), ("trigger", "b")]


def test_alerts_for_one_channel_are_apart(keeper: Keeper) -> None:
    """RULE@CHANNEL is told on its channel alone, knows nothing of the others, and does not end with them; a silence of
    the rule is one of both."""
    (rule,), _ = load_rules({"mine": FAILURES})
    alone = replace(rule, name="mine@b", channels=("b",))
    keeper.fail(NOON_US)
    keeper.evaluate_part(NOON_US + 1, [alone])
    assert keeper.said == [("trigger", "b")]
    keeper.evaluate(NOON_US + 2)
    assert keeper.states == {("mine@b", "{}"): "firing"}
    keeper.evaluate(NOON_US + 3, mine=FAILURES)
    assert keeper.said == [("trigger", "a"), ("trigger", "b"), ("trigger", "b")]
    with keeper.database.write() as connection:
        alert_writes.silence(connection, Silence("mine", NOON_US + 30 * DAY_US, NOON_US))
    keeper.evaluate_part(NOON_US + 4, [alone])
    assert [row.reason for row in keeper.rows if row.rule == "mine@b"] == ["SILENCED"]


def test_two_evaluators_at_once_page_once(database: Database, location: str) -> None:
    """Of many that find the same breach at the same time, one tells it."""
    keeper = Keeper(database)
    keeper.fail(NOON_US)
    rules, _ = load_rules({"mine": FAILURES, "other": FAILURES | {"group_by": "agent"}})
    ready = threading.Barrier(6)
    problems: list[Exception] = []

    def work(number: int) -> None:
        with closing(open_database(location)) as own:
            try:
                ready.wait()
                for again in range(3):
                    evaluate(own, rules, TOLD, NOON_US + 1 + number + again, UTC)
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert keeper.said == [("trigger", "a")] * 2 + [("trigger", "b")] * 2
    assert len(keeper.events) == 2


def test_hostile_names_as_labels(keeper: Keeper) -> None:
    """Whatever an agent is called, its alert is its own: kept, told, ended and forgotten under that name."""
    rule = FAILURES | {"group_by": "agent"}
    for name in HOSTILE:
        keeper.fail(NOON_US, name)
    found = keeper.evaluate(NOON_US + 1, mine=rule)
    assert sorted(alert.labels["agent"] or "" for alert in found.firing) == sorted(HOSTILE)
    assert sorted(json.loads(row.labels)["agent"] for row in keeper.rows) == sorted(HOSTILE)
    notices = [Notification.from_json(delivery.notice) for delivery in keeper.waiting if delivery.channel == "b"]
    assert sorted(notification.labels["agent"] for notification in notices) == sorted(HOSTILE)
    keeper.deliver(NOON_US + 1)
    keeper.evaluate(NOON_US + 2 * HOUR_US, mine=rule)
    assert len(keeper.said) == 2 * len(HOSTILE)
    assert {row.state for row in keeper.rows} == {"resolved"}


def test_an_execution_without_a_project_has_a_label(keeper: Keeper) -> None:
    """The group without a name is one of its own, kept as null and told as unknown."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, mine=FAILURES | {"group_by": "project"})
    assert keeper.states == {("mine", '{"project": null}'): "firing"}
    assert Notification.from_json(keeper.waiting[0].notice).labels == {"project": "unknown"}
    keeper.evaluate(NOON_US + 2 * HOUR_US, mine=FAILURES | {"group_by": "project"})
    assert keeper.states == {("mine", '{"project": null}'): "resolved"}


def test_alerts_of_one_evaluation_share_a_message_where_the_channel_groups(keeper: Keeper) -> None:
    """On a channel that takes several, beginnings are one message and ends another; on one that does not, each is one
    of its own."""
    rule = FAILURES | {"group_by": "agent"}
    for name in ("x", "y", "z"):
        keeper.fail(NOON_US, name)

    def batches(channel: str) -> list[int]:
        found = [delivery.batch for delivery in keeper.waiting if delivery.channel == channel]
        return sorted(found.count(batch) for batch in set(found))

    keeper.evaluate(NOON_US + 1, mine=rule)
    assert (batches("a"), batches("b")) == ([3], [1, 1, 1])
    keeper.deliver(NOON_US + 1)
    keeper.fail(NOON_US + HOUR_US, "w")
    keeper.evaluate(NOON_US + HOUR_US + 1, mine=rule)
    assert (batches("a"), batches("b")) == ([1, 3], [1, 1, 1, 1])


def test_an_alert_that_many_groups_overtake_goes_on(keeper: Keeper) -> None:
    """Of too many groups the largest are measured, and those that are known to fire: none is called well for being
    left out."""
    rule = FAILURES | {"group_by": "agent"}
    keeper.fail(NOON_US, "first")
    keeper.evaluate(NOON_US + 1, mine=rule)
    Store(keeper.database).add(
        [
            an_execution(timestamp_us=NOON_US + 1, agent_name=f"{number}", success=False)
            for number in range(520)
            for _ in range(2)
        ]
    )
    found = keeper.evaluate(NOON_US + 2, mine=rule)
    assert len(found.firing) == 501
    assert keeper.states["mine", '{"agent": "first"}'] == "firing"
    assert "resolve" not in {action for action, _ in keeper.said}


def test_a_name_that_is_no_text_of_the_machine_is_kept(keeper: Keeper) -> None:
    """A database in a folder whose name is not UTF-8 has alerts all the same."""
    keeper.fail(NOON_US)
    keeper.evaluate(NOON_US + 1, NotificationContext({"a": True}, "/home/\udcff/metrics.db", "host"), mine=FAILURES)
    assert Notification.from_json(keeper.waiting[0].notice).store == "/home/\udcff/metrics.db"
