"""`claude-force outcomes`: what agents did beside their model requests."""

from __future__ import annotations

import click

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.outcomes import By, outcome_report
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.reports.layouts.base import Request


@click.command()
@report_options
@click.option(
    "--by", type=click.Choice(("day", "session")), default="day", metavar="WHAT", help="day (default) or session."
)
@row_options
def outcomes(request: Request, by: By, rows: RowChoice) -> None:
    """Show lines, commits, active time and tool calls.

    Telemetry says it; without any, the report says how to set it up. A day is one of UTC, and counts whole if the
    period touches it. With --agent, --model and the like: whole sessions in which an execution matches.

    \b
    Example:
      claude-force outcomes --days 7 --by session
    """
    report = outcome_report(request.workspace.database, request.chosen, by, request.zone, rows)
    show(request, report, layout_of("outcome_layout", report, request, module="outcomes"))
