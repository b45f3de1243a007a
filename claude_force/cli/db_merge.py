"""`claude-force db merge`: take over another store."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import announce_if_new, refuse_empty_location
from claude_force.cli.confirm import confirm
from claude_force.cli.options import json_option
from claude_force.cli.progress import explained_interrupt, progress_bar
from claude_force.cli.say import say
from claude_force.database.workspace import Workspace, merge_workspace

if TYPE_CHECKING:
    from claude_force.database.merge import MergeReport, OtherStore


@click.command()
@click.argument("other", metavar="OTHER")
@click.option("--dry-run", is_flag=True, help="Show what would be merged; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@database_option
def merge(other: str, dry_run: bool, yes: bool, as_json: bool, location: str | None) -> None:
    """Take over everything from another store: a file or a URL.

    Executions, archives, how far files were read, baselines, plan limits and the history of alerts. What both stores
    have counts once. OTHER stays as it is; the last lines say how to remove it. Without --db, the target is your own
    store, also in a project that still has one. A merge that was stopped goes on when it runs again.

    \b
    Example:
      claude-force db merge ~/shop/.claude/metrics/metrics.db --dry-run
    """
    from claude_force.database.merge import open_other
    from claude_force.reports.layouts.database import store_line

    workspace = _target(location)
    folder = workspace.data_folder
    with open_other(other, workspace.database, folder, workspace.home.metrics_folder) as found:
        if not as_json:
            say(f"Other:  {store_line(found.name, found.database)}")
            say(f"Into:   {store_line(workspace.database.name, workspace.database)}")
        what = f"{found.name} will be merged into {workspace.database.name}"
        confirm(what, "Merge?", yes=yes or dry_run)
        report = _merge(workspace, found, is_dry_run=dry_run)
        _print(report, workspace, found, is_dry_run=dry_run, as_json=as_json)
        _name_waiting(found, workspace)
    for note in report.notes:
        say(f"note: {note}", err=True)
    for problem in report.problems:
        say(f"error: {problem}", err=True)
    if report.problems:
        sys.exit(1)


def _target(location: str | None) -> Workspace:
    refuse_empty_location(location)
    workspace, problems = merge_workspace(location)
    for problem in problems:
        say(f"warning: {problem}", err=True)
    announce_if_new(workspace, location)
    return workspace


def _merge(workspace: Workspace, other: OtherStore, *, is_dry_run: bool) -> MergeReport:
    from claude_force.database.archive import archive_folder
    from claude_force.database.merge import merge as merge_stores
    from claude_force.database.merge import size_of
    from claude_force.executions.costs import row_pricer
    from claude_force.executions.pricing import price_table

    folder = archive_folder(workspace.location, workspace.home.metrics_folder)
    kept = "what was merged so far is stored; the same command goes on from there"
    with explained_interrupt(kept), progress_bar(size_of(other), "Merging") as advance:
        return merge_stores(
            workspace.database, folder, other, clock.now_us(), is_dry_run=is_dry_run, progress=advance,
            price=row_pricer(price_table(workspace.settings)),
        )  # fmt: skip


def _print(report: MergeReport, workspace: Workspace, other: OtherStore, *, is_dry_run: bool, as_json: bool) -> None:
    from claude_force.reports.layouts.database import merge_lines

    if as_json:
        names = {"database": workspace.database.name, "other": other.name, "dry_run": is_dry_run}
        click.echo(json.dumps(names | report.to_dict(), indent=2))
        return
    for line in merge_lines(report, is_dry_run=is_dry_run):
        say(line)
    if not is_dry_run and not report.problems:
        _print_removal(other)


def _name_waiting(other: OtherStore, workspace: Workspace) -> None:
    """Name the files of executions that wait for the other store: they are not in it yet."""
    from claude_force.ingest.spool_files import spool_files

    for path in spool_files(other.location, workspace.home.metrics_folder):
        if path.exists():
            command = shlex.join(["claude-force", "import", str(path)])
            say(f"note: executions wait for {other.name}; to take them over, too: {command}", err=True)


def _print_removal(other: OtherStore) -> None:
    """Say how to remove a store that was merged."""
    if not other.files:
        say(f"{other.name} is as it was; it is not needed any more.")
        return
    say(f"{other.name} is as it was. To remove it, when nothing uses it:")
    say(f"  {shlex.join(['rm', '-r', *map(str, other.files)])}")
