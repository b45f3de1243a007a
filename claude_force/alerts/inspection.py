"""What people ask of alerts: every rule and alert, their history, and why one rule fires or not. Nothing is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claude_force.alerts.check import AlertSetup, for_explanation, load_alert_setup, preview_check
from claude_force.alerts.evaluation import Alert, Evaluation
from claude_force.alerts.rules import Rule
from claude_force.analytics.groups import RowChoice
from claude_force.clock import LATEST_US
from claude_force.database.queries import alerts as queries
from claude_force.database.rows.alerts import FAILED, Delivery, EventRow, Silence
from claude_force.database.workspace import Workspace
from claude_force.time_windows import ALL_TIME, Window, last_window

HISTORY_DAYS = 7
"""The period of the history of alerts, unless one is chosen."""

MOST_TRANSITIONS = 50
"""The transitions of alerts that are shown without a limit."""


class AlertList(NamedTuple):
    """The alerts as a check would find them now, and the silences in force, by rule."""

    setup: AlertSetup
    found: Evaluation
    silences: Mapping[str, Silence]

    @property
    def on(self) -> set[str]:
        """The names of the rules that are on."""
        return {rule.name for rule in self.setup.rules}

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule, on or off, and nothing that one left behind."""
        return not (self.setup.rules or self.found.alerts or self.silences or self.setup.off)


class AlertHistory(NamedTuple):
    """The chosen transitions of a period, and the deliveries that failed in it."""

    period: str
    events: Sequence[EventRow]
    failed: Sequence[Delivery]


class Explanation(NamedTuple):
    """A rule as it would be if it were on, its alerts as a check would find them now, its silence, and what was sent
    in their present episodes."""

    rule: Rule
    is_on: bool
    alerts: Sequence[Alert]
    silence: Silence | None
    sent: Sequence[Delivery]


def list_alerts(workspace: Workspace, now_us: int) -> AlertList:
    """Every rule and alert. Raises DatabaseError."""
    setup = load_alert_setup(workspace)
    with workspace.database.read() as connection:
        found = preview_check(connection, workspace, setup, now_us)
        return AlertList(setup, found, queries.silences(connection, now_us))


def read_history(workspace: Workspace, window: Window, now_us: int, rows: RowChoice) -> AlertHistory:
    """The newest transitions of a period (all time: of the last `HISTORY_DAYS`), or the oldest ones, oldest first.
    Raises DatabaseError."""
    if window == ALL_TIME:
        window = last_window(now_us, days=HISTORY_DAYS)
    since_us, until_us = window.start_us or 0, LATEST_US if window.end_us is None else window.end_us
    most, is_ascending = rows.limit or MOST_TRANSITIONS, bool(rows.is_ascending)
    with workspace.database.read() as connection:
        events = queries.events(connection, since_us, most, until_us, is_ascending=is_ascending)
        return AlertHistory(window.label, events, queries.by_status(connection, FAILED, since_us, until_us))


def explain(workspace: Workspace, name: str, now_us: int) -> Explanation:
    """Why a rule fires or not. Raises SettingsError for a rule that does not exist or has an error, and
    DatabaseError."""
    whole = load_alert_setup(workspace)
    setup = for_explanation(whole, name)
    with workspace.database.read() as connection:
        found = preview_check(connection, workspace, setup, now_us).alerts
        silence = queries.silences(connection, now_us).get(name)
        episodes = [alert.status.episode for alert in found if alert.status.episode]
        sent = [delivery for episode in episodes for delivery in queries.of_episode(connection, episode)]
    is_on = name in {rule.name for rule in whole.rules}
    return Explanation(setup.rules[0], is_on, found, silence, sent)
