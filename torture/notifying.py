"""One alert check in a process that may be killed: rules that fire soon, and channels with short timeouts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from claude_force.alerts.channels.base import Channel
from claude_force.alerts.channels.settings import load_channels
from claude_force.alerts.check import AlertSetup
from claude_force.alerts.configured import ConfiguredRules
from claude_force.alerts.evaluation import NotificationContext, evaluate
from claude_force.alerts.outbox import deliver
from claude_force.alerts.rules import load_rules
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.network.connection import Patience

IMPATIENT = Patience(0.5, 1.0)
"""The timeouts of a channel. A hanging service must not cost a campaign ten seconds."""

RULES = {
    "success-rate": {
        "operator": "<", "threshold": 50, "min_samples": 5, "group_by": "agent", "severity": "critical",
        "repeat": "20m", "keep_firing_for": "0s", "for": "0s",
    },
}  # fmt: skip


def check_and_notify(location: str, configured: dict[str, Any], environment: dict[str, str], at_us: int) -> None:
    """One check, in a process that may be killed."""
    with closing(open_database(location)) as database:
        check_once(database, make_alert_setup(configured, environment), at_us)


def check_once(database: Database, setup: AlertSetup, at_us: int) -> None:
    """The job `alerts` at a given time."""
    evaluate(database, setup.rules, notification_context(setup), at_us, UTC)
    deliver(database, setup.channels, lambda: at_us)


def make_alert_setup(configured: Mapping[str, Any], environment: Mapping[str, str]) -> AlertSetup:
    """The rules and channels, with short timeouts."""
    rules, broken = load_rules(RULES)
    channels, problems = load_channels(configured, environment, Path.cwd())
    assert not broken
    assert not problems
    impatient: dict[str, Channel] = {
        name: replace(channel, patience=IMPATIENT)  # type: ignore[type-var]
        for name, channel in channels.items()
    }
    return AlertSetup(rules, impatient, ConfiguredRules.of(RULES, channel=""), ())


def notification_context(setup: AlertSetup) -> NotificationContext:
    """The recipients of alerts."""
    return NotificationContext({name: channel.groups for name, channel in setup.channels.items()}, "metrics.db", "here")
