"""Budgets of claude.json: what is read, what is refused, and the rules that they bring."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.alerts.budget_rules import configured_rules, left_over
from claude_force.alerts.rules import load_rules
from claude_force.settings.budgets import SCOPES, Budget, load_budgets
from claude_force.settings.claude_json import Settings

SHOP = {"project": "shop", "usd": 200, "per": "month"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "must be an object, not a number, such as {"),
        ({"usd": 5}, "needs per, such as {"),
        ({"per": "day"}, "needs usd, such as {"),
        (SHOP | {"usd": -1}, "usd must be from 0.01 to 1,000,000,000, not -1"),
        (SHOP | {"usd": 0}, "usd must be from 0.01"),
        (SHOP | {"usd": 1e-10}, "usd must be from 0.01 to 1,000,000,000, not 1e-10"),
        (SHOP | {"usd": float("nan")}, "usd must be from 0.01"),
        (SHOP | {"usd": "5"}, "usd must be a number, not text"),
        (SHOP | {"usd": True}, "usd must be a number, not true"),
        (SHOP | {"per": "year"}, "per must be one of day, week, month"),
        (SHOP | {"per": ["day"]}, "per must be one of day, week, month"),
        (SHOP | {"project": ""}, "project must not be empty; for all of them leave project out"),
        (SHOP | {"agent": 7}, "agent must be text, not a number"),
        (SHOP | {"agent": None}, "agent must be text, not null"),
        (SHOP | {"branch": "a\0b"}, "branch 'a\\x00b' holds a character that cannot be stored"),
        (SHOP | {"projct": "x"}, "there is no 'projct'; did you mean project?"),
        (SHOP | {"usd": 5}, "there is one of project shop per month already; keep one of the two"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_with_its_remedy(value: Any, problem: str) -> None:
    """It names the budget by its number, and the others count."""
    found = load_budgets([SHOP, value])
    assert found.budgets == [Budget(200, "month", "shop")]
    (line,) = found.problems
    assert line.startswith(f"performance.budgets: budget 2: {problem}")
    assert line.isprintable()


def test_the_rules_of_a_budget() -> None:
    """80 % and 100 % spent, and a forecast above 100 %; a reminder comes later than the period ends."""
    rules, problems = load_rules(configured_rules({}, [SHOP | {"branch": "main"}]))
    assert problems == {}
    found = {rule.name: (rule.metric, rule.operator, rule.threshold, rule.window, rule.severity) for rule in rules}
    name = "budget-project-shop-branch-main-month"
    assert found == {
        f"{name}-80": ("total_cost", ">=", 160, "month", "warning"),
        f"{name}-100": ("total_cost", ">=", 200, "month", "error"),
        f"{name}-ahead": ("cost_forecast", ">", 200, "month", "warning"),
    }
    assert {(rule.projects, rule.branches) for rule in rules} == {(("shop",), ("main",))}
    assert rules[0].title == "Budget of project shop, branch main per month: 80% spent"


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (True, ("month", "warning")),
        ({"severity": "critical"}, ("month", "critical")),
        (False, None),
        (None, None),
        ({"enabled": False, "severity": "critical"}, None),
    ],
    ids=str,
)
def test_alerts_change_a_rule_of_a_budget(own: Any, shown: tuple[str, str] | None) -> None:
    """What `performance.alerts` says of its name comes before what the budget brings."""
    name = "budget-project-shop-month-80"
    rules, problems = load_rules(configured_rules({name: own, "no-data": True}, [SHOP]))
    assert problems == {}
    assert {rule.name: (rule.window, rule.severity) for rule in rules}.get(name) == shown
    assert len(rules) == 3 + (shown is not None)


def test_what_is_left_of_a_removed_budget_does_nothing() -> None:
    """It is no error, so that a budget can be removed; every command of alerts says how to remove it. A whole rule of
    such a name is the user's own."""
    own = {"metric": "total_cost", "operator": ">", "threshold": 1, "window": "day"}
    left = {"budget-all-day-80": {"severity": "info"}, "budget-all-day-100": True}
    alerts = {**left, "budget-all-day-ahead": False, "budget-mine": own}
    assert configured_rules(alerts, []) == {"budget-all-day-ahead": False, "budget-mine": own}
    lines = left_over(Settings(alerts=alerts))
    assert [line.partition("; ")[2] for line in lines] == [
        f"to remove it: claude-force config unset performance.alerts.{name}" for name in left
    ]
    assert left_over(Settings(alerts=alerts, budgets=[{"usd": 1, "per": "day"}])) == []


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=120)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(SCOPES, names)), max_size=4))
def test_any_name_gives_rules_that_load(scopes: list[dict[str, str]]) -> None:
    """Each budget without an error has three rules of its own, whatever agents and branches are called."""
    configured = [{"usd": 1, "per": "day", **scope} for scope in scopes]
    found = load_budgets(configured)
    rules, problems = load_rules(configured_rules({}, configured))
    assert problems == {}
    assert len(rules) == 3 * len(found.budgets)
    assert len(found.budgets) + len(found.problems) == len(scopes)
