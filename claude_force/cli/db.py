"""`claude-force db`: the database itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock, windows
from claude_force.cli.options import database_option, find_workspace, progress_bar, timezone_option
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.revisions import HEAD
from claude_force.database.workspace import Workspace
from claude_force.errors import DatabaseMissing, InvalidWindow
from claude_force.executions.record import dollars
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.database.reprice import Change, Preview
    from claude_force.executions.pricing import PriceTable
    from claude_force.reports.render import Page

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
    click.echo(find_workspace(location).database.name)


@db.command()
@json_option
@database_option
def current(as_json: bool, location: str | None) -> None:
    """Print the schema revision, and the one that is needed.

    The first is that of the database, the second that of this program.

    \b
    Example:
      claude-force db current
    """
    found = find_workspace(location).database.revision()
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
    from claude_force.database import migrate

    database = find_workspace(location).database
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
    """Check the schema, every page, and the roll-ups.

    Roll-ups are proven from the executions. Exit 1 if something is wrong.

    \b
    Example:
      claude-force db check
    """
    from claude_force.database.queries import verify_rollups

    database = find_workspace(location).database
    found = database.revision()
    problems = database.check_integrity() if found else [f"there is no database at {database.name}"]
    if found == HEAD and not problems:
        with database.read() as connection:
            queries.read_every_column(connection)
            problems += verify_rollups.differences(connection)
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
    from claude_force.database.writes import Store
    from claude_force.formatting import quantity

    database = find_workspace(location).database
    if not database.exists():
        raise DatabaseMissing(f"there is no database at {database.name}")
    with database.read() as connection:
        expected = queries.stored(connection)
    with progress_bar(expected, "Counting") as advance:
        count = Store(database).rebuild(advance)
    click.echo(f"{database.name}: roll-ups of {quantity(count, 'execution')} made anew")


@db.command()
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this model. Repeatable.")
@click.option("--since", metavar="DATE", help="Only from this date, or date and time.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@timezone_option
@database_option
def reprice(
    models: tuple[str, ...],
    since: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    zone_name: str | None,
    location: str | None,
) -> None:
    """Compute stored costs anew, each at the price of its day.

    The price is that of the day as it is known today. Shows what would change, and asks. An execution whose model has
    no known price stays as it is. What a cost was before the first time is kept beside it.

    \b
    Example:
      claude-force db reprice --model claude-opus-4-6 --since 2026-01-01 --dry-run
    """
    from claude_force.analytics.reports import known_names
    from claude_force.database import reprice as repricing
    from claude_force.executions.pricing import PriceTable
    from claude_force.reports.render import write_page

    workspace = find_workspace(location)
    chosen = Filter(_since(since, zone_name), models=models)
    with workspace.database.read() as connection:
        chosen = known_names(connection, chosen)
    prices = PriceTable(workspace.settings.reference_model, workspace.settings.prices)
    found = repricing.preview(workspace.database, prices, chosen)
    if not as_json:
        write_page(_preview_page(found, len(workspace.settings.prices)), sys.stdout)
    is_wanted = not dry_run and _may_reprice(found, yes=yes)
    changed = _reprice(workspace, prices, chosen, found.total.executions) if is_wanted else 0
    if as_json:
        shown = found.to_dict() | {"repriced": changed, "dry_run": dry_run, "database": workspace.database.name}
        click.echo(json.dumps(shown, indent=2))
    elif is_wanted:
        click.echo(f"\n{workspace.database.name}: {changed:,} repriced")
    if found.models and not dry_run and not is_wanted:
        _refuse_unasked()


def _since(since: str | None, zone_name: str | None) -> windows.Window:
    zone = clock.zone_of(zone_name)
    try:
        return windows.ALL_TIME if since is None else windows.dated_window(since, None, zone)
    except InvalidWindow as error:
        # It speaks of the option that reports have.
        raise InvalidWindow(str(error).replace("--start", "--since", 1)) from None


def _may_reprice(found: Preview, *, yes: bool) -> bool:
    """Whether there is something to change, and somebody wants it."""
    if not found.models:
        return False
    return yes or (_is_asked() and click.confirm(f"Reprice {found.total.executions:,}?", err=True))


def _is_asked() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _refuse_unasked() -> None:
    if not _is_asked():
        raise click.UsageError("nothing was changed: there is no terminal to ask on; give --yes, or --dry-run to look")
    click.echo("nothing was changed", err=True)
    sys.exit(1)


def _reprice(workspace: Workspace, prices: PriceTable, chosen: Filter, expected: int) -> int:
    from claude_force.database import reprice as repricing
    from claude_force.database.writes import Store

    with progress_bar(expected, "Repricing") as advance:
        return repricing.apply(Store(workspace.database), prices, chosen, advance)


def _preview_page(found: Preview, overrides: int) -> Page:
    from claude_force.formatting import count, quantity
    from claude_force.reports.columns import Column
    from claude_force.reports.render import Page, Section, Table

    own = f", and {quantity(overrides, 'price')} of claude.json" if overrides else ""
    page = Page(f"Repricing (genai-prices {found.price_version}{own})")
    total = found.total
    if found.models:
        titles = ("Executions", "Cost\nas recorded", "Cost\nnow", "Cost\nrepriced", "Difference")
        rows = [_change_row(name, change) for name, change in found.models.items()]
        more = [_change_row("Total", total)] if len(rows) > 1 else []
        page.parts.append(Table([Column("Model", "name"), *map(Column, titles)], rows + more))
    page.parts.append(
        Section(None, [f"{count(total.executions)} of {quantity(found.executions, 'execution')} would change."])
    )
    if total.reference_only:
        page.parts.append(Section(None, [f"Of {count(total.reference_only)} only the reference cost would change."]))
    if found.unpriced:
        lines = [f"{name}: {quantity(number, 'execution')}" for name, number in found.unpriced.most_common()]
        page.parts.append(Section("Without a known price, and as they were", lines))
    return page


def _change_row(name: str, change: Change) -> list[str]:
    from claude_force.formatting import count, money

    difference = dollars(change.difference_nanousd)
    return [
        name,
        count(change.executions),
        money(dollars(change.recorded_nanousd)),
        money(dollars(change.cost_nanousd)),
        money(dollars(change.repriced_nanousd)),
        f"{'+' if change.difference_nanousd > 0 else ''}{money(difference)}",
    ]


@db.command()
@click.argument("target", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE]")
@database_option
def backup(target: Path | None, location: str | None) -> None:
    """Write a verified copy while others go on recording. Default: backups/ beside the database.

    \b
    Example:
      claude-force db backup metrics-copy.db
    """
    workspace = find_workspace(location)
    if target is None:
        target = workspace.data_folder / "backups" / f"metrics-{_stamp()}.db"
    with progress_bar(_bytes_of(workspace.location), "Copying") as advance:
        workspace.database.backup(target.absolute(), advance)
    click.echo(str(target))


@db.command()
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Show what would be replaced; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def restore(source: Path, dry_run: bool, yes: bool, location: str | None) -> None:
    """Put a backup in the place of the database.

    The backup is verified first, and the database that it replaces is kept beside it. Shows both, and asks. Nothing is
    changed while another process has the database open: end it first. What is not in the backup, and is still in its
    source, comes in again with `claude-force ingest`.

    \b
    Example:
      claude-force db restore .claude/metrics/backups/metrics-daily-2026-11-24.db --dry-run
    """
    workspace = find_workspace(location)
    for line in _restore_preview(workspace, source.absolute()):
        click.echo(for_terminal(line))
    if dry_run:
        return
    if not (yes or (_is_asked() and click.confirm("Restore?", err=True))):
        _refuse_unasked()
    _restore(workspace, source.absolute())


def _restore_preview(workspace: Workspace, source: Path) -> list[str]:
    """The backup, and what it would take the place of. Raises DatabaseError where it cannot be restored."""
    from claude_force.database.restore import restorable

    restorable(workspace.database, source)
    return [f"Backup:    {_described(source)}", f"Replaces:  {_described(Path(workspace.location))}"]


def _described(path: Path) -> str:
    """A database in a line: how much is in it, and until when; what is wrong with one that cannot be read."""
    from claude_force.database.open import open_database
    from claude_force.errors import DatabaseError
    from claude_force.formatting import quantity, size

    if not path.exists():
        return f"{path}: there is none"
    try:
        with open_database(str(path)).read() as connection:
            number, reach = queries.totals(connection, Filter()).executions, queries.time_range(connection)
    except DatabaseError as error:
        return str(error)
    until = f" until {clock.to_datetime(reach.last_us, clock.local_zone()):%Y-%m-%d %H:%M}" if reach else ""
    return f"{path}: {quantity(number, 'execution')}{until}, {size(_bytes_of(str(path)))}"


def _restore(workspace: Workspace, source: Path) -> None:
    from claude_force.database.restore import restore
    from claude_force.errors import SchedulerError
    from claude_force.scheduler.runs import SCHEDULER

    with workspace.database.try_exclusive(SCHEDULER) as is_free:
        if not is_free:
            raise SchedulerError(f"the scheduler has {workspace.database.name}: claude-force scheduler stop")
        with progress_bar(_bytes_of(str(source)), "Copying") as advance:
            done = restore(workspace.database, source, _stamp(), advance)
    click.echo(f"{workspace.database.name} is restored")
    if done.kept:
        click.echo(f"the database as it was: {done.kept}")
    if done.is_outdated:
        click.echo(f"it has schema {done.revision}, this program needs {HEAD}: claude-force db upgrade")


def _stamp() -> str:
    """Now, as part of the name of a file."""
    return clock.to_datetime(clock.now_us(), clock.local_zone()).strftime("%Y%m%d-%H%M%S")


def _bytes_of(location: str) -> int:
    """The size of a file; 0 of what is none."""
    path = Path(location)
    return path.stat().st_size if path.is_file() else 0
