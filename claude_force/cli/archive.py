"""`claude-force archive`: move old executions to files."""

from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, json_option, progress_bar
from claude_force.clock import DAY_US, HOUR_US
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.database.archive import ArchiveReport

_UNITS_US = {"h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_AGE = re.compile(r"(\d{1,6})([hdw]?)")


class Age(click.ParamType[int]):
    """An age in microseconds: 36h, 90d, 12w, or a number of days."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert to microseconds."""
        match = _AGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{str(value)[:60]!r} is not an age; write 90d (days), 12w (weeks) or 36h (hours)", param, ctx)
        return int(match[1]) * _UNITS_US[match[2] or "d"]


@click.command()
@click.option(
    "--older-than", "older_than_us", type=Age(), default="90d", metavar="AGE", show_default=True,
    help="Days (90d), weeks (12w) or hours (36h).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be archived; change nothing.")
@json_option
@database_option
def archive(older_than_us: int, dry_run: bool, as_json: bool, location: str | None) -> None:
    """Move old executions to compressed files, one for each month.

    The files are in a folder beside the database. The totals of all reports stay the same; only details of single
    executions, such as the workflow, are gone from reports. `claude-force import FILE` brings a month back. An
    execution is deleted only after its file was read back from the disk.

    \b
    Example:
      claude-force archive --older-than 180d --dry-run
    """
    from claude_force.database.archive import archive_folder, archive_once, preview

    workspace, now_us = find_workspace(location), clock.now_us()
    folder = archive_folder(workspace.location, workspace.home.metrics_folder)
    found = preview(workspace.database, folder, now_us, older_than_us)
    if not dry_run:
        # Each execution counts twice: when it is written and when it is deleted.
        with progress_bar(2 * found.executions, "Archiving") as advance:
            found = archive_once(workspace.database, folder, now_us, older_than_us, advance)
    if as_json:
        _print_json(found, workspace.database.name, str(folder), dry_run=dry_run)
    else:
        _print_table(found, workspace.database.name, str(folder), dry_run=dry_run)
    for problem in found.problems:
        click.echo(f"error: {for_terminal(problem)}", err=True)
    if found.problems:
        sys.exit(1)


def _print_json(found: ArchiveReport, database: str, folder: str, *, dry_run: bool) -> None:
    result = {
        "database": database,
        "folder": folder,
        "until": clock.format_instant(found.until_us, clock.local_zone()),
        "dry_run": dry_run,
        "executions": found.executions,
        "months": [month.to_dict() for month in found.months],
        "problems": found.problems,
    }
    click.echo(json.dumps(result, indent=2))


def _print_table(found: ArchiveReport, database: str, folder: str, *, dry_run: bool) -> None:
    from claude_force.reports.layouts.archive import archive_page
    from claude_force.reports.render import write_page

    if found.months:
        write_page(archive_page(found, folder, dry_run=dry_run), sys.stdout)
        if not dry_run:
            # Not part of the page, which cuts long lines: a command must be complete.
            click.echo(f"  claude-force import {for_terminal(shlex.quote(str(found.months[0].file)))}")
    elif not found.problems:
        until = clock.to_datetime(found.until_us, clock.local_zone())
        click.echo(f"Nothing is older than {until:%Y-%m-%d %H:%M}: {for_terminal(database)}")
