"""Budgets: the list `performance.budgets` of claude.json as typed values.

    {"usd": 400, "per": "month"}                                       all executions
    {"project": "shop", "usd": 200, "per": "month"}
    {"project": "shop", "branch": "main", "usd": 5, "per": "day"}

A budget with an error is reported, and the others count. Two budgets never have the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from claude_force.settings.values import KIND_NAMES, nearest, value_problem
from claude_force.text import for_terminal, kind_of

SECTION = "performance.budgets"
PERIODS = ("day", "week", "month")
SCOPES = ("project", "agent", "branch")
"""The fields that say of what a budget is."""

RULES_PREFIX = "budget-"
"""What the names of the alert rules of budgets begin with."""

_LEAST_USD, _MOST_USD = 0.01, 1_000_000_000
_NAME_LIMIT = 60
_FIELDS = (*SCOPES, "usd", "per")
_EXAMPLE = '{"project": "shop", "usd": 200, "per": "month"}'


class Budget(NamedTuple):
    """US dollars for each calendar day, week (from Monday) or month, of one project, agent and branch; None is all of
    them."""

    usd: float
    per: str
    project: str | None = None
    agent: str | None = None
    branch: str | None = None

    @property
    def scope(self) -> dict[str, str]:
        """Of what it is: names by "project", "agent" and "branch"; {} for all executions."""
        return {name: found for name in SCOPES if (found := getattr(self, name)) is not None}

    @property
    def title(self) -> str:
        """Of what it is, in words: "project shop, branch main"."""
        return ", ".join(f"{name} {found}" for name, found in self.scope.items()) or "all"

    @property
    def name(self) -> str:
        """Its name, which begins those of its alert rules: "budget-project-shop-month"."""
        words = [word for pair in self.scope.items() for word in pair] or ["all"]
        text = "-".join(words)
        # The name of a rule is short and printable, and has no @.
        safe = "".join(char if char.isprintable() and not char.isspace() and char != "@" else "_" for char in text)
        if safe != text or len(safe) > _NAME_LIMIT:
            # Imported here: nearly all names are usual.
            import hashlib

            digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
            safe = f"{safe[:_NAME_LIMIT]}-{digest}"
        return f"{RULES_PREFIX}{safe}-{self.per}"


class Budgets(NamedTuple):
    """The budgets without an error, in order, and one line for each of the others."""

    budgets: list[Budget]
    problems: list[str]


def load_budgets(configured: Iterable[Any]) -> Budgets:
    """The budgets of `performance.budgets`. Of two for the same executions and the same period, the first counts."""
    found: dict[str, Budget] = {}
    problems: list[str] = []
    for number, value in enumerate(configured, 1):
        problem = _problem(value)
        if problem is None:
            budget = Budget(**value)
            if budget.name not in found:
                found[budget.name] = budget
                continue
            problem = f"there is one of {for_terminal(budget.title)} per {budget.per} already; keep one of the two"
        problems.append(f"{SECTION}: budget {number}: {problem}")
    return Budgets(list(found.values()), problems)


def _problem(value: object) -> str | None:
    """What is wrong with one budget, and the remedy; None if nothing is."""
    if not isinstance(value, Mapping):
        return f"must be {KIND_NAMES[dict]}, not {kind_of(value)}, such as {_EXAMPLE}"
    for name in value:
        if name not in _FIELDS:
            return f"there is no {name[:40]!a}{nearest(name[:40], _FIELDS)}"
    for name in ("usd", "per"):
        if name not in value:
            return f"needs {name}, such as {_EXAMPLE}"
    return _usd_problem(value["usd"]) or _period_problem(value["per"]) or _scope_problem(value)


def _usd_problem(value: object) -> str | None:
    problem = value_problem(value, float)
    if problem is None and not _LEAST_USD <= value <= _MOST_USD:  # type: ignore[operator]
        problem = f"must be from {_LEAST_USD} to {_MOST_USD:,}, not {value}"
    return None if problem is None else f"usd {problem}"


def _period_problem(value: object) -> str | None:
    return None if value in PERIODS else f"per must be one of {', '.join(PERIODS)}"


def _scope_problem(value: Mapping[str, Any]) -> str | None:
    for name in SCOPES:
        if name not in value:
            continue
        problem = value_problem(value[name], str)
        if problem is None and not value[name].strip():
            problem = f"must not be empty; for all of them leave {name} out"
        # No engine can look such a name up.
        if problem is None and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value[name]):
            problem = f"{value[name][:40]!a} holds a character that cannot be stored"
        if problem is not None:
            return f"{name} {problem}"
    return None
