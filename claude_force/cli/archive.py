"""`claude-force archive`: move old executions to files, and bring them back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.confirm import confirm
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option
from claude_force.cli.progress import explained_interrupt, progress_bar
from claude_force.cli.say import say
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.workspace import Workspace
from claude_force.errors import ClaudeForceError
from claude_force.formatting import quantity, size

if TYPE_CHECKING:
    from claude_force.database.archive import ArchiveReport
    from claude_force.ingest.archives import RestoredMonth

_UNITS_US = {"h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_PREVIEWED_US = 90 * DAY_US
"""The age that a dry run takes if none is given."""

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


def _complete_months(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
    from claude_force.database.archive import archive_files

    try:
        months = archive_files(_folder(find_workspace(context.params.get("location"))))
    except ClaudeForceError:
        return []
    return [month for month in months if month.startswith(typed)]


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option(
    "--older-than", "older_than_us", type=Age(), metavar="AGE",
    help="Days (90d), weeks (12w) or hours (36h). A dry run without it takes 90d.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be archived; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@database_option
@click.pass_context
def archive(
    context: click.Context, older_than_us: int | None, dry_run: bool, yes: bool, as_json: bool, location: str | None
) -> None:
    """Move old executions to compressed files, one for each month.

    Shows how many executions would move, and asks; without a terminal it needs --yes. The files are in a folder beside
    the database. The totals of all reports stay the same; only details of single executions, such as the workflow, are
    gone from reports. `claude-force archive restore` brings them back. An execution is deleted only after its file was
    read back from the disk.

    \b
    Example:
      claude-force archive --older-than 180d --dry-run
      claude-force archive --older-than 180d
    """
    given = {"--older-than": older_than_us is not None, "--dry-run": dry_run, "--yes": yes, "--json": as_json}
    named = [option for option, is_given in given.items() if is_given]
    if context.invoked_subcommand:
        if named:
            raise click.UsageError(f"{named[0]} is not for `archive {context.invoked_subcommand}`")
    elif not named:
        click.echo(context.get_help())
    elif older_than_us is None and not dry_run:
        raise click.UsageError("say how old: --older-than 90d")
    else:
        _archive(
            _PREVIEWED_US if older_than_us is None else older_than_us,
            location,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )


def _archive(older_than_us: int, location: str | None, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from claude_force.database.archive import archive_once, preview

    workspace, now_us = find_workspace(location), clock.now_us()
    folder = _folder(workspace)
    found = preview(workspace.database, folder, now_us, older_than_us)
    if found.executions and not dry_run:
        confirm(_describe(found, workspace, folder), f"Archive {found.executions:,}?", yes=yes)
        # Each execution counts twice: when it is written and when it is deleted.
        with (
            progress_bar(2 * found.executions, "Archiving") as advance,
            explained_interrupt("what is in the archives and deleted stays so; the same command goes on from there"),
        ):
            found = archive_once(workspace.database, folder, now_us, older_than_us, advance)
    if as_json:
        _print_json(found, workspace.database.name, str(folder), dry_run=dry_run)
    else:
        _print_table(found, workspace, dry_run=dry_run)
    _exit_with(found.problems)


def _folder(workspace: Workspace) -> Path:
    from claude_force.database.archive import archive_folder

    return archive_folder(workspace.location, workspace.home.metrics_folder)


def _describe(found: ArchiveReport, workspace: Workspace, folder: Path) -> str:
    """How many executions, of which months, about how large, and where to."""
    first, last = found.months[0].month, found.months[-1].month
    months = first if first == last else f"{first} to {last}"
    executions = quantity(found.executions, "execution")
    return f"{executions} of {months}{_share_of(workspace, found.executions)} would move to {folder}"


def _share_of(workspace: Workspace, executions: int) -> str:
    """About how much of a database file some executions are; empty for a server."""
    if "://" in workspace.location:
        return ""
    with workspace.database.read() as connection:
        stored = queries.stored(connection)
    return f", about {size(Path(workspace.location).stat().st_size * executions // max(stored, 1))} of the database,"


def _exit_with(problems: Sequence[str]) -> None:
    for problem in problems:
        say(f"error: {problem}", err=True)
    if problems:
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


def _print_table(found: ArchiveReport, workspace: Workspace, *, dry_run: bool) -> None:
    from claude_force.reports.layouts.archive import archive_page
    from claude_force.reports.layouts.first_steps import db_option
    from claude_force.reports.render import write_page

    if found.months:
        write_page(archive_page(found, str(_folder(workspace)), dry_run=dry_run), sys.stdout)
        if not dry_run:
            # Not part of the page, which cuts long lines: a command must be complete.
            say(f"  claude-force archive restore{db_option(workspace)}")
    elif not found.problems:
        until = clock.to_datetime(found.until_us, clock.local_zone())
        say(f"Nothing is older than {until:%Y-%m-%d %H:%M}: {workspace.database.name}")


@archive.command()
@click.argument("months", nargs=-1, metavar="[MONTH]...", shell_complete=_complete_months)
@json_option
@database_option
def restore(months: tuple[str, ...], as_json: bool, location: str | None) -> None:
    """Bring archived executions back: of all months, or of some.

    They are stored again and counted once, and all reports are exact again. The files stay. Repeating it is safe.

    \b
    Example:
      claude-force archive restore
      claude-force archive restore 2025-10 2025-11
    """
    from claude_force.ingest.archives import restore_month

    workspace = find_workspace(location)
    files = _chosen_files(_folder(workspace), months)
    found: list[RestoredMonth] = []
    with (
        progress_bar(sum(file.stat().st_size for file in files.values()), "Restoring") as advance,
        explained_interrupt("the executions restored so far stay restored; the same command goes on from there"),
    ):
        for month, file in files.items():
            found.append(restore_month(workspace.database, month, file, clock.now_us(), advance))
    write = _print_restored_json if as_json else _print_restored
    write(found, workspace)
    _exit_with([problem for month in found for problem in month.problems])


def _chosen_files(folder: Path, months: Sequence[str]) -> dict[str, Path]:
    """The archives of some months, or all of a folder, by month."""
    from claude_force.database.archive import archive_files

    files = archive_files(folder)
    unknown = [month for month in months if month not in files]
    if unknown:
        there = f"there are {', '.join(files)}" if files else "there is none"
        raise click.UsageError(f"no archive of {unknown[0]} in {folder}; {there}")
    return {month: files[month] for month in months or files}


def _print_restored_json(found: Sequence[RestoredMonth], workspace: Workspace) -> None:
    result = {
        "database": workspace.database.name,
        "folder": str(_folder(workspace)),
        "restored": sum(month.restored for month in found),
        "months": [month.to_dict() for month in found],
        "archive_after_days": workspace.settings.archive_after_days,
    }
    click.echo(json.dumps(result, indent=2))


def _print_restored(found: Sequence[RestoredMonth], workspace: Workspace) -> None:
    from claude_force.reports.layouts.archive import restored_page
    from claude_force.reports.render import write_page

    if not found:
        say(f"Nothing is archived in {_folder(workspace)}")
        return
    write_page(restored_page(found, str(_folder(workspace))), sys.stdout)
    days = workspace.settings.archive_after_days
    if days:
        say(f"The scheduler would archive them again (performance.archive_after_days is {days}). To keep them:")
        say("  claude-force config set performance.archive_after_days 0")
