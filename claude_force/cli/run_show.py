"""`claude-force run show`: one run, with the tree of what it started."""

from __future__ import annotations

import sys
from datetime import tzinfo
from typing import TYPE_CHECKING, TextIO

import click

from claude_force import clock
from claude_force.cli.asked import asked
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.filters import complete_ids
from claude_force.cli.freshness import freshen, no_ingest_option
from claude_force.cli.options import json_option

if TYPE_CHECKING:
    from claude_force.analytics.run_trees import RunTree
    from claude_force.ingest.freshness import Freshness


@click.command()
@click.argument("run_id", metavar="ID", shell_complete=complete_ids)
@json_option
@timezone_option
@database_option
@no_ingest_option
def show(run_id: str, as_json: bool, zone_name: str | None, location: str | None, no_ingest: bool) -> None:
    """Show one run, and the tree of what it started.

    ID is that of a prompt, a sub-agent, a headless run, a workflow or a session; its first characters are enough. Each
    line of the tree has a run's own requests, tokens and cost, then the cost with all below it. What failed comes last,
    by error type. A run stands below its session if nothing says what started it.

    \b
    Example:
      claude-force run show 1f4c5a0e
    """
    from claude_force.analytics.run_trees import run_tree

    workspace, zone = find_workspace(location), clock.zone_of(zone_name)
    freshness = freshen(workspace, clock.now_us(), no_ingest=no_ingest)
    found = run_tree(workspace.database, run_id, zone, workspace.project_names)
    if page := asked():
        from claude_force.analytics.execution_lists import executions_of_run

        executions = executions_of_run(workspace.database, found)
        page.take((found, executions), lambda file: _write_json(found, freshness, zone, file))
        return
    if as_json:
        _write_json(found, freshness, zone, sys.stdout)
        return
    from claude_force.reports.freshness import write_foot
    from claude_force.reports.layouts.base import archived_lines
    from claude_force.reports.layouts.run_tree import run_tree_page
    from claude_force.reports.render import write_page

    write_page(run_tree_page(found), sys.stdout)
    for line in archived_lines(workspace, found.archived):
        click.echo(line)
    write_foot(freshness, sys.stdout)


def _write_json(found: RunTree, freshness: Freshness, zone: tzinfo, file: TextIO) -> None:
    from claude_force.output import write_json
    from claude_force.reports.freshness import freshness_dict

    write_json(found.to_dict() | {"timezone": str(zone), "data": freshness_dict(freshness, zone)}, file)
