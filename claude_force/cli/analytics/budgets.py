"""`claude-force budgets`."""

from __future__ import annotations

import click

from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import show, snapshot_options
from claude_force.cli.rows import row_options
from claude_force.cli.say import say
from claude_force.reports.layouts.base import Request


@click.command()
@snapshot_options
@row_options
def budgets(request: Request, rows: RowChoice) -> None:
    """Show what of each budget is spent, and when it is used up.

    Budgets are in performance.budgets of claude.json, each with usd and per (day, week or month), and if you like
    project, agent or branch. Each brings alert rules. The forecast is what is spent, plus the rest of the period at the
    rate of the last seven days.

    \b
    Example:
      claude-force budgets
      claude-force config set performance.budgets '[{"usd": 20, "per": "day"}]'
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.budgets import budget_report
    from claude_force.settings.budgets import load_budgets

    workspace = request.workspace
    found, problems = load_budgets(workspace.settings.budgets)
    for problem in problems:
        say(f"warning: {problem}", err=True)
    report = budget_report(workspace.database, found, workspace.project_names, request.zone, request.now_us, rows)
    show(request, report, layout_of("budgets_layout", report, module="budgets"))
