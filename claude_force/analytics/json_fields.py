"""Fields of reports by their names in JSON and CSV, in US dollars, milliseconds and percent."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from claude_force.database.queries import Dimension, FilterDimension
from claude_force.executions.record import dollars, milliseconds
from claude_force.executions.totals import Bucket, Group, Percentiles, Totals

TITLES: dict[FilterDimension, str] = {
    "agent_name": "agent",
    "model": "model",
    "workflow_id": "workflow",
    "project": "project",
    "source": "source",
    "session_id": "session",
    "git_branch": "branch",
    "run_label": "label",
    "host": "host",
    "user_name": "user",
}
"""The name of a dimension in options, headings and JSON."""


def plural(dimension: FilterDimension) -> str:
    """The name of several: "agents", "branches"."""
    title = TITLES[dimension]
    return f"{title}es" if title.endswith("ch") else f"{title}s"


def savings(totals: Totals) -> dict[str, float | None]:
    """US dollars and percent saved against the reference model, over the executions with both costs."""
    percent = totals.saved_percent
    return {"amount": None if percent is None else dollars(totals.saved_nanousd), "percent": percent}


def group_dict(dimension: Dimension, group: Group) -> dict[str, Any]:
    """A group for JSON and CSV. It has latencies if the report computed percentiles."""
    found = latencies(group.percentiles) if group.percentiles else {}
    return {TITLES[dimension]: group.name, **totals_dict(group.totals, found)}


def bucket_dict(bucket: Bucket) -> dict[str, Any]:
    """A bucket for JSON and CSV."""
    return {"date": bucket.label, **totals_dict(bucket.totals)}


def totals_dict(totals: Totals, latencies: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Totals for JSON and CSV, with the latencies beside the average."""
    return {
        "executions": totals.executions,
        "successful_executions": totals.successes,
        "success_rate": totals.success_rate,
        "avg_execution_time_ms": totals.average_ms,
        **latencies,
        "total_cost": totals.cost,
        "avg_cost_per_execution": totals.average_cost,
        **token_kinds(totals, ""),
        "avg_input_tokens": totals.average_input_tokens,
        "avg_output_tokens": totals.average_output_tokens,
        "unpriced_executions": totals.unpriced,
        "provisional_executions": totals.provisional,
    }


def token_kinds(totals: Totals, prefix: str) -> dict[str, int | None]:
    """All tokens, and those of each kind, whose names get the prefix."""
    return {
        "total_tokens": totals.total_tokens,
        f"{prefix}input_tokens": totals.known_input_tokens,
        f"{prefix}output_tokens": totals.known_output_tokens,
        f"{prefix}cache_read_tokens": totals.cache_read_tokens,
        f"{prefix}cache_write_5m_tokens": totals.cache_write_5m_tokens,
        f"{prefix}cache_write_1h_tokens": totals.cache_write_1h_tokens,
    }


def cost_dict(totals: Totals) -> dict[str, float | None]:
    """A row of a cost report for CSV."""
    return {
        "executions": totals.executions,
        "total_cost": totals.cost,
        "avg_cost_per_execution": totals.average_cost,
        "unpriced_executions": totals.unpriced,
        **token_kinds(totals, ""),
        "provisional_executions": totals.provisional,
        "recorded_cost": totals.recorded_cost,
    }


def latencies(found: Percentiles) -> dict[str, Any]:
    """Percentiles in milliseconds."""
    return {
        "p50_latency_ms": milliseconds(found.p50_us),
        "p95_latency_ms": milliseconds(found.p95_us),
        "p99_latency_ms": milliseconds(found.p99_us),
    }


def errors_of(failures: Mapping[str | None, int]) -> list[dict[str, Any]]:
    """The failed requests of runs for JSON, by error type."""
    return [{"error_type": name, "failures": count} for name, count in failures.items()]
