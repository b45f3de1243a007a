"""`claude-force analytics`: the reports. Each is also a command of the program itself."""

from __future__ import annotations

import click

from claude_force.cli.chosen_database import group_database_option
from claude_force.cli.lazy import LazyGroup

REPORTS = {
    "summary": "claude_force.cli.analytics.summary:summary",
    "daily": "claude_force.cli.analytics.over_time:daily",
    "weekly": "claude_force.cli.analytics.over_time:weekly",
    "monthly": "claude_force.cli.analytics.over_time:monthly",
    "sessions": "claude_force.cli.analytics.sessions:sessions",
    "by-agent": "claude_force.cli.analytics.breakdowns:by_agent",
    "by-model": "claude_force.cli.analytics.breakdowns:by_model",
    "by-session": "claude_force.cli.analytics.sessions:sessions",
    "by-workflow": "claude_force.cli.analytics.breakdowns:by_workflow",
    "by-branch": "claude_force.cli.analytics.breakdowns:by_branch",
    "by-project": "claude_force.cli.analytics.breakdowns:by_project",
    "by-host": "claude_force.cli.analytics.breakdowns:by_host",
    "by-user": "claude_force.cli.analytics.breakdowns:by_user",
    "costs": "claude_force.cli.analytics.costs:costs",
    "budgets": "claude_force.cli.analytics.budgets:budgets",
    "what-if": "claude_force.cli.analytics.what_if:what_if",
    "trends": "claude_force.cli.analytics.over_time:trends",
    "errors": "claude_force.cli.analytics.summary:errors",
    "runs": "claude_force.cli.analytics.runs:runs",
    "blocks": "claude_force.cli.analytics.blocks:blocks",
    "outcomes": "claude_force.cli.analytics.outcomes:outcomes",
    "reconcile": "claude_force.cli.analytics.ledgers:reconcile",
    "backfill": "claude_force.cli.analytics.ledgers:backfill",
    "export": "claude_force.cli.analytics.export:export",
}


@click.group(cls=LazyGroup, commands_of=REPORTS)
@group_database_option
def analytics() -> None:
    """List all reports: runs, outcomes, what-if, budgets and more.

    Each prints a table, JSON, CSV or Markdown. Each is also a command of its own: claude-force summary is claude-force
    analytics summary.

    \b
    Example:
      claude-force analytics summary --days 7
    """
