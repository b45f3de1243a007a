"""Alerts whose rule is removed or switched off: how they end, and which are shown as firing until then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from claude_force.alerts.configured import ConfiguredRules, firing_alerts
from claude_force.alerts.evaluation import evaluate
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import load_rules
from claude_force.database.contract import Database
from claude_force.database.rows.jobs import JobRun
from claude_force.database.writes import jobs as job_writes
from claude_force.executions.origin import host_name
from tests.alerting import CONTEXT, FAILURES, Harness
from tests.builders import NOON_US

OFF = FAILURES | {"enabled": False}


@pytest.fixture
def harness(database: Database) -> Harness:
    """Evaluates on both engines; an agent has failed once."""
    found = Harness(database)
    found.fail(NOON_US)
    return found


def end(harness: Harness, now_us: int, *names: str, **alerts: Any) -> list[str]:
    """End the alerts of these rules as far as they are not on; returns the names of those that fired."""
    rules = replace(ConfiguredRules.of(alerts), only=frozenset(names))
    found = evaluate(harness.database, (), CONTEXT, now_us, UTC, rules)
    return [alert.name for alert in found.transitioned]


def for_channel(harness: Harness, now_us: int, **alerts: Any) -> None:
    """Evaluate all rules for channel b alone."""
    rules = [replace(rule, name=f"{rule.name}@b", channels=("b",)) for rule in load_rules(alerts)[0]]
    evaluate(harness.database, rules, CONTEXT, now_us, UTC, ConfiguredRules.of(alerts, channel="b"))


def shown(harness: Harness, **alerts: Any) -> list[str]:
    """The rules of the alerts that are shown as firing."""
    with harness.database.read() as connection:
        return [row.rule for row in firing_alerts(connection, ConfiguredRules.of(alerts))]


@pytest.mark.parametrize(
    ("left", "reason", "words"),
    [({}, "REMOVED", "removed"), ({"mine": OFF}, "DISABLED", "switched off"), ({"mine": False}, "DISABLED", "off"),
     ({"mine": None}, "DISABLED", "switched off")],
)  # fmt: skip
def test_the_end_has_its_reason(left: dict[str, Any], reason: str, words: str, harness: Harness) -> None:
    """In the state, in the history and in the message, which goes where the beginning went."""
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    harness.deliver(NOON_US + 2)
    harness.evaluate(NOON_US + 3, **left)
    assert [(row.state, row.reason) for row in harness.rows] == [("resolved", reason)]
    newest = harness.events[0]
    assert (newest.after, newest.reason) == ("resolved", reason)
    assert harness.queued == [("resolve", "a"), ("resolve", "b")]
    assert all(words in Notification.from_json(delivery.notice).summary for delivery in harness.waiting)
    harness.evaluate(NOON_US + 4, **left)
    assert len(harness.events) == 2


def test_a_rule_that_groups_in_another_way_is_not_removed(harness: Harness) -> None:
    """Its alert without a group ends with a reason of its own; that of the group begins."""
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    harness.evaluate(NOON_US + 2, mine=FAILURES | {"group_by": "agent"})
    assert {row.labels: (row.state, row.reason) for row in harness.rows} == {
        "{}": ("resolved", "REGROUPED"), '{"agent": "x"}': ("firing", "BEGAN"),
    }  # fmt: skip


def test_only_the_alerts_of_named_rules_end(harness: Harness) -> None:
    """Others may be those of another machine, which evaluates them by its own claude.json. A rule that is on goes
    on."""
    harness.evaluate(NOON_US + 1, mine=FAILURES, other=FAILURES)
    for_channel(harness, NOON_US + 2, mine=FAILURES)
    assert end(harness, NOON_US + 3, "mine", "third", mine=FAILURES) == []
    assert sorted(end(harness, NOON_US + 3, "mine", mine=OFF)) == ["mine", "mine@b"]
    assert {row.rule: row.state for row in harness.rows} == {
        "mine": "resolved", "mine@b": "resolved", "other": "firing",
    }  # fmt: skip
    assert end(harness, NOON_US + 4, "mine", mine=OFF) == []


def test_each_check_ends_its_own_alerts(harness: Harness) -> None:
    """One of all channels, and one of each channel that is checked alone."""
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    for_channel(harness, NOON_US + 2, mine=FAILURES)
    harness.evaluate(NOON_US + 3)
    assert {row.rule: row.state for row in harness.rows} == {"mine": "resolved", "mine@b": "firing"}
    for_channel(harness, NOON_US + 4)
    assert {row.rule: row.state for row in harness.rows} == {"mine": "resolved", "mine@b": "resolved"}


def test_what_has_ended_is_not_shown_as_firing(harness: Harness) -> None:
    """Before a check stores the end: nothing of a rule that was removed or switched off, nor of its channels. A default
    rule that is neither on nor off may be checked by its name for one channel."""
    rule = dict(FAILURES)
    on = {"mine": rule, "no-data": rule, "broken": rule}
    harness.evaluate(NOON_US + 1, mine=rule, no_data=rule, broken=rule)
    for_channel(harness, NOON_US + 2, **on)
    names = ["broken", "broken@b", "mine", "mine@b", "no-data", "no-data@b"]
    assert shown(harness, **on) == names
    assert shown(harness, mine=rule, broken=5) == [*names[:4], "no-data@b"]
    assert shown(harness, mine=OFF, broken=5, **{"no-data": False}) == names[:2]
    assert shown(harness) == ["no-data@b"]
    with harness.database.read() as connection:
        assert [row.rule for row in firing_alerts(connection, None)] == names


@pytest.mark.parametrize(("host", "expected"), [("another", ["mine"]), (None, [])])
def test_what_another_machine_evaluates_is_shown(host: str | None, expected: list[str], harness: Harness) -> None:
    """The claude.json of this machine says nothing of the rules that the scheduler of another one evaluates."""
    harness.evaluate(NOON_US + 1, mine=FAILURES)
    with harness.database.write() as connection:
        where = host or host_name() or ""
        job_writes.begin(connection, JobRun("r", "alerts", where, 1, NOON_US, NOON_US + 1, "done", "{}", None))
    assert shown(harness) == expected
