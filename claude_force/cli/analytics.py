"""`claude-force analytics`: the reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from claude_force.analytics import reports
from claude_force.analytics.groups import SORT_KEYS, SortKey
from claude_force.analytics.names import known_names
from claude_force.analytics.reports import INTERVALS
from claude_force.cli.options import (
    filter_options,
    format_option,
    json_format_option,
    output_option,
    refuse_database,
    report_options,
    show,
)
from claude_force.database import queries
from claude_force.database.queries import Dimension
from claude_force.executions.intervals import Interval
from claude_force.reports.layouts.base import Layout, Request, archived_lines
from claude_force.text import for_terminal
from claude_force.time_windows import ALL_TIME, Window, last_window

_LIMIT = click.IntRange(1)
_RECENT_DAYS = 3
_BLOCK_HOURS = click.IntRange(1, 7 * 24)
sort_option = click.option(
    "--sort-by",
    type=click.Choice(SORT_KEYS),
    default="executions",
    metavar="KEY",
    help="executions (default), time, cost, success, tokens or name.",
)
limit_option = click.option("--limit", type=_LIMIT, metavar="N", help="Show only the first N.")
interval_option = click.option(
    "--interval",
    type=click.Choice(INTERVALS),
    default="daily",
    metavar="INTERVAL",
    help="hourly, daily (default), weekly or monthly.",
)


def _layout(function: str, *arguments: Any, module: str = "analytics") -> Callable[[], Layout]:
    """A layout that is imported only when it is needed: JSON needs none, and the import is slower than the query."""

    def make_layout() -> Layout:
        found: Layout = getattr(import_module(f"claude_force.reports.layouts.{module}"), function)(*arguments)
        return found

    return make_layout


@click.group()
def analytics() -> None:
    """Print reports as tables, JSON, CSV or Markdown.

    \b
    Example:
      claude-force analytics summary --days 7
    """


@analytics.command()
@report_options
def summary(request: Request) -> None:
    """Show the most important numbers on one page.

    `--output baseline.json` writes the file that the guide uses as a baseline.

    \b
    Example:
      claude-force analytics summary --days 30 --output baseline.json
    """
    report = reports.summary(request.workspace.database, request.chosen)
    show(request, report, _layout("summary_layout", report, request.workspace.settings.reference_model))


@analytics.command("by-agent")
@report_options
@sort_option
@limit_option
def by_agent(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare agents: executions, success, time, cost, tokens.

    \b
    Example:
      claude-force analytics by-agent --sort-by cost --limit 10
    """
    _show_breakdown(request, "agent_name", sort_by, limit)


