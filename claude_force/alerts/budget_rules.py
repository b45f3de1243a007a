"""Budgets as alert rules: each budget of `performance.budgets` brings three, which are on.

| rule                            | fires when                                                 |
|---------------------------------|------------------------------------------------------------|
| budget-project-shop-month-80    | 80 % of the money is spent                                 |
| budget-project-shop-month-100   | all of it is spent                                         |
| budget-project-shop-month-ahead | more than all of it will be spent by the end of the period |

They are rules as all others are. What `performance.alerts` says of one of these names changes it or switches it off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from claude_force.settings.budgets import RULES_PREFIX, load_budgets
from claude_force.settings.claude_json import Settings
from claude_force.settings.key_path import path_text
from claude_force.text import for_terminal

SHARES = {80: "warning", 100: "error"}
"""The percentages of a budget at which an alert begins, and its severity."""


class _Pace(NamedTuple):
    """How soon and how often the alerts of a budget speak. `repeat` is longer than any period of its kind, so that each
    period has one message."""

    repeat: str
    ahead_for: str
    ahead_kept: str


_PACES = {"day": _Pace("25h", "30m", "1h"), "week": _Pace("169h", "6h", "24h"), "month": _Pace("745h", "6h", "24h")}


def rules_of(settings: Settings) -> dict[str, Any]:
    """See `configured_rules`."""
    return configured_rules(settings.alerts, settings.budgets)


def configured_rules(alerts: Mapping[str, Any], budgets: Iterable[Any]) -> dict[str, Any]:
    """The rules of `performance.alerts` by name, then those of the budgets, with what the alerts say of them. What they
    say of a budget that was removed is left out."""
    found = {name: value for name, value in alerts.items() if not _changes_a_budget(name, value)}
    for name, rule in _rules_of_budgets(budgets):
        own = alerts.get(name, {})
        if own is None or isinstance(own, bool):
            own = {"enabled": own is True}
        found[name] = {**rule, **own} if isinstance(own, Mapping) else own
    return found


def _changes_a_budget(name: str, value: object) -> bool:
    """Whether the value of a rule in claude.json can only be a change of a rule that a budget brings."""
    is_whole = isinstance(value, Mapping) and "metric" in value
    return name.startswith(RULES_PREFIX) and (value is True or isinstance(value, Mapping)) and not is_whole


def problems_of(settings: Settings) -> list[str]:
    """One line for each budget with an error."""
    return load_budgets(settings.budgets).problems


def left_over(settings: Settings) -> list[str]:
    """One line for each rule in `performance.alerts` that changes one of a budget which is not there."""
    found = rules_of(settings)
    return [
        f"performance.alerts: {for_terminal(name)}: no budget brings this rule; to remove it: "
        f"claude-force config unset {path_text(('performance', 'alerts', name))}"
        for name in settings.alerts
        if name not in found
    ]


def _rules_of_budgets(budgets: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for budget in load_budgets(budgets).budgets:
        pace, title = _PACES[budget.per], f"Budget of {budget.title} per {budget.per}"
        common = {"window": budget.per, **budget.scope, "repeat": pace.repeat}
        for percent, severity in SHARES.items():
            yield f"{budget.name}-{percent}", {
                "metric": "total_cost", "operator": ">=", "threshold": budget.usd * percent / 100, **common,
                "title": f"{title}: {percent}% spent", "severity": severity, "keep_firing_for": "0s",
            }  # fmt: skip
        yield f"{budget.name}-ahead", {
            "metric": "cost_forecast", "operator": ">", "threshold": budget.usd, **common,
            "title": f"{title}: forecast", "for": pace.ahead_for, "keep_firing_for": pace.ahead_kept,
        }  # fmt: skip
