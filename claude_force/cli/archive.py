"""`claude-force archive`: old executions to files."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, progress_bar
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.workspace import Workspace
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.database.archive import ArchiveReport
    from claude_force.reports.render import Page

_UNITS_US = {"h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_AGE = re.compile(r"(\d{1,6})([hdw]?)")


class Age(click.ParamType[int]):
    """A length of time in microseconds: 36h, 90d, 12w, or a number of days."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Microseconds."""
        match = _AGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{str(value)[:60]!r} is no age; write 90d (days), 12w (weeks) or 36h (hours)", param, ctx)
        return int(match[1]) * _UNITS_US[match[2] or "d"]


@click.command()
@click.option(
    "--older-than",
    "older_than_us",
    type=Age(),
    default="90d",
    metavar="AGE",
    show_default=True,
    help="Days (90d), weeks (12w) or hours (36h).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be archived; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def archive(older_than_us: int, dry_run: bool, as_json: bool, location: str | None) -> None:
    """Move old executions to files beside the database.

    There is a file for each month.

    No total of any report changes. What is gone from reports is what only an execution itself tells, such as its
    workflow; `claude-force import FILE` brings a month back. Executions are deleted only after their file has been read
    again from the disk.

    \b
    Example:
      claude-force archive --older-than 180d --dry-run
    """
    from claude_force.database.archive import archive_folder, archive_once, preview

    workspace, now_us = find_workspace(location), clock.now_us()
    folder = archive_folder(workspace.location, workspace.home.metrics_folder)
    found = preview(workspace.database, folder, now_us, older_than_us)
    if not dry_run:
        # Each is counted as it is written, and as it is deleted.
        with progress_bar(2 * found.executions, "Archiving") as advance:
            found = archive_once(workspace.database, folder, now_us, older_than_us, advance)
    _show(workspace, found, str(folder), dry_run=dry_run, as_json=as_json)
    for problem in found.problems:
        click.echo(f"error: {for_terminal(problem)}", err=True)
    if found.problems:
        sys.exit(1)


def _show(workspace: Workspace, found: ArchiveReport, folder: str, *, dry_run: bool, as_json: bool) -> None:
    until = clock.format_instant(found.until_us, clock.local_zone())
    if as_json:
        import json

        shown = {
            "database": workspace.database.name,
            "folder": folder,
            "until": until,
            "dry_run": dry_run,
            "executions": found.executions,
            "months": [month.to_dict() for month in found.months],
            "problems": found.problems,
        }
        click.echo(json.dumps(shown, indent=2))
    elif found.months:
        from claude_force.reports.render import write_page

        write_page(_page(found, folder, dry_run=dry_run), sys.stdout)
        if not dry_run:
            # Not in the page, which cuts its lines: of a command all is needed.
            click.echo(f"  claude-force import {for_terminal(shlex.quote(str(found.months[0].file)))}")
    elif not found.problems:
        click.echo(f"Nothing is older than {until[:16].replace('T', ' ')}: {for_terminal(workspace.database.name)}")


def _page(found: ArchiveReport, folder: str, *, dry_run: bool) -> Page:
    from claude_force.formatting import count, size
    from claude_force.reports.columns import Column
    from claude_force.reports.render import Page, Section, Table

    files = [month.file.name for month in found.months]
    rows = [
        [month.month, count(month.executions), file, size(month.size)]
        for month, file in zip(found.months, files, strict=True)
    ]
    if len(rows) > 1:
        known = [month.size for month in found.months if month.size is not None]
        rows.append(["Total", count(found.executions), "", size(sum(known)) if known else ""])
    columns = [Column("Month", "text"), Column("Executions"), Column("File", "text"), Column("Size")]
    page = Page("To Be Archived" if dry_run else "Archived", [Table(columns, rows)])
    page.parts.append(Section(None, [f"In {folder}"]))
    dry = "Nothing was changed. A size is that of a file that is there already."
    done = "No total of any report has changed. To bring a month back:"
    page.parts.append(Section(None, [dry if dry_run else done]))
    return page
