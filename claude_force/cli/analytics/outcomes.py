"""`claude-force outcomes`: what agents did beside their model requests, and what their successes cost."""

from __future__ import annotations

from typing import cast

import click

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.outcomes import By, outcome_report
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.reports.layouts.base import Request

_BY = ("day", "session", "agent", "workflow", "model", "project")


@click.command()
@report_options
@click.option(
    "--by", type=click.Choice(_BY), default="day", metavar="WHAT",
    help="day (default), session, agent, workflow, model or project.",
)  # fmt: skip
@row_options
def outcomes(request: Request, by: str, rows: RowChoice) -> None:
    """Show what was done, and what success costs.

    By day and by session: lines, commits, active time and tool calls. Telemetry says it; without any, the report says
    how to set it up. A day is one of UTC, and counts whole if the period touches it. With --agent, --model and the
    like: whole sessions in which an execution matches.

    By agent, workflow, model and project: runs, success rate, cost per success and wasted money, the most expensive
    first. Wasted is the cost of failed runs, of refused runs, and of failed requests in successful runs.

    \b
    Example:
      claude-force outcomes --days 7 --by session
      claude-force outcomes --last 30d --by agent
    """
    if by in ("day", "session"):
        report = outcome_report(request.workspace.database, request.chosen, cast("By", by), request.zone, rows)
        show(request, report, layout_of("outcome_layout", report, request, module="outcomes"))
        return
    # Imported here: the other reports do not need runs.
    from claude_force.analytics.run_outcomes import RunsBy, run_outcomes

    found = run_outcomes(request.workspace.database, request.chosen, cast("RunsBy", by), rows)
    show(request, found, layout_of("run_outcomes_layout", found, module="run_outcomes"))
