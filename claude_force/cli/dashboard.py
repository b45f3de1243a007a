"""`claude-force dashboard`: watch the agents live."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.alerts.configured import rules_of_store
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.freshness import freshen, freshen_refresh, no_ingest_option
from claude_force.reports.dashboard.snapshot import SORT_KEYS, SPANS, Span, read_snapshot

if TYPE_CHECKING:
    from claude_force.analytics.groups import SortKey
    from claude_force.database.workspace import Workspace
    from claude_force.ingest.freshness import Freshness
    from claude_force.reports.dashboard.frame import View

_REFRESH_S = click.FloatRange(0.5, 3600)
_USUAL_HEIGHT = 24


@click.command()
@click.option(
    "--window", "--last", "span", type=click.Choice(SPANS), default="24h", show_default=True,
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
@no_ingest_option
def dashboard(
    span: Span,
    sort_by: SortKey,
    refresh_s: float,
    once: bool,
    zone_name: str | None,
    location: str | None,
    no_ingest: bool,
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
        freshness = freshen(workspace, clock.now_us(), no_ingest=no_ingest)
        _print_once(workspace, View(zone, span, sort_by, is_live=False), freshness)
    else:
        refresh = partial(freshen_refresh, workspace, no_ingest=no_ingest)
        rules = partial(rules_of_store, workspace)
        sys.exit(run(workspace.database, View(zone, span, sort_by), refresh_s, refresh, rules))


def _has_full_screen() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def _print_once(workspace: Workspace, view: View, freshness: Freshness) -> None:
    from claude_force.reports.dashboard.app import show_once
    from claude_force.reports.dashboard.frame import LEAST_WIDTH

    columns, lines = shutil.get_terminal_size((80, 24))
    # One line is left for the shell prompt.
    size = max(columns, LEAST_WIDTH), max(lines, _USUAL_HEIGHT) - 1
    snapshot = read_snapshot(workspace.database, view.span, clock.now_us(), freshness, rules_of_store(workspace))
    show_once(snapshot, view, size, sys.stdout)
