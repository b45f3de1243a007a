"""One round of alerting as a sender that may be killed makes it: rules that break soon, channels that wait briefly."""

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
from claude_force.alerts.evaluation import NotificationContext, evaluate
from claude_force.alerts.outbox import deliver
from claude_force.alerts.rules import load_rules
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.network.connection import Patience

IMPATIENT = Patience(0.5, 1.0)
"""How long a channel waits here: a hanging service costs a campaign no ten seconds."""

RULES = {
    "success-rate": {
        "operator": "<", "threshold": 50, "min_samples": 5, "group_by": "agent", "severity": "critical",
        "repeat": "20m", "keep_firing_for": "0s", "for": "0s",
    },
}  # fmt: skip


def tell(location: str, configured: dict[str, Any], environment: dict[str, str], at_us: int) -> None:
    """One round, as a process that may be killed."""
    with closing(open_database(location)) as database:
        one_round(database, load_alert_setup(configured, environment), at_us)


def one_round(database: Database, watch: AlertSetup, at_us: int) -> None:
    """What the job `alerts` does, at a time."""
    evaluate(database, watch.rules, told_of(watch), at_us, UTC)
    deliver(database, watch.channels, lambda: at_us)


def load_alert_setup(configured: Mapping[str, Any], environment: Mapping[str, str]) -> AlertSetup:
    """What is watched, with impatient channels."""
    rules, broken = load_rules(RULES)
    channels, problems = load_channels(configured, environment, Path.cwd())
    assert not broken
    assert not problems
    impatient: dict[str, Channel] = {
        name: replace(channel, patience=IMPATIENT)  # type: ignore[type-var]
        for name, channel in channels.items()
    }
    return AlertSetup(rules, impatient, frozenset(RULES), ())


def told_of(watch: AlertSetup) -> NotificationContext:
    """Where alerts are told."""
    return NotificationContext({name: channel.groups for name, channel in watch.channels.items()}, "metrics.db", "here")
