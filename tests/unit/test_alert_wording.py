"""The words of alerts, as a person reads them who was woken by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claude_force.alerts import wording
from claude_force.alerts.decision import Measurement, Outlook, Reason
from claude_force.alerts.metrics import METRICS
from claude_force.alerts.notification import Action
from claude_force.alerts.rules import Rule, load_rules
from claude_force.executions.totals import Totals


def the_rule(name: str, value: Any = True) -> Rule:
    """One rule."""
    (rule,), _ = load_rules({name: value})
    return rule


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("success-rate", True, "Success rate < 95.0% (last 1 hour)"),
        ("success-rate-critical", True, "Success rate < 90.0% (last 15 minutes)"),
        ("p95-latency", True, "P95 latency > 10.0s (last 1 hour)"),
        ("cost-per-hour", True, "Cost > $1.00 (last 1 hour)"),
        ("cost-per-execution", True, "Cost per execution > +50% of the baseline (last 1 day)"),
        (
            "cost-per-execution",
            {"compared_to": "baseline:v1"},
            "Cost per execution > +50% of the baseline v1 (last 1 day)",
        ),
        ("token-growth", True, "Tokens per execution > +30% of 1 week before (last 1 week)"),
        ("haiku-share", True, "Share of the model family haiku < 50.0% (last 1 day)"),
        ("daily-budget", {"threshold": 20}, "Cost > $20.00 (today)"),
        ("monthly-budget-forecast", {"threshold": 400}, "Forecast of the cost > $400.00 (this month)"),
        ("no-data", True, "Time since the last execution > 24.0 hours"),
        ("error-budget-fast", True, "Burn rate of the error budget > 14.4 times (last 1 hour)"),
        ("five-hour-limit", True, "Use of the five-hour limit >= 90.0%"),
        ("weekly-limit", {"metric": "weekly_limit_forecast"}, "Forecast of the weekly limit >= 90.0%"),
    ],
)
def test_a_condition_in_words(name: str, value: object, condition: str) -> None:
    """A rule as a sentence."""
    assert wording.condition(the_rule(name, value)) == condition


@pytest.mark.parametrize(
    ("value", "reason", "shown"),
    [
        ({}, Reason.BEGAN, "beyond its threshold"),
        ({"for": "5m"}, Reason.BEGAN, Reason.BEGAN),
        ({"keep_firing_for": "0s"}, Reason.ENDED, "within its threshold again"),
        ({}, Reason.ENDED, Reason.ENDED),
        ({}, Reason.TOO_FEW, Reason.TOO_FEW),
    ],
)
def test_a_reason_mentions_a_length_of_time_only_if_the_rule_has_one(value: object, reason: Reason, shown: str) -> None:
    """`for` is in a reason only if the rule waits."""
    assert wording.reason(reason, the_rule("success-rate", value)) == shown
    assert wording.reason(reason, None) == reason


@pytest.mark.parametrize(
    ("name", "found", "labels", "action", "summary"),
    [
        ("success-rate", (87.5, 95.0), {}, "trigger", "Success rate dropped to 87.5% (threshold 95.0%)"),
        ("success-rate", (87.5, 95.0), {}, "repeat", "Success rate dropped to 87.5% (threshold 95.0%)"),
        ("success-rate", (94.96, 95.0), {}, "trigger", "Success rate is just below 95.0%"),
        ("p95-latency", (10_001, 10_000), {}, "trigger", "P95 latency is just above 10.0s"),
        ("success-rate", (99.0, 95.0), {}, "resolve", "Success rate is back at 99.0% (threshold 95.0%)"),
        ("success-rate", (None, None), {}, "resolve", "Success rate is no longer measured"),
        (
            "p95-latency",
            (12_000, 10_000),
            {"agent": "x"},
            "trigger",
            "P95 latency of agent x rose to 12.0s (threshold 10.0s)",
        ),
        ("no-data", (30.0, 24.0), {}, "trigger", "No executions for 30.0 hours (threshold 24.0 hours)"),
        (
            "no-data",
            (0.5, 24.0),
            {},
            "resolve",
            "Time since the last execution is back at 0.5 hours (threshold 24.0 hours)",
        ),
    ],
)
def test_a_summary(
    name: str, found: tuple[float | None, float | None], labels: dict[str, str], action: Action, summary: str
) -> None:
    """The value and its threshold; for a resolve, that it is back."""
    assert wording.summary(the_rule(name), Measurement(*found, 10), labels, action) == summary


def test_details() -> None:
    """Under the guide's names; an unknown value says so."""
    totals = Totals(executions=8, successes=7, priced=8, cost_nanousd=12_340_000_000)
    found = wording.details(the_rule("success-rate"), Measurement(87.5, 95.0, 8, totals=totals))
    assert found == {
        "rule": "success-rate", "condition": "Success rate < 95.0% (last 1 hour)", "value": "87.5%",
        "threshold": "95.0%", "success_rate": "87.5%", "total_executions": 8, "failed_executions": 1,
        "total_cost": "$12.34", "time_window": "1 hour",
    }  # fmt: skip
    unpriced = Measurement(None, None, 0, Reason.NO_PRICE, totals=Totals(executions=1))
    nothing = wording.details(the_rule("daily-budget", {"threshold": 1}), unpriced)
    assert (nothing["total_cost"], nothing["time_window"], "value" in nothing) == ("unknown", "today", False)


AT = datetime(2025, 11, 14, 13, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "outlook", "summary"),
    [
        (
            92.0,
            Outlook(AT, None, "h"),
            "rose to 92.0% (threshold 90.0%); at this rate it runs out at 2025-11-14 13:40",
        ),
        (
            90.0,
            Outlook(None, AT, "h"),
            "rose to 90.0% (threshold 90.0%); it is reset at 2025-11-14 13:40",
        ),
        (
            100.0,
            Outlook(AT - timedelta(hours=1), AT, "h", is_used_up=True),
            "rose to 100.0% (threshold 90.0%); it is used up; it is reset at 2025-11-14 13:40",
        ),
        (90.04, Outlook(None, None, "h"), "is just above 90.0%"),
    ],
)
def test_the_limit_of_a_plan_names_the_hour(value: float, outlook: Outlook, summary: str) -> None:
    """When it runs out at this rate and when it is reset, as far as that is known."""
    measured = Measurement(value, 90.0, 0, outlook=outlook)
    found = wording.summary(the_rule("five-hour-limit"), measured, {}, "trigger")
    assert found == f"Use of the five-hour limit {summary}"


def test_details_of_the_limit_of_a_plan() -> None:
    """Its instants and its host in place of the sums of executions, which it does not have."""
    measured = Measurement(92.0, 90.0, 0, outlook=Outlook(AT, None, "laptop"))
    assert wording.details(the_rule("five-hour-limit"), measured) == {
        "rule": "five-hour-limit", "condition": "Use of the five-hour limit >= 90.0%", "value": "92.0%",
        "threshold": "90.0%", "runs_out_at": "2025-11-14T13:40+00:00", "resets_at": None, "host": "laptop",
        "time_window": "now",
    }  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_shows_its_values(metric: str) -> None:
    """A value of any size is one short line."""
    for value in (0, 0.00001, 1, 99.99, 1e15):
        assert METRICS[metric].show(value).isprintable()
        assert 0 < len(METRICS[metric].show(value)) < 30
