"""One round of alerting at a place: the rules and channels of its settings, evaluated and told."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.evaluation import ONE_CHANNEL, Evaluation, Told, evaluate, gone, judge, measure_all
from claude_force.alerts.notification import Notice
from claude_force.alerts.rules import DEFAULTS, Rule, default_rule, load_rules, nearest, problem_of
from claude_force.clock import local_zone
from claude_force.database.contract import Connection
from claude_force.database.workspace import Place
from claude_force.errors import SettingsError
from claude_force.executions.origin import host_name
from claude_force.network.outcome import Outcome
from claude_force.text import plain

FROM_ENVIRONMENT = {
    "slack": "SLACK_WEBHOOK_URL",
    "pagerduty": "PAGERDUTY_ROUTING_KEY",
    "email": "SMTP_HOST, ALERT_FROM and ALERT_TO",
}
"""The channels that the environment alone makes, and what it must hold."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched at a place, and told where. `configured` are the names of the rules of claude.json that are on,
    those with an error in them included; None where this is a part of what is watched, of which nothing is over for
    being left out. `problems` say what is wrong with rules and channels."""

    rules: Sequence[Rule]
    channels: Mapping[str, Channel]
    configured: frozenset[str] | None
    problems: tuple[str, ...]

    def told(self, place: Place) -> Told:
        """Where and by whom alerts are told."""
        channels = {name: channel.groups for name, channel in self.channels.items()}
        return Told(channels, place.database.name, host_name() or "")


def watch_of(place: Place) -> Watch:
    """What the settings of a place say."""
    rules, broken = load_rules(place.settings.alerts)
    channels, problems = load_channels(place.settings.channels, os.environ, place.home.folder)
    missing = [
        f"{problem_of(rule.name)}channels: there is no {name}; there are: {', '.join(channels) or 'none'}"
        for rule in rules
        for name in rule.channels or ()
        if name not in channels and name not in place.settings.channels
    ]
    # What is switched off is over; what has an error in it is not.
    configured = frozenset(rule.name for rule in rules) | frozenset(broken)
    return Watch(rules, channels, configured, (*broken.values(), *problems, *missing))


def evaluate_at(place: Place, watch: Watch, now_us: int) -> Evaluation:
    """Evaluate everything that is watched, and end the alerts of rules that are gone."""
    with place.database.read() as connection:
        ended = _ended(connection, watch)
    return evaluate(place.database, watch.rules, watch.told(place), now_us, local_zone(), ended)


def look_at(place: Place, watch: Watch, now_us: int) -> Evaluation:
    """What an evaluation would come to now; nothing is changed."""
    with place.database.read() as connection:
        return look_in(connection, place, watch, now_us)


def look_in(connection: Connection, place: Place, watch: Watch, now_us: int) -> Evaluation:
    """The same, from a connection that is open already."""
    measured = measure_all(connection, watch.rules, now_us, local_zone())
    return judge(connection, measured, watch.told(place), now_us, _ended(connection, watch))


def _ended(connection: Connection, watch: Watch) -> Collection[str]:
    return () if watch.configured is None else gone(connection, watch.configured)


def part_of(watch: Watch, names: Sequence[str]) -> Watch:
    """The watch of some rules. Those that claude.json does not switch on are ours as they are. Raises SettingsError for
    a rule that there is not, or that has an error in it."""
    return replace(watch, rules=named(watch, names), configured=None)


def for_channel(watch: Watch, names: Sequence[str], channel: str) -> Watch:
    """The watch of some rules for one channel alone: their alerts are those of nobody else. Raises SettingsError for a
    rule or channel that there is not."""
    if channel not in watch.channels:
        raise SettingsError(_no_channel(watch, channel))
    rules = [
        replace(rule, name=f"{rule.name}{ONE_CHANNEL}{channel}", channels=(channel,)) for rule in named(watch, names)
    ]
    return replace(watch, rules=rules, configured=None)


def named(watch: Watch, names: Sequence[str]) -> list[Rule]:
    """The rules of these names (all, where none is given): those of claude.json, or else ours as they are. Raises
    SettingsError for a name that there is not."""
    known = {rule.name: rule for rule in watch.rules}
    found = []
    for name in names or list(known):
        broken = [problem for problem in watch.problems if problem.startswith(problem_of(name))]
        rule = known.get(name) or (None if broken else default_rule(name))
        if rule is None:
            raise SettingsError(broken[0] if broken else _no_rule(watch, name))
        found.append(rule)
    return found


def _no_rule(watch: Watch, name: str) -> str:
    if name in DEFAULTS:
        # Of ours the budgets alone are not complete without claude.json.
        return f"{problem_of(name)}needs a threshold; docs/reference/alert-rules.md says how"
    return f"no alert rule {name}; {nearest(name, [*(rule.name for rule in watch.rules), *DEFAULTS])}"


def _no_channel(watch: Watch, channel: str) -> str:
    broken = [problem for problem in watch.problems if problem.startswith(f"{plain(channel)}: ")]
    if broken:
        return broken[0]
    if channel in FROM_ENVIRONMENT:
        return f"no channel {channel}: set {FROM_ENVIRONMENT[channel]}, or performance.channels in claude.json"
    there = ", ".join(watch.channels) or "none (performance.channels in claude.json)"
    return f"no channel {channel}; there are: {there}"


def send_test(place: Place, watch: Watch, channel: str, now_us: int) -> Outcome:
    """Send a test message on a channel, and its end, so that no incident stays open; what came of it. Raises
    SettingsError for a channel that there is not."""
    if channel not in watch.channels:
        raise SettingsError(_no_channel(watch, channel))
    notice = Notice(
        "test", "Test", f"This is a test of the channel {channel}; nothing is wrong", "Now", "info", "trigger", {},
        {"sent_by": "claude-force alerts test"}, f"test-{now_us}", now_us, now_us, place.database.name,
        host_name() or "",
    )  # fmt: skip
    found = watch.channels[channel]
    begun = found.send([notice], f"test-{now_us}", None)
    # Only where one incident is one alert does an end say more than a second message would.
    if begun.status != "delivered" or found.groups:
        return begun
    return found.send([replace(notice, action="resolve")], f"test-{now_us}-end", begun.receipt)
