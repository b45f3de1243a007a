"""The metrics that alerts can measure. Names are the keys of `analytics summary --json` where it has them.

A sum of no executions is 0. A rate or an average of no executions is unknown: the alert is then `no data`, not `ok`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claude_force import formatting


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `noun` begins a sentence, `title` is the default title of an alert, `show` formats a value. `is_sum`:
    it is 0 if nothing ran. `groups`: it can be measured by agent, model and project."""

    name: str
    noun: str
    title: str
    show: Callable[[float], str]
    is_sum: bool = False
    groups: bool = True


def _percent(value: float) -> str:
    return formatting.percent(value)


def _hours(value: float) -> str:
    return f"{value:,.1f} hours"


def _factor(value: float) -> str:
    return f"{value:,.1f} times"


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
)

METRICS = {metric.name: metric for metric in _METRICS}
