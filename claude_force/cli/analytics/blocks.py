"""`claude-force blocks`."""

from __future__ import annotations

from dataclasses import replace

import click

from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.reports.layouts.base import Request
from claude_force.time_windows import ALL_TIME, Window, last_window

_RECENT_DAYS = 3
_BLOCK_HOURS = click.IntRange(1, 7 * 24)


@click.command()
@report_options
@click.option("--recent", is_flag=True, help=f"Only blocks of the last {_RECENT_DAYS} days.")
@click.option("--active", is_flag=True, help="Only the active block.")
@click.option(
    "--session-length", "length", type=_BLOCK_HOURS, metavar="HOURS", default=5, show_default=True,
    help="The length of a block.",
)  # fmt: skip
@row_options
def blocks(request: Request, recent: bool, active: bool, length: int, rows: RowChoice) -> None:
    """Show the five-hour windows of Claude subscriptions.

    A block starts at the full hour (UTC) of the first execution after the previous block ended. Without --source, only
    executions of Claude Code count. Every block that overlaps the period is shown in full.

    \b
    Example:
      claude-force blocks --recent
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.blocks import of_claude_code, session_blocks

    window = _block_period(request.chosen.window, recent, active, request.now_us)
    request = request._replace(chosen=replace(request.chosen, window=window))
    report = session_blocks(request.workspace.database, request.chosen, length, request.zone, request.now_us, rows)
    counted = request._replace(chosen=of_claude_code(request.chosen))
    show(counted, report, layout_of("blocks_layout", report, request, active, module="blocks"))


def _block_period(window: Window, recent: bool, active: bool, now_us: int) -> Window:
    if (recent or active) and window != ALL_TIME:
        raise click.UsageError("--recent and --active cannot be combined with a period such as --days")
    if active:
        return Window(now_us, now_us + 1, "now")
    return last_window(now_us, days=_RECENT_DAYS) if recent else window
