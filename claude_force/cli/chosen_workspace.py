"""The workspace of a command: what `--db`, the settings or a project's own store name. It loads no report."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from claude_force.cli.asked import asked
from claude_force.cli.say import say
from claude_force.database.missing import is_missing, refuse_missing
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.files import hide_from_git
from claude_force.settings.home import Home, find_home
from claude_force.settings.location import DATABASE_VARIABLE, named_location

F = TypeVar("F", bound=Callable[..., Any])


def find_workspace(location: str | None, *, may_be_missing: bool = False) -> Workspace:
    """The workspace that `--db` or the settings name. Problems in the settings are warnings on stderr, and a line there
    names a store that nothing names. Refuses a named database that is missing, unless the command does without it or
    creates it; that it did is said on stderr."""
    refuse_empty_location(location)
    home = find_home()
    workspace, problems = workspace_at(home, location)
    if page := asked():
        workspace = workspace._replace(database=page.open_database(workspace.location))
    else:
        name_found_store(home, location)
    for problem in problems:
        say(f"warning: {problem}", err=True)
    if may_be_missing:
        announce_if_new(workspace, location)
    else:
        refuse_missing(workspace, location)
    return workspace


def name_found_store(home: Home, location: str | None) -> None:
    """Say that a project's own store is used, if it is used only because it is there. An earlier version did not hide
    it from git."""
    if not home.is_found or location or os.environ.get(DATABASE_VARIABLE):
        return
    # Imported here: a project rarely has a store of its own.
    import shlex

    hide_from_git(home.metrics_folder)
    path = str(home.database_file)
    command = f"claude-force db merge {shlex.quote(path)}"
    say(f"note: this project has a store of its own, {path}; to join it with yours: {command}", err=True)


def announce_if_new(workspace: Workspace, location: str | None) -> None:
    """Say on stderr, when the command ends, that it made a database that was named and did not exist."""

    def announce() -> None:
        if not is_missing(workspace):
            say(f"new database {workspace.database.name}", err=True)

    if named_location(location) and is_missing(workspace):
        click.get_current_context().call_on_close(announce)


def refuse_empty_location(location: str | None) -> None:
    """Refuse `--db ""`: an unset shell variable must not select the default database."""
    if location == "":
        raise click.UsageError("--db is empty: name a file or a postgresql:// URL")


def _complete_zones(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    # Imported here: only a shell asks.
    from zoneinfo import available_timezones

    return sorted(name for name in available_timezones() if name.startswith(typed))


def timezone_option(function: F) -> F:
    """Add `--timezone`."""
    return click.option(
        "--timezone", "zone_name", metavar="ZONE", shell_complete=_complete_zones,
        help="IANA name, UTC or +05:30. Default: local time.",
    )(function)  # fmt: skip
