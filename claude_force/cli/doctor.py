"""`claude-force doctor`: find problems, name remedies, and write a bundle for a bug report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.asked import asked
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import name_found_store, refuse_empty_location
from claude_force.cli.options import json_option, time_stamp
from claude_force.cli.say import say
from claude_force.settings.home import find_home

if TYPE_CHECKING:
    from claude_force.doctor.examine import Examination


@click.command()
@click.option("--full", "is_full", is_flag=True, help="Also read every index and check every total. Slower.")
@click.option("--bundle", is_flag=False, flag_value="", metavar="[FILE.zip]", help="Write a file for a bug report.")
@json_option
@database_option
def doctor(is_full: bool, bundle: str | None, as_json: bool, location: str | None) -> None:
    """Find problems and show how to solve them.

    It checks settings, database, disk, backups, sources, alert rules, channels, scheduler jobs and exporters, and
    changes nothing. Problems come first, each with its remedy. Exit code 1 if there is a problem.

    A bundle also holds versions, counts and the log of the scheduler. Secrets are left out, your names are replaced,
    and unknown words are hidden. Look at it before you send it.

    \b
    Example:
      claude-force doctor
    """
    from claude_force.doctor.examine import examine

    refuse_empty_location(location)
    home = find_home()
    page = asked()
    if page is None:
        name_found_store(home, location)
    found = examine(home, location, clock.now_us(), is_full=is_full)
    if page:
        page.take(found, lambda file: print(json.dumps(found.to_dict(), indent=2), file=file))
        return
    if bundle is not None:
        _write_bundle(found, bundle)
        return
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        from claude_force.doctor.text import report_lines

        click.echo("\n".join(report_lines(found)))
    if found.of("problem"):
        sys.exit(1)


def _write_bundle(found: Examination, name: str) -> None:
    from claude_force.doctor.bundle import write_bundle

    file = Path(name or f"claude-force-support-{time_stamp()}.zip")
    parts = write_bundle(found, file.absolute())
    say(f"written: {file}")
    click.echo()
    for part in parts:
        say(f"  {part.name:<16}{part.purpose}")
    click.echo()
    say("It holds no secrets and none of your names. All files are text: look at them before you send it.")
