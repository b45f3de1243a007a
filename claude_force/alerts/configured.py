"""Which rules claude.json has on and off, and so which stored alerts have ended because nothing evaluates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claude_force.alerts.budget_rules import problems_of, rules_of
from claude_force.alerts.decision import Reason, State
from claude_force.alerts.rules import DEFAULTS, is_off
from claude_force.database.contract import Connection
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.queries import jobs
from claude_force.database.rows.alerts import AlertRow
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.executions.origin import host_name
from claude_force.settings.budgets import RULES_PREFIX
from claude_force.settings.claude_json import load_settings
from claude_force.settings.location import database_location

ONE_CHANNEL = "@"
"""An alert that is checked for one channel alone is named RULE@CHANNEL. It knows nothing of the other channels."""


@dataclass(frozen=True, slots=True)
class ConfiguredRules:
    """The names of the rules that are on, those with errors included, and of those that are off.

    `channel`: only alerts that are checked for this channel alone end; with "" only those that are checked for all
    channels; None for all. `only`: only alerts of these rules end. With `has_faulty_budget` it is not known which rules
    the budgets bring, so no alert of a budget ends.
    """

    on: frozenset[str]
    off: frozenset[str] = frozenset()
    channel: str | None = None
    only: frozenset[str] | None = None
    has_faulty_budget: bool = False

    @classmethod
    def of(
        cls, alerts: Mapping[str, Any], channel: str | None = None, *, has_faulty_budget: bool = False
    ) -> ConfiguredRules:
        """The rules of `performance.alerts` and of the budgets."""
        off = frozenset(name for name, value in alerts.items() if is_off(value))
        # An error in a rule must not end its alerts.
        return cls(frozenset(alerts) - off, off, channel, has_faulty_budget=has_faulty_budget)

    def end_of(self, alert_name: str) -> Reason | None:
        """Why the alerts of this name have ended; None if they go on. A default rule that is neither on nor off may be
        checked by its name for one channel: `alerts check --rule --channel`."""
        name, _, channel = alert_name.partition(ONE_CHANNEL)
        if name in self.on or (self.only is not None and name not in self.only):
            return None
        if self.has_faulty_budget and name.startswith(RULES_PREFIX) and name not in self.off:
            return None
        if self.channel not in (None, channel):
            return None
        is_named = self.channel is not None or self.only is not None
        if channel and not is_named and name in DEFAULTS and name not in self.off:
            return None
        return Reason.DISABLED if name in self.off else Reason.REMOVED


def rules_of_store(workspace: Workspace) -> ConfiguredRules | None:
    """The rules that claude.json has now, if the settings choose the database of the workspace: it decides which alerts
    go on. None if they do not, or cannot be read."""
    try:
        settings, _ = load_settings(workspace.home)
        is_ours = workspace.location == database_location(settings, workspace.home)
    except SettingsError:
        return None
    if not is_ours:
        return None
    return ConfiguredRules.of(rules_of(settings), has_faulty_budget=bool(problems_of(settings)))


def firing_alerts(connection: Connection, rules: ConfiguredRules | None) -> list[AlertRow]:
    """The alerts that fire, as the last check stored them and as far as they go on, by rule and labels."""
    firing = [row for row in alert_queries.alerts(connection) if row.state == State.FIRING]
    still_on = set(going_on(connection, [row.rule for row in firing], rules))
    return [row for row in firing if row.rule in still_on]


def going_on(connection: Connection, alert_names: Sequence[str], rules: ConfiguredRules | None) -> Sequence[str]:
    """The names without those of alerts whose rule was removed or switched off since the last check. All, if another
    machine checks its own rules, or if `rules` is None."""
    if rules is None or not alert_names:
        return alert_names
    last = jobs.last_run(connection, "alerts")
    if last is not None and last.host != host_name():
        return alert_names
    return [name for name in alert_names if rules.end_of(name) is None]
