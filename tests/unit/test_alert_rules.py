"""Alert rules: the defaults have the guide's numbers, users' own rules may be anything, and every mistake is one
line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.alerts.metrics import METRICS
from claude_force.alerts.rules import DEFAULTS, Rule, load_rules
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from tests.conftest import ROOT

OURS = {
    "success-rate": ("success_rate", "<", 95, HOUR_US, "warning", 10),
    "success-rate-critical": ("success_rate", "<", 90, 15 * MINUTE_US, "critical", 10),
    "p95-latency": ("p95_latency_ms", ">", 10_000, HOUR_US, "warning", 20),
    "average-time": ("avg_execution_time_ms", ">", 10_000, HOUR_US, "warning", 10),
    "cost-per-hour": ("total_cost", ">", 1, HOUR_US, "warning", 1),
    "cost-per-execution": ("avg_cost_per_execution", ">", 50, DAY_US, "warning", 20),
    "token-growth": ("avg_tokens", ">", 30, 7 * DAY_US, "warning", 50),
    "haiku-share": ("model_share", "<", 50, DAY_US, "info", 50),
    "no-data": ("silence_hours", ">", 24, HOUR_US, "warning", 1),
    "error-budget-fast": ("burn_rate", ">", 14.4, HOUR_US, "critical", 10),
    "error-budget-slow": ("burn_rate", ">", 6, 6 * HOUR_US, "warning", 20),
    "five-hour-limit": ("five_hour_limit", ">=", 90, HOUR_US, "warning", 1),
    "weekly-limit": ("weekly_limit", ">=", 90, HOUR_US, "warning", 1),
}
"""Metric, operator, threshold, window, severity and least samples, as the guide has them."""

BUDGETS = {
    "daily-budget": ("total_cost", "day"),
    "daily-budget-forecast": ("cost_forecast", "day"),
    "monthly-budget": ("total_cost", "month"),
    "monthly-budget-forecast": ("cost_forecast", "month"),
}

OWN = {"metric": "total_cost", "operator": ">", "threshold": 5, "window": "1h"}
"""A rule of one's own."""

CHANGE = OWN | {"threshold": "+50%", "compared_to": "7d"}


def the_rule(name: str, value: object) -> Rule:
    """The only rule of a valid configuration."""
    rules, problems = load_rules({name: value})
    assert problems == {}
    (rule,) = rules
    return rule


def the_problem(name: str, value: object) -> str:
    """The problem of a rule; a valid rule beside it loads all the same."""
    rules, problems = load_rules({"before": OWN, name: value, "after": OWN})
    assert [rule.name for rule in rules] == ["before", "after"]
    assert list(problems) == [name]
    return problems[name]


@pytest.mark.parametrize("name", OURS)
def test_a_default_rule_has_the_numbers_of_the_guide(name: str) -> None:
    """Switched on with true, or with an empty object, a rule is as in the guide."""
    rule = the_rule(name, True)
    found = (rule.metric, rule.operator, rule.threshold, rule.window, rule.severity, rule.min_samples)
    assert (found, rule.channels) == (OURS[name], None)
    assert the_rule(name, {}) == rule


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_needs_a_threshold(name: str) -> None:
    """Only its owner knows a budget: without a threshold, it is a problem that says so."""
    rule = the_rule(name, {"threshold": 20})
    assert (rule.metric, rule.window, rule.threshold) == (*BUDGETS[name], 20)
    assert the_problem(name, True) == f"performance.alerts: {name}: needs a threshold (in US dollars)"


def test_these_are_all_default_rules() -> None:
    """There is no default rule beside those of these tables."""
    assert DEFAULTS.keys() == OURS.keys() | BUDGETS.keys()


def test_every_name_is_in_the_document() -> None:
    """docs/reference/alert-rules.md has every default rule, every field and every metric."""
    page = (ROOT / "docs" / "reference" / "alert-rules.md").read_text(encoding="utf-8")
    fields = [*re.findall(r"[a-z_]+(?=,|$)", the_problem("mine", OWN | {"zzzzzz": 1}).partition("there are: ")[2])]
    assert len(fields) == 22
    assert [name for name in (*DEFAULTS, *METRICS, *fields) if f"`{name}`" not in page] == []


