"""`claude-force by-agent`, `by-model`, `by-workflow`, `by-branch`, `by-project`, `by-host` and `by-user`."""

from __future__ import annotations

import click

from claude_force.analytics import reports
from claude_force.analytics.breakdowns import BreakdownKey
from claude_force.analytics.groups import SORT_KEYS, RowChoice, SortKey
from claude_force.cli.analytics.shared import layout_of, sort_option
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.database.queries import Dimension
from claude_force.reports.layouts.base import Request


@click.command("by-agent")
@report_options
@sort_option
@row_options
def by_agent(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare agents: executions, success, time, cost, tokens.

    \b
    Example:
      claude-force by-agent --sort-by cost --limit 10
    """
    _show_breakdown(request, "agent_name", sort_by, rows)


@click.command("by-model")
@report_options
@sort_option
@row_options
def by_model(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare models: executions, success, time, cost, tokens.

    \b
    Example:
      claude-force by-model --days 30
    """
    _show_breakdown(request, "model", sort_by, rows)


@click.command("by-workflow")
@report_options
@click.option(
    "--sort-by", type=click.Choice(("newest", *SORT_KEYS)), default="executions", metavar="KEY",
    help="newest, executions (default), time, cost, success, tokens or name.",
)  # fmt: skip
@row_options
def by_workflow(request: Request, sort_by: BreakdownKey, rows: RowChoice) -> None:
    """Compare workflows: executions, success, time, cost, tokens.

    A session of Claude Code is a workflow, and each workflow run that it starts is another one. The label is the time
    of the first execution in the period, the first eight characters of the id, for a run those of its session, and the
    project.

    \b
    Example:
      claude-force by-workflow --sort-by newest --limit 20
    """
    _show_breakdown(request, "workflow_id", sort_by, rows)


@click.command("by-branch")
@report_options
@sort_option
@row_options
def by_branch(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare branches: executions, success, time, cost, tokens.

    The branch is the one that was checked out where the agent worked. Branches of one name are one group; --project
    tells those of several repositories apart.

    \b
    Example:
      claude-force by-branch --project shop
    """
    _show_breakdown(request, "git_branch", sort_by, rows)


@click.command("by-project")
@report_options
@sort_option
@row_options
def by_project(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare projects: executions, success, time, cost, tokens.

    A project is the repository in which an agent worked; a subfolder and a git worktree belong to it. Outside of
    repositories it is the folder. performance.projects in claude.json names and groups projects. The label is the
    shortest end of the path that is unique in the report.

    \b
    Example:
      claude-force by-project --sort-by cost
    """
    _show_breakdown(request, "project", sort_by, rows)


@click.command("by-host")
@report_options
@sort_option
@row_options
def by_host(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare machines: executions, success, time, cost, tokens.

    The host is the machine that recorded an execution or read its transcript. What a receiver stored has the
    receiver's host.

    \b
    Example:
      claude-force by-host --last 30d
    """
    _show_breakdown(request, "host", sort_by, rows)


@click.command("by-user")
@report_options
@sort_option
@row_options
def by_user(request: Request, sort_by: SortKey, rows: RowChoice) -> None:
    """Compare users: executions, success, time, cost, tokens.

    The user is performance.user of the machine, or comes from telemetry if performance.otlp_user names its attribute.
    What ran before you set either has no user.

    \b
    Example:
      claude-force by-user --sort-by cost
    """
    _show_breakdown(request, "user_name", sort_by, rows)


def _show_breakdown(request: Request, dimension: Dimension, sort_by: BreakdownKey, rows: RowChoice) -> None:
    report = reports.breakdown(request.workspace.database, request.chosen, dimension, sort_by, rows, request.zone)
    show(request, report, layout_of("breakdown_layout", report))