@analytics.command("by-model")
@report_options
@sort_option
@limit_option
def by_model(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare models: executions, success, time, cost, tokens.

    \b
    Example:
      claude-force analytics by-model --days 30
    """
    _show_breakdown(request, "model", sort_by, limit)


@analytics.command("by-workflow")
@report_options
@sort_option
@limit_option
def by_workflow(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare workflows: executions, success, time, cost, tokens.

    A session of Claude Code is a workflow, and each workflow run that it starts is another one. The label is the time
    of the first execution in the period, the first eight characters of the id, for a run those of its session, and the
    project.

    \b
    Example:
      claude-force analytics by-workflow --sort-by time
    """
    _show_breakdown(request, "workflow_id", sort_by, limit)


@analytics.command("by-session")
@report_options
@sort_option
@limit_option
def by_session(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare sessions: executions, success, time, cost, tokens.

    A session of Claude Code includes everything that it started: its sub-agents and its workflow runs. An execution of
    another source is counted under its workflow.

    \b
    Example:
      claude-force analytics by-session --sort-by cost
    """
    _show_breakdown(request, "session_id", sort_by, limit)


@analytics.command("by-branch")
@report_options
@sort_option
@limit_option
def by_branch(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare branches: executions, success, time, cost, tokens.

    The branch is the one that was checked out where the agent worked. Branches of one name are one group; --project
    tells those of several repositories apart.

    \b
    Example:
      claude-force analytics by-branch --project shop
    """
    _show_breakdown(request, "git_branch", sort_by, limit)


@analytics.command("by-project")
@report_options
@sort_option
@limit_option
def by_project(request: Request, sort_by: SortKey, limit: int | None) -> None:
    """Compare projects: executions, success, time, cost, tokens.

    A project is the repository in which an agent worked; a subfolder and a git worktree belong to it. Outside of
    repositories it is the folder. performance.projects in claude.json names and groups projects. The label is the
    shortest end of the path that is unique in the report.

    \b
    Example:
      claude-force analytics by-project --sort-by cost
    """
    _show_breakdown(request, "project", sort_by, limit)


def _show_breakdown(request: Request, dimension: Dimension, sort_by: SortKey, limit: int | None) -> None:
    report = reports.breakdown(request.workspace.database, request.chosen, dimension, sort_by, limit, request.zone)
    show(request, report, _layout("breakdown_layout", report))


@analytics.command()
@report_options
@click.option("--by-agent", "with_agents", is_flag=True, help="Show only the costs by agent.")
@click.option("--by-model", "with_models", is_flag=True, help="Show only the costs by model.")
@click.option("--trends", "with_trends", is_flag=True, help="Show the costs over time.")
@click.option(
    "--interval", type=click.Choice(INTERVALS), metavar="INTERVAL",
    help="Trends hourly, daily (default), weekly or monthly.",
)  # fmt: skip
@limit_option
def costs(
    request: Request,
    with_agents: bool,
    with_models: bool,
    with_trends: bool,
    interval: Interval | None,
    limit: int | None,
) -> None:
    """Show costs by agent, by model and over time.

    Also shows the savings compared with running everything on the reference model.

    \b
    Example:
      claude-force analytics costs --trends --interval daily
    """
    # Imported here: the other reports do not need prices.
    from claude_force.executions.pricing import PriceTable

    chosen = {"agents": with_agents, "models": with_models, "trends": with_trends or interval is not None}
    parts = frozenset(part for part, is_chosen in chosen.items() if is_chosen) or reports.COST_PARTS
    settings = request.workspace.settings
    prices = PriceTable(settings.reference_model, settings.prices)
    report = reports.costs(
        request.workspace.database, request.chosen, parts, interval or "daily", request.zone, limit, prices
    )
    show(request, report, _layout("costs_layout", report, settings.reference_model))


@analytics.command()
@report_options
@interval_option
def trends(request: Request, interval: Interval) -> None:
    """Show executions, time, success and cost over time.

    \b
    Example:
      claude-force analytics trends --interval weekly --days 90
    """
    report = reports.trends(request.workspace.database, request.chosen, interval, request.zone, request.now_us)
    show(request, report, _layout("trends_layout", report))


@analytics.command()
@report_options
@limit_option
def errors(request: Request, limit: int | None) -> None:
    """Show failures by error type: how many, and the last one.

    \b
    Example:
      claude-force analytics errors --days 7
    """
    report = reports.errors(request.workspace.database, request.chosen, request.zone, limit)
    show(request, report, _layout("errors_layout", report))


@analytics.command()
@report_options
@click.option("--recent", is_flag=True, help=f"Only blocks of the last {_RECENT_DAYS} days.")
@click.option("--active", is_flag=True, help="Only the active block.")
@click.option(
    "--session-length", "length", type=_BLOCK_HOURS, metavar="HOURS", default=5, show_default=True,
    help="The length of a block.",
)  # fmt: skip
def blocks(request: Request, recent: bool, active: bool, length: int) -> None:
    """Show the five-hour windows of Claude subscriptions.

    A block starts at the full hour (UTC) of the first execution after the previous block ended. Without --source, only
    executions of Claude Code count. Every block that overlaps the period is shown in full.

    \b
    Example:
      claude-force analytics blocks --recent
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.blocks import of_claude_code, session_blocks

    window = _block_period(request.chosen.window, recent, active, request.now_us)
    request = replace(request, chosen=replace(request.chosen, window=window))
    report = session_blocks(request.workspace.database, request.chosen, length, request.zone, request.now_us)
    counted = replace(request, chosen=of_claude_code(request.chosen))
    show(counted, report, _layout("blocks_layout", report, request, active, module="blocks"))


@analytics.command()
@report_options
@click.option("--by-model", is_flag=True, help="Show the models of each session.")
@limit_option
def reconcile(request: Request, by_model: bool, limit: int | None) -> None:
    """Compare Claude Code's own ledgers with its transcripts.

    What the ledger has more was spent outside of transcripts, such as the search behind WebSearch. A session is in the
    period in which its ledger was written, and is compared as a whole.

    \b
    Example:
      claude-force analytics reconcile --days 7 --by-model
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.reconciliation import reconciliation

    report = reconciliation(request.workspace.database, request.chosen, request.zone, limit)
    show(request, report, _layout("reconciliation_layout", report, request, by_model, module="reconciliation"))


@analytics.command()
@report_options
@limit_option
def backfill(request: Request, limit: int | None) -> None:
    """Show the tokens of days before the first transcript.

    Claude Code deletes transcripts after 30 days and keeps statistics by day and model. They are no executions, have no
    cost, and are in no other figure. A day leaves this report when its transcript is read.

    \b
    Example:
      claude-force analytics backfill --json
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.backfill import backfill_report

    report = backfill_report(request.workspace.database, request.chosen, limit)
    show(request, report, _layout("backfill_layout", report, module="backfill"))


def _block_period(window: Window, recent: bool, active: bool, now_us: int) -> Window:
    if (recent or active) and window != ALL_TIME:
        raise click.UsageError("--recent and --active cannot be combined with --days, --hours, --start and --end")
    if active:
        return Window(now_us, now_us + 1, "now")
    return last_window(now_us, days=_RECENT_DAYS) if recent else window


@analytics.command()
@filter_options
@format_option("csv", "json", "jsonl")
@json_format_option
@click.option("--pretty", is_flag=True, help="Indent the JSON.")
@click.option("--all-columns", is_flag=True, help="CSV: all columns, not only the usual twelve.")
@output_option
def export(
    request: Request, form: str | None, as_json: bool, pretty: bool, all_columns: bool, output: Path | None
) -> None:
    """Export the executions themselves as CSV, JSON or JSONL.

    JSONL is lossless: another store can import it.

    \b
    Example:
      claude-force analytics export --format csv --output metrics.csv
    """
    from claude_force.executions import export as files
    from claude_force.formatting import quantity

    chosen_format = _export_format(form, output, as_json=as_json)
    refuse_database(output, request.workspace)
    with request.workspace.database.read() as connection:
        chosen = known_names(connection, request.chosen)
        archived = queries.archived(connection, chosen)._replace(is_counted=False)
    rows = queries.iterate_rows(request.workspace.database, chosen)
    if chosen_format == "csv":
        count = files.write_csv(rows, output, request.zone, all_columns=all_columns)
    elif chosen_format == "json":
        count = files.write_json(rows, output, request.zone, pretty=pretty)
    else:
        count = files.write_jsonl(rows, output, request.zone)
    if output:
        click.echo(f"{quantity(count, 'execution')} written to {output}", err=True)
    for line in archived_lines(request.workspace, archived):
        click.echo(for_terminal(line), err=True)


def _export_format(form: str | None, output: Path | None, *, as_json: bool) -> str:
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json and --format cannot be combined")
    suffix = output.suffix.lower().removeprefix(".") if output else ""
    return "json" if as_json else form or (suffix if suffix in ("json", "jsonl") else "csv")
