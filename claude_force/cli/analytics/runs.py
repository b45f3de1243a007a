"""`claude-force runs`."""

from __future__ import annotations

import click

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.runs import RUN_ORDERS
from claude_force.analytics.runs import runs as read_runs
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.database.queries.runs import RunOrder
from claude_force.reports.layouts.base import Request

_ROWS = 20
"""The rows of a table without --limit. The other formats have all runs, for programs."""

_ORDERS = {
    "newest": ("the last first", "the first first"),
    "duration": ("the longest first", "the shortest first"),
    "executions": ("most requests first", "fewest requests first"),
    "tokens": ("most tokens first", "fewest tokens first"),
    "cost": ("the most expensive first", "the cheapest first"),
}
"""The order in words: descending, ascending."""


@click.command()
@report_options
@click.option(
    "--sort-by", type=click.Choice(RUN_ORDERS), default="newest", metavar="KEY",
    help="newest (default), duration, executions, tokens or cost.",
)  # fmt: skip
@row_options
def runs(request: Request, sort_by: RunOrder, rows: RowChoice) -> None:
    """Show the last runs: when, agent, duration, cost, outcome.

    A run is what an agent did about one task: a prompt of the main conversation, a sub-agent, a run of a program. The
    last one to end comes first. Its last request says how it ended. Without --limit a table shows 20 runs; JSON, CSV
    and Markdown have all.

    \b
    Example:
      claude-force runs --last 7d --sort-by cost
    """
    most = RowChoice(rows.is_ascending, rows.limit or (_ROWS if request.format == "table" else None))
    report = read_runs(request.workspace.database, request.chosen, sort_by, most, request.zone)
    show(request, report, layout_of("runs_layout", report, _ORDERS[sort_by][bool(rows.is_ascending)], module="runs"))
