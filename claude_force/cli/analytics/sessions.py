"""`claude-force sessions`."""

from __future__ import annotations

import click

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.sessions import SORT_KEYS, SessionKey
from claude_force.analytics.sessions import sessions as read_sessions
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.reports.layouts.base import Request

_ROWS = 20
"""The rows of a table without --limit. The other formats have all sessions, for programs."""

_ORDERS = {
    "newest": ("the newest first", "the oldest first"),
    "duration": ("the longest first", "the shortest first"),
    "executions": ("most executions first", "fewest executions first"),
    "time": ("the longest average time first", "the shortest average time first"),
    "cost": ("the most expensive first", "the cheapest first"),
    "success": ("the highest success rate first", "the lowest success rate first"),
    "tokens": ("most tokens first", "fewest tokens first"),
    "name": ("by name backwards", "by name"),
}
"""The order in words: descending, ascending."""


@click.command()
@report_options
@click.option(
    "--sort-by", type=click.Choice(SORT_KEYS), default="newest", metavar="KEY",
    help="newest (default), duration, executions, time (average), cost, success, tokens or name.",
)  # fmt: skip
@row_options
def sessions(request: Request, sort_by: SessionKey, rows: RowChoice) -> None:
    """Show the last sessions: when, project, duration, cost.

    A session of Claude Code includes everything that it started: its sub-agents and its workflow runs. Its duration is
    from its first to its last execution. An execution of another source is counted under its workflow. Without --limit
    a table shows 20 sessions; JSON, CSV and Markdown have all.

    \b
    Example:
      claude-force sessions --project shop --sort-by cost
    """
    is_ascending = sort_by == "name" if rows.is_ascending is None else rows.is_ascending
    most = RowChoice(rows.is_ascending, rows.limit or (_ROWS if request.format == "table" else None))
    report = read_sessions(request.workspace.database, request.chosen, sort_by, most, request.zone)
    show(request, report, layout_of("sessions_layout", report, _ORDERS[sort_by][is_ascending], module="sessions"))
