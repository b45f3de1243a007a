"""`claude-force db`: the database itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from claude_force import clock, query
from claude_force.cli.options import database_option, find_place, progress_bar
from claude_force.database import HEAD
from claude_force.errors import DatabaseMissing

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def db() -> None:
    """Upgrade, check and back up the database.

    \b
    Example:
      claude-force db check
    """


@db.command()
@database_option
def path(location: str | None) -> None:
    """Print which database is used; a password is hidden.

    \b
    Example:
      claude-force db path
    """
    click.echo(find_place(location).database.name)


@db.command()
@json_option
@database_option
def current(as_json: bool, location: str | None) -> None:
    """Print the schema revision of the database, and the one that this program needs.

    \b
    Example:
      claude-force db current
    """
    found = find_place(location).database.revision()
    if as_json:
        click.echo(json.dumps({"revision": found, "head": HEAD, "is_head": found == HEAD}))
        return
    state = "up to date" if found == HEAD else f"this program needs {HEAD}: claude-force db upgrade"
    click.echo(f"{found} ({state})" if found else f"no database yet (head is {HEAD})")


@db.command()
@database_option
def upgrade(location: str | None) -> None:
    """Bring the schema up to date, or create it. A SQLite file is backed up first.

    \b
    Example:
      claude-force db upgrade
    """
    from claude_force import migrate

    database = find_place(location).database
    result = migrate.upgrade(database)
    if result.before == result.after:
        click.echo(f"{database.name} is at {result.after} already")
        return
    click.echo(f"{database.name}: {result.before or 'new'} -> {result.after}")
    if result.backup:
        click.echo(f"the database as it was: {result.backup}")


@db.command()
@json_option
@database_option
def check(as_json: bool, location: str | None) -> None:
    """Check the schema, every page, and the roll-ups against the executions; exit 1 if something is wrong.

    \b
    Example:
      claude-force db check
    """
    from claude_force.query import proof

    database = find_place(location).database
    found = database.revision()
    problems = database.check_integrity() if found else [f"there is no database at {database.name}"]
    if found == HEAD and not problems:
        with database.read() as connection:
            query.read_every_column(connection)
            problems += proof.differences(connection)
    if found not in (HEAD, None):
        problems.append(f"schema {found}, this program needs {HEAD}: claude-force db upgrade")
    if as_json:
        click.echo(json.dumps({"database": database.name, "ok": not problems, "problems": problems}, indent=2))
    else:
        for line in problems or ["ok"]:
            click.echo(f"{database.name}: {line}")
    if problems:
        sys.exit(1)


@db.command()
@database_option
def rebuild(location: str | None) -> None:
    """Make the roll-ups anew from the executions. Reports do not change, unless `db check` found something.

    Who records into a SQLite file meanwhile waits, and puts executions aside after 30 seconds; nothing is lost.

    \b
    Example:
      claude-force db rebuild
    """
    from claude_force.render import quantity
    from claude_force.store import Store

    database = find_place(location).database
    if not database.exists():
        raise DatabaseMissing(f"there is no database at {database.name}")
    with database.read() as connection:
        expected = query.stored(connection)
    with progress_bar(expected, "Counting") as advance:
        count = Store(database).rebuild(advance)
    click.echo(f"{database.name}: roll-ups of {quantity(count, 'execution')} made anew")


@db.command()
@click.argument("target", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE]")
@database_option
def backup(target: Path | None, location: str | None) -> None:
    """Write a verified copy while others go on recording. Default: backups/ beside the database.

    \b
    Example:
      claude-force db backup metrics-copy.db
    """
    place = find_place(location)
    if target is None:
        stamp = clock.moment_of(clock.now_us(), clock.local_zone()).strftime("%Y%m%d-%H%M%S")
        folder = place.home.metrics_folder if "://" in place.location else Path(place.location).parent
        target = folder / "backups" / f"metrics-{stamp}.db"
    place.database.backup(target.absolute())
    click.echo(str(target))
