"""`claude-force doctor`: what is wrong, what to do about it, and a bundle of it for those who help."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.options import database_option
from claude_force.settings.home import find_home

if TYPE_CHECKING:
    from claude_force.doctor.examine import Examination


@click.command()
@click.option("--full", "is_full", is_flag=True, help="Read every index too, and add up every sum; takes longer.")
@click.option("--bundle", is_flag=False, flag_value="", metavar="[FILE.zip]", help="Write a file for those who help.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def doctor(is_full: bool, bundle: str | None, as_json: bool, location: str | None) -> None:
    """Say what is wrong, and what to do about it.

    Looks at the settings, the database and its disk, backups, what waits or was left out, rules, channels, jobs and
    exporters; changes nothing. Problems come first, each with its remedy. Exit 1 if there is one.

    A bundle holds that, versions, settings, counts and the log of the scheduler, without secrets and names: other names
    stand for yours, and words that are not claude-force's own are hidden. Look at it before you send it.

    \b
    Example:
      claude-force doctor
    """
    if location == "":
        raise click.UsageError("--db is empty: name a file or a postgresql:// URL")
    from claude_force.doctor.examine import examine

    found = examine(find_home(), location, clock.now_us(), is_full=is_full)
    if bundle is not None:
        _write_bundle(found, bundle)
        return
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        from claude_force.doctor.text import lines_of

        click.echo("\n".join(lines_of(found)))
    if found.of("problem"):
        sys.exit(1)


def _write_bundle(found: Examination, name: str) -> None:
    from claude_force.doctor.bundle import write_bundle

    stamp = clock.to_datetime(clock.now_us(), clock.local_zone()).strftime("%Y%m%d-%H%M%S")
    file = Path(name or f"claude-force-support-{stamp}.zip")
    parts = write_bundle(found, file.absolute())
    click.echo(f"written: {file}\n")
    for part in parts:
        click.echo(f"  {part.name:<16}{part.purpose}")
    click.echo("\nNo secret and no name is in it. Every file in it is text: look at it before you send it.")
