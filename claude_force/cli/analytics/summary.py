"""`claude-force summary` and `errors`: a period on one page."""

from __future__ import annotations

import click

from claude_force.analytics import reports
from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.reports.layouts.base import Request


@click.command()
@report_options
def summary(request: Request) -> None:
    """Show the most important numbers on one page.

    `--output baseline.json` writes a file that `baseline check --baseline` compares with.

    \b
    Example:
      claude-force summary --days 30 --output baseline.json
    """
    report = reports.summary(request.workspace.database, request.chosen)
    show(request, report, layout_of("summary_layout", report, request.workspace.settings.reference_model))


@click.command()
@report_options
@row_options
def errors(request: Request, rows: RowChoice) -> None:
    """Show failures by error type: how many, and the last one.

    \b
    Example:
      claude-force errors --days 7
    """
    report = reports.errors(request.workspace.database, request.chosen, request.zone, rows)
    show(request, report, layout_of("errors_layout", report))