def test_comparisons_of_the_default_rules() -> None:
    """Cost per execution compares to the baseline, tokens to the week before, burn rates have two windows."""
    assert the_rule("cost-per-execution", True).compared_to == "baseline"
    assert the_rule("token-growth", True).compared_to == 7 * DAY_US
    assert the_rule("haiku-share", True).family == "haiku"
    fast, slow = the_rule("error-budget-fast", True), the_rule("error-budget-slow", True)
    assert (fast.objective, fast.short_window_us) == (95, 5 * MINUTE_US)
    assert (slow.objective, slow.short_window_us) == (95, 30 * MINUTE_US)


def test_a_default_rule_with_changes() -> None:
    """Given fields replace the defaults, others stay; null removes a field, so the general default applies."""
    rule = the_rule("success-rate", {"threshold": 99, "for": "5m", "min_samples": None, "group_by": "agent"})
    assert (rule.threshold, rule.for_us, rule.min_samples, rule.group_by) == (99, 5 * MINUTE_US, 1, "agent")
    assert (rule.metric, rule.window, rule.title) == ("success_rate", HOUR_US, "Low Success Rate")


@pytest.mark.parametrize("off", [False, None])
def test_a_rule_that_is_off(off: object) -> None:
    """False and null switch a rule off, whatever its name."""
    assert load_rules({"success-rate": off, "mine": off}) == ([], {})


def test_a_custom_rule_with_every_field() -> None:
    """Every field is read; a name may replace a list of names, and duplicates are removed."""
    rule = the_rule(
        "mine",
        {
            "metric": "burn_rate", "operator": ">=", "threshold": 2.5, "window": "2d", "title": "Mine",
            "severity": "error", "for": "0s", "keep_firing_for": "1m", "min_samples": 0, "repeat": "1w",
            "agent": "a", "model": ["b", "c"], "project": ["/d"], "source": "e", "group_by": "project",
            "channels": ["slack", "slack", "ops"], "objective": 99.9, "short_window": "1h",
        },
    )  # fmt: skip
    assert rule == Rule(
        "mine", "burn_rate", ">=", 2.5, 2 * DAY_US, "Mine", "error", None, 0, MINUTE_US, 0, 7 * DAY_US,
        ("a",), ("b", "c"), ("/d",), ("e",), "project", ("slack", "ops"), None, 99.9, HOUR_US,
    )  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_a_rule(metric: str) -> None:
    """A custom rule may be on any metric, and has the title of the metric."""
    more: dict[str, dict[str, Any]] = {
        "burn_rate": {"objective": 90, "short_window": "5m"},
        "model_share": {"family": "opus"},
        "cost_forecast": {"window": "month"},
    }
    rule = the_rule("mine", OWN | {"metric": metric} | more.get(metric, {}))
    assert (rule.metric, rule.title) == (metric, METRICS[metric].title)


