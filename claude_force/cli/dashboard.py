"""`claude-force dashboard`: watch the agents live."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, timezone_option
from claude_force.reports.dashboard.snapshot import SORT_KEYS, SPANS, Span, read_snapshot

if TYPE_CHECKING:
    from claude_force.analytics.groups import SortKey
    from claude_force.database.contract import Database
    from claude_force.reports.dashboard.frame import View

_REFRESH_S = click.FloatRange(0.5, 3600)
_USUAL_HEIGHT = 24


@click.command()
@click.option(
    "--window", "span", type=click.Choice(SPANS), default="24h", show_default=True,
    help="The period of the lower parts.",
)  # fmt: skip
@click.option(
    "--sort", "sort_by", type=click.Choice(SORT_KEYS), default="cost", metavar="KEY",
    help="cost (default), executions, time, success or tokens.",
)  # fmt: skip
@click.option(
    "--refresh", "refresh_s", type=_REFRESH_S, metavar="SECONDS", default=2.0, show_default=True,
    help="Time between updates.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Print one frame and exit.")
@timezone_option
@database_option
def dashboard(
    span: Span, sort_by: SortKey, refresh_s: float, once: bool, zone_name: str | None, location: str | None
) -> None:
    """Watch the agents live in the terminal.

    It shows totals of the last hour, 24 hours and 7 days, firing alerts, sparklines, agents, models, and the newest
    executions.

    \b
    Keys:
      w or 1, 2, 3  choose the window
      s             change the order of agents
      ?             show all keys
      q             quit

    \b
    Example:
      claude-force dashboard --window 7d --sort cost
    """
    from claude_force.reports.dashboard.app import run
    from claude_force.reports.dashboard.frame import View

    workspace, zone = find_workspace(location), clock.zone_of(zone_name)
    if once or not _has_full_screen():
        _print_once(workspace.database, View(zone, span, sort_by, is_live=False))
    else:
        sys.exit(run(workspace.database, View(zone, span, sort_by), refresh_s))


def _has_full_screen() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _print_once(database: Database, view: View) -> None:
    from claude_force.reports.dashboard.app import show_once
    from claude_force.reports.dashboard.frame import LEAST_WIDTH

    columns, lines = shutil.get_terminal_size((80, 24))
    # One line is left for the shell prompt.
    size = max(columns, LEAST_WIDTH), max(lines, _USUAL_HEIGHT) - 1
    show_once(read_snapshot(database, view.span, clock.now_us()), view, size, sys.stdout)
