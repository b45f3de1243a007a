"""One round of alerting at a place: the rules and channels of its settings, evaluated and told."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.evaluation import (
    ONE_CHANNEL,
    Evaluation,
    NotificationContext,
    evaluate,
    gone,
    judge,
    measure_all,
)
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import DEFAULTS, Rule, default_rule, load_rules, nearest, problem_of
from claude_force.clock import local_zone
from claude_force.database.contract import Connection
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.executions.origin import host_name
from claude_force.network.outcome import Outcome
from claude_force.text import sanitize

FROM_ENVIRONMENT = {
    "slack": "SLACK_WEBHOOK_URL",
    "pagerduty": "PAGERDUTY_ROUTING_KEY",
    "email": "SMTP_HOST, ALERT_FROM and ALERT_TO",
}
"""The channels that the environment alone makes, and what it must hold."""


@dataclass(frozen=True, slots=True)
class AlertSetup:
    """What is watched at a place, and told where. `configured` are the names of the rules of claude.json that are on,
    those with an error in them included; None where this is a part of what is watched, of which nothing is over for
    being left out. `problems` say what is wrong with rules and channels."""

    rules: Sequence[Rule]
    channels: Mapping[str, Channel]
    configured: frozenset[str] | None
    problems: tuple[str, ...]

    def context(self, workspace: Workspace) -> NotificationContext:
        """Where and by whom alerts are told."""
        channels = {name: channel.groups for name, channel in self.channels.items()}
        return NotificationContext(channels, workspace.database.name, host_name() or "")


def load_alert_setup(workspace: Workspace) -> AlertSetup:
    """What the settings of a place say."""
    rules, broken = load_rules(workspace.settings.alerts)
    channels, problems = load_channels(workspace.settings.channels, os.environ, workspace.home.folder)
    missing = [
        f"{problem_of(rule.name)}channels: there is no {name}; there are: {', '.join(channels) or 'none'}"
        for rule in rules
        for name in rule.channels or ()
        if name not in channels and name not in workspace.settings.channels
    ]
    # What is switched off is over; what has an error in it is not.
    configured = frozenset(rule.name for rule in rules) | frozenset(broken)
    return AlertSetup(rules, channels, configured, (*broken.values(), *problems, *missing))


def evaluate_at(workspace: Workspace, setup: AlertSetup, now_us: int) -> Evaluation:
    """Evaluate everything that is watched, and end the alerts of rules that are gone."""
    with workspace.database.read() as connection:
        ended = _ended(connection, setup)
    return evaluate(workspace.database, setup.rules, setup.context(workspace), now_us, local_zone(), ended)


def look_at(workspace: Workspace, setup: AlertSetup, now_us: int) -> Evaluation:
    """What an evaluation would come to now; nothing is changed."""
    with workspace.database.read() as connection:
        return look_in(connection, workspace, setup, now_us)


def look_in(connection: Connection, workspace: Workspace, setup: AlertSetup, now_us: int) -> Evaluation:
    """The same, from a connection that is open already."""
    measured = measure_all(connection, setup.rules, now_us, local_zone())
    return judge(connection, measured, setup.context(workspace), now_us, _ended(connection, setup))


def _ended(connection: Connection, setup: AlertSetup) -> Collection[str]:
    return () if setup.configured is None else gone(connection, setup.configured)


def part_of(setup: AlertSetup, names: Sequence[str]) -> AlertSetup:
    """The watch of some rules. Those that claude.json does not switch on are ours as they are. Raises SettingsError for
    a rule that there is not, or that has an error in it."""
    return replace(setup, rules=named(setup, names), configured=None)


def for_channel(setup: AlertSetup, names: Sequence[str], channel: str) -> AlertSetup:
    """The watch of some rules for one channel alone: their alerts are those of nobody else. Raises SettingsError for a
    rule or channel that there is not."""
    if channel not in setup.channels:
        raise SettingsError(_no_channel(setup, channel))
    rules = [
        replace(rule, name=f"{rule.name}{ONE_CHANNEL}{channel}", channels=(channel,)) for rule in named(setup, names)
    ]
    return replace(setup, rules=rules, configured=None)


def named(setup: AlertSetup, names: Sequence[str]) -> list[Rule]:
    """The rules of these names (all, where none is given): those of claude.json, or else ours as they are. Raises
    SettingsError for a name that there is not."""
    known = {rule.name: rule for rule in setup.rules}
    found = []
    for name in names or list(known):
        broken = [problem for problem in setup.problems if problem.startswith(problem_of(name))]
        rule = known.get(name) or (None if broken else default_rule(name))
        if rule is None:
            raise SettingsError(broken[0] if broken else _no_rule(setup, name))
        found.append(rule)
    return found


def _no_rule(setup: AlertSetup, name: str) -> str:
    if name in DEFAULTS:
        # Of ours the budgets alone are not complete without claude.json.
        return f"{problem_of(name)}needs a threshold; docs/reference/alert-rules.md says how"
    return f"no alert rule {name}; {nearest(name, [*(rule.name for rule in setup.rules), *DEFAULTS])}"


def _no_channel(setup: AlertSetup, channel: str) -> str:
    broken = [problem for problem in setup.problems if problem.startswith(f"{sanitize(channel)}: ")]
    if broken:
        return broken[0]
    if channel in FROM_ENVIRONMENT:
        return f"no channel {channel}: set {FROM_ENVIRONMENT[channel]}, or performance.channels in claude.json"
    there = ", ".join(setup.channels) or "none (performance.channels in claude.json)"
    return f"no channel {channel}; there are: {there}"


def send_test(workspace: Workspace, setup: AlertSetup, channel: str, now_us: int) -> Outcome:
    """Send a test message on a channel, and its end, so that no incident stays open; what came of it. Raises
    SettingsError for a channel that there is not."""
    if channel not in setup.channels:
        raise SettingsError(_no_channel(setup, channel))
    notification = Notification(
        "test", "Test", f"This is a test of the channel {channel}; nothing is wrong", "Now", "info", "trigger", {},
        {"sent_by": "claude-force alerts test"}, f"test-{now_us}", now_us, now_us, workspace.database.name,
        host_name() or "",
    )  # fmt: skip
    found = setup.channels[channel]
    begun = found.send([notification], f"test-{now_us}", None)
    # Only where one incident is one alert does an end say more than a second message would.
    if begun.status != "delivered" or found.groups:
        return begun
    return found.send([replace(notification, action="resolve")], f"test-{now_us}-end", begun.receipt)