@pytest.mark.parametrize("family", ["haiku", "Haiku", "claude-haiku-4-5"])
def test_a_family_may_be_capitalized_or_a_model(family: str) -> None:
    """It is the same family: otherwise a typo would make a rule fire."""
    assert the_rule("haiku-share", {"family": family}).family == "haiku"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"treshold": 5}, ("'treshold'", "did you mean threshold?")),
        ({"zzzzzz": 5}, ("'zzzzzz'", "there are: metric, operator, threshold")),
        ({"z" * 10_000: 5}, ("there are: metric",)),
        ({"a\nb": 5}, (r"'a\nb'",)),
        ({"metric": "succes_rate"}, ("metric", "did you mean success_rate?")),
        ({"metric": "zzz"}, ("metric", "there are: success_rate")),
        ({"metric": 5}, ("metric must be text, not a number",)),
        ({"metric": None}, ("needs a metric",)),
        ({"operator": "=="}, ("operator must be one of >, >=, <, <=",)),
        ({"operator": []}, ("operator must be one of",)),
        ({"operator": None}, ("needs a operator",)),
        ({"threshold": True}, ("threshold must be a number, not true",)),
        ({"threshold": "95"}, ("threshold must be a number, not text",)),
        ({"threshold": [1]}, ("threshold must be a number, not an array",)),
        ({"threshold": float("nan")}, ("threshold must be a number between",)),
        ({"threshold": float("inf")}, ("threshold must be a number between",)),
        ({"threshold": float("-inf")}, ("threshold must be a number between",)),
        ({"threshold": 10**400}, ("threshold must be a number between",)),
        ({"threshold": "+x%"}, ("threshold '+x%' is not a change such as +50%",)),
        ({"threshold": "\ud800%"}, (r"'\ud800%' is not a change",)),
        ({"threshold": "nan%", "compared_to": "7d"}, ("threshold must be a number between",)),
        ({"threshold": "1e400%", "compared_to": "7d"}, ("threshold must be a number between",)),
        ({"threshold": "-100%", "compared_to": "7d"}, ("threshold", "leaves nothing")),
        ({"threshold": "+50%"}, ("needs compared_to",)),
        ({"threshold": 50, "compared_to": "7d"}, ("with compared_to, threshold is a change",)),
        ({"threshold": None}, ("needs a threshold (in US dollars)",)),
        ({"window": "-1h"}, ("window '-1h' is not a length of time such as 30s", "day, week or month")),
        ({"window": "1y"}, ("window '1y'",)),
        ({"window": "year"}, ("window 'year'",)),
        ({"window": "0h"}, ("window must be longer than 0",)),
        ({"window": "367d"}, ("window is longer than a year",)),
        ({"window": 3600}, ("window must be text, not a number",)),
        ({"window": ["day"]}, ("window must be text, not an array",)),
        ({"for": "5"}, ("for '5' is not a length of time",)),
        ({"for": True}, ("for must be text, not true",)),
        ({"for": "-5m"}, ("for '-5m'",)),
        ({"keep_firing_for": "999999w"}, ("keep_firing_for is longer than a year",)),
        ({"repeat": "0m"}, ("repeat must be longer than 0",)),
        ({"min_samples": -1}, ("min_samples must be a whole number",)),
        ({"min_samples": 1.5}, ("min_samples must be a whole number",)),
        ({"min_samples": True}, ("min_samples must be a whole number",)),
        ({"severity": "fatal"}, ("severity must be one of critical, error, warning, info",)),
        ({"title": ""}, ("title must not be empty",)),
        ({"title": "\ud800"}, ("title", "cannot be stored")),
        ({"agent": ""}, ("agent must not be empty",)),
        ({"agent": ["a", 5]}, ("agent must be text, not a number",)),
        ({"agent": "a\0b"}, ("agent", "cannot be stored")),
        ({"model": {"a": 1}}, ("model must be text, not an object",)),
        ({"project": "\udcff"}, ("project", "cannot be stored")),
        ({"source": [[]]}, ("source must be text, not an array",)),
        ({"channels": [None]}, ("channels must be text, not null",)),
        ({"channels": "\ud800"}, ("channels", "cannot be stored")),
        ({"group_by": "workflow"}, ("group_by must be one of agent, model, project",)),
        ({"group_by": ["agent"]}, ("group_by must be one of",)),
        ({"compared_to": "last week", "threshold": "+5%"}, ("compared_to 'last week'", "baseline:NAME")),
        ({"compared_to": "baseline:", "threshold": "+5%"}, ("compared_to names no baseline",)),
        ({"compared_to": "baseline:\0", "threshold": "+5%"}, ("compared_to", "cannot be stored")),
        ({"compared_to": "0d", "threshold": "+5%"}, ("compared_to must be longer than 0",)),
        ({"compared_to": "baseline", "threshold": "+5%"}, ("total_cost is not in baselines", "7d")),
        ({"compared_to": "7d", "threshold": "+5%", "window": "day"}, ("must be a length such as 24h",)),
        ({"family": "haiku"}, ("family is only for model_share",)),
        ({"objective": 95}, ("objective is only for burn_rate",)),
        ({"short_window": "5m"}, ("short_window is only for burn_rate",)),
        ({"metric": "model_share"}, ("model_share needs family",)),
        ({"metric": "burn_rate", "objective": 95}, ("burn_rate needs short_window",)),
        ({"metric": "burn_rate", "short_window": "5m"}, ("burn_rate needs objective",)),
        ({"metric": "burn_rate", "objective": 95, "short_window": "1h"}, ("short_window must be shorter",)),
        ({"metric": "burn_rate", "objective": 100, "short_window": "5m"}, ("objective must be a percentage",)),
        ({"metric": "burn_rate", "objective": True, "short_window": "5m"}, ("objective must be a number",)),
        ({"metric": "cost_forecast"}, ("cost_forecast needs the window day, week or month",)),
        ({"metric": "silence_hours", "group_by": "agent"}, ("silence_hours cannot be grouped",)),
        (CHANGE | {"metric": "silence_hours"}, ("silence_hours cannot be compared",)),
        (CHANGE | {"metric": "weekly_limit"}, ("weekly_limit cannot be compared",)),
        ({"metric": "five_hour_limit", "group_by": "agent"}, ("five_hour_limit cannot be grouped",)),
        (
            {"metric": "five_hour_limit_forecast", "model": "m"},
            ("five_hour_limit_forecast is of the whole plan; it has no agent, model, project, source or branch",),
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_rule_field_and_remedy(change: dict[str, Any], parts: tuple[str, ...]) -> None:
    """Whatever is wrong with a rule is one short line that begins with its name, and the other rules load."""
    problem = the_problem("mine", OWN | change)
    assert problem.startswith("performance.alerts: mine: ")
    assert problem.isprintable()
    assert len(problem) < 500
    assert [part for part in parts if part not in problem] == []


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("", OWN, "a name has 1 to 100 printable characters"),
        ("  ", OWN, "a name has"),
        ("x" * 101, OWN, "a name has"),
        ("a@b", OWN, "no @"),
        ("a\nb", OWN, "printable characters"),
        ("\x1b[31m", OWN, "printable characters"),
        ("\ud800", OWN, "printable characters"),
        ("sucess-rate", True, "did you mean success-rate?"),
        ("zzz", True, "there are: success-rate, "),
        ("sucess-rate", {"threshold": 90}, "needs a metric; did you mean success-rate?"),
        ("success-rate", 95, "must be true, false or an object, not a number"),
        ("success-rate", "on", "not text"),
        ("success-rate", [], "not an array"),
        ("success-rate", {"metric": None}, "needs a metric"),
        ("cost-per-execution", {"compared_to": None}, "needs compared_to"),
        ("success-rate", {"compared_to": "7d"}, "threshold is a change"),
    ],
)
def test_an_invalid_name_or_value(name: str, value: object, part: str) -> None:
    """It is one line too, whatever the name is made of."""
    problem = the_problem(name, value)
    assert part in problem
    assert problem.isprintable()


