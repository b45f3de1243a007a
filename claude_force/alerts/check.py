"""One check of a workspace: its alert rules and channels from claude.json, evaluated, or previewed without saving."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from claude_force.alerts import budget_rules
from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.configured import ONE_CHANNEL, ConfiguredRules
from claude_force.alerts.decision import State
from claude_force.alerts.evaluation import Alert, Evaluation, NotificationContext, evaluate, judge
from claude_force.alerts.notification import Notification
from claude_force.alerts.rules import DEFAULTS, Rule, default_rule, is_off, load_rules, problem_of, settings_of
from claude_force.clock import local_zone
from claude_force.database.contract import Connection
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.executions.origin import host_name
from claude_force.network.outcome import Outcome
from claude_force.settings.values import nearest
from claude_force.text import sanitize

FROM_ENVIRONMENT = {
    "slack": "SLACK_WEBHOOK_URL",
    "pagerduty": "PAGERDUTY_ROUTING_KEY",
    "email": "SMTP_HOST, ALERT_FROM and ALERT_TO",
}
"""The channels that environment variables alone can define, and the variables that each needs."""


@dataclass(frozen=True, slots=True)
class AlertSetup:
    """The rules to evaluate and the channels to notify.

    Alerts of rules that are not `configured` are closed. It is None for a setup of some rules, which closes nothing.
    `off` has the settings of the rules that claude.json switches off. `problems` are the errors in rules and channels,
    one line each.
    """

    rules: Sequence[Rule]
    channels: Mapping[str, Channel]
    configured: ConfiguredRules | None
    problems: tuple[str, ...]
    off: Mapping[str, Any] = field(default_factory=dict)

    def context(self, workspace: Workspace) -> NotificationContext:
        """What notifications say of their origin, and the channels that they go to."""
        channels = {name: channel.groups for name, channel in self.channels.items()}
        return NotificationContext(channels, workspace.database.name, host_name() or "")


def load_alert_setup(workspace: Workspace) -> AlertSetup:
    """The rules and channels of claude.json, and the channels of the environment."""
    alerts = budget_rules.rules_of(workspace.settings)
    rules, broken = load_rules(alerts)
    channels, problems = load_channels(workspace.settings.channels, os.environ, workspace.home.folder)
    missing = [
        f"{problem_of(rule.name)}channels: there is no {name}; there are: {', '.join(channels) or 'none'}"
        for rule in rules
        for name in rule.channels or ()
        if name not in channels and name not in workspace.settings.channels
    ]
    off = {name: settings_of(value) for name, value in alerts.items() if is_off(value)}
    unknown, left_over = budget_rules.problems_of(workspace.settings), budget_rules.left_over(workspace.settings)
    configured = ConfiguredRules.of(alerts, channel="", has_faulty_budget=bool(unknown))
    return AlertSetup(rules, channels, configured, (*broken.values(), *unknown, *left_over, *problems, *missing), off)


def run_check(workspace: Workspace, setup: AlertSetup, now_us: int) -> Evaluation:
    """Evaluate the rules and save what changed, with the notifications to send. Raises DatabaseError."""
    context = setup.context(workspace)
    names = workspace.project_names
    return evaluate(workspace.database, setup.rules, context, now_us, local_zone(), setup.configured, names)


def end_alerts(workspace: Workspace, names: Iterable[str], now_us: int) -> list[Alert]:
    """End the alerts of these rules, as far as claude.json no longer has them on; what is to be notified is sent at the
    next check. Returns the alerts that fired. Raises DatabaseError."""
    if not workspace.database.exists():
        return []
    setup = load_alert_setup(workspace)
    assert setup.configured is not None
    only = replace(setup, rules=(), configured=replace(setup.configured, channel=None, only=frozenset(names)))
    ended = run_check(workspace, only, now_us).alerts
    return [alert for alert in ended if alert.before.state is State.FIRING]


def preview_check(connection: Connection, workspace: Workspace, setup: AlertSetup, now_us: int) -> Evaluation:
    """What a check would find and decide now. Nothing is saved."""
    context, names = setup.context(workspace), workspace.project_names
    return judge(connection, setup.rules, context, now_us, local_zone(), setup.configured, names)


def for_rules(setup: AlertSetup, names: Sequence[str]) -> AlertSetup:
    """The setup of these rules alone; default rules need not be on. Raises SettingsError for a rule that does not
    exist, is switched off, or has an error."""
    return replace(setup, rules=_select_rules(setup, names), configured=None)


def for_explanation(setup: AlertSetup, name: str) -> AlertSetup:
    """The setup of this rule alone, as it would be if it were on. Raises SettingsError for a rule that does not exist
    or has an error."""
    if name not in setup.off:
        return for_rules(setup, (name,))
    rules, broken = load_rules({name: setup.off[name] or name in DEFAULTS})
    if not rules:
        raise SettingsError(broken.get(name) or f"{name} has no settings: claude-force alerts add {shlex.quote(name)}")
    return replace(setup, rules=rules, configured=None)


def for_channel(setup: AlertSetup, names: Sequence[str], channel: str) -> AlertSetup:
    """The setup of these rules (no names: all) for one channel, with alerts of their own; with all rules, it closes the
    alerts of the others on this channel. Raises SettingsError for a rule or channel that does not exist or has an
    error, and for a rule that is switched off."""
    _refuse_unknown_channel(setup, channel)
    rules = [
        replace(rule, name=f"{rule.name}{ONE_CHANNEL}{channel}", channels=(channel,))
        for rule in _select_rules(setup, names)
    ]
    configured = None if names or setup.configured is None else replace(setup.configured, channel=channel)
    return replace(setup, rules=rules, configured=configured)


def _select_rules(setup: AlertSetup, names: Sequence[str]) -> list[Rule]:
    known = {rule.name: rule for rule in setup.rules}
    found = []
    for name in dict.fromkeys(names or known):
        if name in setup.off:
            raise SettingsError(f"{name} is off; to switch it on: claude-force alerts enable {shlex.quote(name)}")
        broken = [problem for problem in setup.problems if problem.startswith(problem_of(name))]
        rule = known.get(name) or (None if broken else default_rule(name))
        if rule is None:
            raise SettingsError(broken[0] if broken else _unknown_rule(setup, name))
        found.append(rule)
    return found


def _unknown_rule(setup: AlertSetup, name: str) -> str:
    if name in DEFAULTS:
        # Only the budgets are incomplete without claude.json.
        return f"{problem_of(name)}needs a threshold: claude-force alerts edit {name} --threshold DOLLARS"
    return f"no alert rule {name}{nearest(name, [*(rule.name for rule in setup.rules), *setup.off, *DEFAULTS])}"


def _refuse_unknown_channel(setup: AlertSetup, channel: str) -> None:
    if channel in setup.channels:
        return
    broken = [problem for problem in setup.problems if problem.startswith(f"{sanitize(channel)}: ")]
    if broken:
        raise SettingsError(broken[0])
    if channel in FROM_ENVIRONMENT:
        variables = FROM_ENVIRONMENT[channel]
        raise SettingsError(f"no channel {channel}: set {variables}, or performance.channels in claude.json")
    there = ", ".join(setup.channels) or "none (performance.channels in claude.json)"
    raise SettingsError(f"no channel {channel}; there are: {there}")


def send_test(workspace: Workspace, setup: AlertSetup, channel: str, now_us: int) -> Outcome:
    """Send a test message on a channel, and return the outcome. A channel that opens an incident for each alert gets a
    resolve as well. Raises SettingsError for a channel that does not exist."""
    _refuse_unknown_channel(setup, channel)
    notification = Notification(
        "test", "Test", f"This is a test of the channel {channel}; nothing is wrong", "Now", "info", "trigger", {},
        {"sent_by": "claude-force alerts test"}, f"test-{now_us}", now_us, now_us, workspace.database.name,
        host_name() or "",
    )  # fmt: skip
    found = setup.channels[channel]
    triggered = found.send([notification], f"test-{now_us}", None)
    if triggered.status != "delivered" or found.groups:
        return triggered
    return found.send([replace(notification, action="resolve")], f"test-{now_us}-end", triggered.receipt)
