"""Layout of executions, one by one: when, who, on what, how long, for how much, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from claude_force import clock
from claude_force.analytics.labels import project_labels, short_ids
from claude_force.executions.record import UNKNOWN, ExecutionMetrics
from claude_force.formatting import NONE, count, duration, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.render import Table

AGENT, MODEL, PROJECT, RUN = 1, 2, 3, 10
"""The columns of names."""

_COLUMNS = (
    Column("Ended", "text"), Column("Agent", "name"), Column("Model", "name"), Column("Project", "name"),
    Column("Time"), Column("Input"), Column("Output"), Column("Cached"), Column("Cost"), Column("Outcome", "name"),
    Column("Run", "text"),
)  # fmt: skip


def executions_table(executions: Sequence[ExecutionMetrics], zone: tzinfo) -> Table:
    """The executions in their order. What is not known is a dash."""
    runs = short_ids({run for found in executions if (run := run_of(found))})
    projects = project_labels({found.project for found in executions if found.project})
    return Table(_COLUMNS, [_row(found, zone, runs, projects) for found in executions])


def run_of(found: ExecutionMetrics) -> str | None:
    """The run of an execution (see `executions.runs.RunKey`); None if it is a run of its own."""
    return found.run_id or found.workflow_id or found.session_id


def _row(found: ExecutionMetrics, zone: tzinfo, runs: dict[str, str], projects: dict[str, str]) -> list[str]:
    cached = found.cache_read_tokens + found.cache_write_5m_tokens + found.cache_write_1h_tokens
    return [
        f"{clock.to_datetime(found.timestamp_us, zone):%Y-%m-%d %H:%M:%S}",
        found.agent_name,
        found.model,
        projects.get(found.project or "", NONE),
        duration(found.execution_time_ms),
        count(found.input_tokens),
        count(found.output_tokens),
        count(cached),
        unit_cost(found.estimated_cost),
        "success" if found.success else found.error_type or UNKNOWN,
        runs.get(run_of(found) or "", NONE),
    ]