_words = st.one_of(
    st.sampled_from([*METRICS, ">", "<", "1h", "day", "0s", "7d", "baseline", "baseline:x", "+5%", "haiku", "agent"]),
    st.text(max_size=20),
)
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)),
    max_leaves=8,
)
_fields = st.sampled_from(
    [
        "metric", "operator", "threshold", "window", "compared_to", "title", "severity", "for", "keep_firing_for",
        "min_samples", "repeat", "agent", "model", "project", "source", "group_by", "channels", "family", "objective",
        "short_window",
    ]
)  # fmt: skip
_names = st.one_of(st.sampled_from(list(DEFAULTS)), st.text(max_size=8), st.just("mine"))
_rules = st.one_of(
    _values,
    st.dictionaries(st.one_of(_fields, _words), _values, max_size=6),
    st.builds(lambda given: OWN | given, st.dictionaries(_fields, _values, max_size=2)),
)


@given(st.dictionaries(_names, _rules, max_size=4))
def test_no_settings_raise(configured: dict[str, Any]) -> None:
    """Whatever JSON is in claude.json, each name is a rule, or off, or has one problem."""
    rules, problems = load_rules(configured)
    off = [name for name, value in configured.items() if value is False or value is None]
    found = [*(rule.name for rule in rules), *problems]
    assert sorted(found) == sorted(name for name in configured if name in found)
    assert set(configured) - set(found) <= set(off)
    assert not {rule.name for rule in rules} & set(off)
    for problem in problems.values():
        assert problem.isprintable()
    for rule in rules:
        assert json.dumps([rule.name, rule.title]).isprintable()
        (rule.name + rule.title + "".join(rule.agents)).encode()
