"""The metrics that alerts can measure. Names are the keys of `analytics summary --json` where it has them.

A sum of no executions is 0. A rate or an average of no executions is unknown: the alert is then `no data`, not `ok`. So
is the limit of a plan that nobody observed since it was reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claude_force import formatting
from claude_force.executions.plan_limits import FIVE_HOUR, SEVEN_DAY


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `noun` begins a sentence, `title` is the default title of an alert, `show` formats a value. `is_sum`:
    it is 0 if nothing ran. `groups`: it can be measured by agent, model and project. `plan_limit`: the limit of a
    Claude plan that it measures, of now and of no executions; None for the metrics of executions."""

    name: str
    noun: str
    title: str
    show: Callable[[float], str]
    is_sum: bool = False
    groups: bool = True
    plan_limit: str | None = None


def _percent(value: float) -> str:
    return formatting.percent(value)


def _of_plan(name: str, noun: str, title: str, plan_limit: str) -> Metric:
    return Metric(name, noun, title, _percent, groups=False, plan_limit=plan_limit)


def _hours(value: float) -> str:
    return f"{value:z,.1f} hours"


def _factor(value: float) -> str:
    return f"{value:z,.1f} times"


_METRICS = (
    Metric("success_rate", "Success rate", "Low Success Rate", _percent),
    Metric("avg_execution_time_ms", "Average execution time", "High Latency", formatting.duration),
    Metric("p50_latency_ms", "P50 latency", "High Latency", formatting.duration),
    Metric("p95_latency_ms", "P95 latency", "High Latency", formatting.duration),
    Metric("p99_latency_ms", "P99 latency", "High Latency", formatting.duration),
    Metric("total_cost", "Cost", "Cost Spike", formatting.money, is_sum=True),
    Metric("avg_cost_per_execution", "Cost per execution", "Cost Per Execution", formatting.unit_cost),
    Metric("cost_forecast", "Forecast of the cost", "Budget Forecast", formatting.money, is_sum=True),
    Metric("total_executions", "Executions", "Executions", formatting.count, is_sum=True),
    Metric("failed_executions", "Failed executions", "Failures", formatting.count, is_sum=True),
    Metric("avg_tokens", "Tokens per execution", "Token Usage", formatting.count),
    Metric("avg_input_tokens", "Input tokens per execution", "Token Usage", formatting.count),
    Metric("avg_output_tokens", "Output tokens per execution", "Token Usage", formatting.count),
    Metric("model_share", "Share of the model family", "Model Distribution", _percent),
    Metric("burn_rate", "Burn rate of the error budget", "Error Budget", _factor),
    Metric("silence_hours", "Time since the last execution", "No Data", _hours, groups=False),
    Metric("unreconciled_cost", "Unreconciled cost", "Unreconciled Cost", formatting.money, groups=False),
    _of_plan("five_hour_limit", "Use of the five-hour limit", "Five-Hour Limit", FIVE_HOUR),
    _of_plan("five_hour_limit_forecast", "Forecast of the five-hour limit", "Five-Hour Limit Forecast", FIVE_HOUR),
    _of_plan("weekly_limit", "Use of the weekly limit", "Weekly Limit", SEVEN_DAY),
    _of_plan("weekly_limit_forecast", "Forecast of the weekly limit", "Weekly Limit Forecast", SEVEN_DAY),
)

METRICS = {metric.name: metric for metric in _METRICS}
