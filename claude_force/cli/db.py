"""`claude-force db`: upgrade, check, back up and restore the database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock, time_windows
from claude_force.cli.chosen_database import database_option, group_database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.confirm import confirm
from claude_force.cli.db_merge import merge
from claude_force.cli.db_sql import sql
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option, time_stamp
from claude_force.cli.progress import explained_interrupt, progress_bar
from claude_force.cli.say import say
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.revisions import HEAD
from claude_force.database.workspace import Workspace
from claude_force.errors import DatabaseMissing

if TYPE_CHECKING:
    from claude_force.database.contract import Database
    from claude_force.database.reprice import Preview
    from claude_force.executions.pricing import PriceTable


@click.group(cls=CommandGroup)
@group_database_option
def db() -> None:
    """Ask, upgrade, check, merge, back up and restore the database.

    \b
    Example:
      claude-force db check
    """


@db.command()
@database_option
def path(location: str | None) -> None:
    """Print the location of the database. A password is hidden.

    \b
    Example:
      claude-force db path
    """
    click.echo(find_workspace(location, may_be_missing=True).database.name)


@db.command()
@json_option
@database_option
def current(as_json: bool, location: str | None) -> None:
    """Print the schema revision, and the nodes of a Citus cluster.

    If it is not the revision that this version of claude-force needs, prints the command that upgrades it.

    \b
    Example:
      claude-force db current
    """
    database = find_workspace(location).database
    found = database.revision()
    cluster = database.cluster() if found else None
    if as_json:
        nodes = {"nodes": [node._asdict() for node in cluster.nodes]} if cluster else {}
        click.echo(json.dumps({"revision": found, "head": HEAD, "is_head": found == HEAD} | nodes))
        return
    state = "up to date" if found == HEAD else f"this program needs {HEAD}: claude-force db upgrade"
    say(f"{found} ({state})" if found else f"no database yet (head is {HEAD})")
    if cluster:
        say(str(cluster))


@db.command()
@database_option
def upgrade(location: str | None) -> None:
    """Bring the schema up to date, or create it. A SQLite file is backed up first.

    \b
    Example:
      claude-force db upgrade
    """
    from claude_force.database import migrate

    database = find_workspace(location, may_be_missing=True).database
    with explained_interrupt("an upgrade is one transaction: the database is as it was, or at the new schema"):
        result = migrate.upgrade(database)
    if result.before == result.after:
        say(f"{database.name} is at {result.after} already")
        return
    say(f"{database.name}: {result.before or 'new'} -> {result.after}")
    if result.backup:
        say(f"the database as it was: {result.backup}")


@db.command()
@click.option(
    "--shards", type=click.IntRange(1, 1024), help="Parts of each table. Default: 4 for each worker, from 8 to 32."
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def distribute(shards: int | None, dry_run: bool, yes: bool, location: str | None) -> None:
    """Spread the tables over the workers of a Citus cluster.

    The database is on the coordinator, a PostgreSQL server with Citus. Shows which tables go where, and asks. Programs
    that record wait meanwhile. A later upgrade spreads new tables by itself. See docs/how-to/citus.md.

    \b
    Example:
      claude-force db distribute --db postgresql://coordinator/metrics --dry-run
    """
    from claude_force.database import migrate
    from claude_force.formatting import quantity
    from claude_force.reports.layouts.database import distribution_lines

    database = find_workspace(location).database
    plan = migrate.plan_distribution(database, shards)
    for line in distribution_lines(plan):
        say(line)
    if dry_run or not plan.missing:
        return
    moving = f"{quantity(plan.executions, 'execution')} would move to {quantity(len(plan.workers), 'worker')}"
    confirm(moving, "Distribute?", yes=yes)
    with explained_interrupt("distributing is one transaction: all tables are where they were, or where they belong"):
        moved = migrate.distribute(database, plan)
    say(f"{database.name}: distributed {quantity(len(moved), 'table')}")
    say("restart what has the database open: the scheduler, the receiver, the dashboard and programs that record")


@db.command()
@json_option
@database_option
def check(as_json: bool, location: str | None) -> None:
    """Check the schema, every page of the file, and the roll-ups.

    The roll-ups are compared with the executions. Exit code 1 if something is wrong. The pages of a PostgreSQL server
    are checked by its extension amcheck; what was not checked is said.

    \b
    Example:
      claude-force db check
    """
    database = find_workspace(location).database
    problems, unchecked = _find_problems(database)
    if as_json:
        result = {"database": database.name, "ok": not problems, "problems": problems, "not_checked": unchecked or None}
        click.echo(json.dumps(result, indent=2))
    else:
        for line in [*([f"not checked: {unchecked}"] if unchecked else []), *(problems or ["ok"])]:
            say(f"{database.name}: {line}")
    if problems:
        sys.exit(1)


def _find_problems(database: Database) -> tuple[list[str], str]:
    """The problems, a line each, and what the engine could not check, with the reason."""
    from claude_force.database import check as checking

    revision = database.revision()
    if not revision:
        return [f"there is no database at {database.name}"], ""
    if revision != HEAD:
        problems, _, unchecked = database.check_integrity()
        return [*problems, f"schema {revision}, this program needs {HEAD}: claude-force db upgrade"], unchecked
    with progress_bar(checking.number_to_check(database), "Checking") as advance:
        return checking.check(database, advance)


@db.command()
@database_option
def rebuild(location: str | None) -> None:
    """Rebuild the roll-ups from the executions.

    Reports do not change, unless `db check` found a problem. On SQLite, recording waits meanwhile; after 30 seconds
    executions go to a spool file, so nothing is lost.

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
    with (
        explained_interrupt("the roll-ups are as they were; nothing was changed"),
        progress_bar(expected, "Counting") as advance,
    ):
        count = Store(database).rebuild(advance)
    say(f"{database.name}: rebuilt the roll-ups of {quantity(count, 'execution')}")


@db.command()
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only this model, family (sonnet) or glob. Repeatable."
)
@click.option("--since", metavar="WHEN", help="Only since this date or time, or 7d (ago).")
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
    """Recompute stored costs with the current price table.

    Each execution is priced as of its own day. Shows what would change, and asks. Executions with no known price keep
    their cost. The cost as first recorded is kept, too.

    \b
    Example:
      claude-force db reprice --model claude-opus-4-6 --since 2026-01-01 --dry-run
    """
    from claude_force.analytics.names import known_names
    from claude_force.database import reprice as repricing
    from claude_force.executions.pricing import PriceTable
    from claude_force.reports.layouts.database import reprice_page
    from claude_force.reports.render import write_page

    workspace = find_workspace(location)
    chosen = Filter(_since(since, zone_name), models=models)
    with workspace.database.read() as connection:
        chosen = known_names(connection, chosen)
    prices = PriceTable(workspace.settings.reference_model, workspace.settings.prices)
    found = repricing.preview(workspace.database, prices, chosen)
    if not as_json:
        write_page(reprice_page(found, len(workspace.settings.prices)), sys.stdout)
    is_wanted = bool(found.models) and not dry_run
    if is_wanted:
        confirm(_describe_reprice(found), f"Reprice {found.total.executions:,}?", yes=yes)
    changed = _reprice(workspace, prices, chosen, found.total.executions) if is_wanted else 0
    if as_json:
        result = found.to_dict() | {"repriced": changed, "dry_run": dry_run, "database": workspace.database.name}
        click.echo(json.dumps(result, indent=2))
    elif is_wanted:
        click.echo()
        say(f"{workspace.database.name}: {changed:,} repriced")


def _describe_reprice(found: Preview) -> str:
    from claude_force.formatting import quantity

    return f"{quantity(found.total.executions, 'execution')} would get another cost"


def _since(since: str | None, zone_name: str | None) -> time_windows.Window:
    if since is None:
        return time_windows.ALL_TIME
    edge = time_windows.spoken_edge(since, clock.zone_of(zone_name), "--since", clock.now_us(), is_end=False)
    return time_windows.window_between(edge, None)


def _reprice(workspace: Workspace, prices: PriceTable, chosen: Filter, expected: int) -> int:
    from claude_force.database import reprice as repricing
    from claude_force.database.writes import Store

    kept = "the costs that were recomputed so far are stored; the same command goes on from there"
    with explained_interrupt(kept), progress_bar(expected, "Repricing") as advance:
        return repricing.apply(Store(workspace.database), prices, chosen, advance)


db.add_command(merge)
db.add_command(sql)


@db.command()
@click.argument("target", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE]")
@database_option
def backup(target: Path | None, location: str | None) -> None:
    """Write a verified copy of the database, and print its path.

    Recording continues meanwhile. Default FILE: a new file in backups/ beside the database.

    \b
    Example:
      claude-force db backup metrics-copy.db
    """
    workspace = find_workspace(location)
    if target is None:
        target = workspace.data_folder / "backups" / f"metrics-{time_stamp()}.db"
    kept = "no backup was made, and the database is as it was"
    with explained_interrupt(kept), progress_bar(_bytes_of(workspace.location), "Copying") as advance:
        workspace.database.backup(target.absolute(), advance)
    click.echo(str(target))


@db.command()
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Show what would be replaced; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def restore(source: Path, dry_run: bool, yes: bool, location: str | None) -> None:
    """Replace the database with a backup.

    The backup is verified first. Shows both files, and asks. The replaced database is kept beside the new one. Stop
    every process that has the database open first. Afterwards `claude-force ingest` reads again what the backup does
    not have and a source still has.

    \b
    Example:
      claude-force db restore metrics-copy.db --dry-run
    """
    from claude_force.database.restore import restorable
    from claude_force.reports.layouts.database import database_line

    workspace, backup = find_workspace(location, may_be_missing=True), source.absolute()
    restorable(workspace.database, backup)
    say(f"Backup:    {database_line(backup)}")
    say(f"Replaces:  {database_line(Path(workspace.location))}")
    if dry_run:
        return
    confirm("the backup would replace the database", "Restore?", yes=yes)
    _restore(workspace, backup)


def _restore(workspace: Workspace, source: Path) -> None:
    from claude_force.database.restore import restore
    from claude_force.errors import SchedulerError
    from claude_force.scheduler.runs import SCHEDULER

    with workspace.database.try_exclusive(SCHEDULER) as is_free:
        if not is_free:
            raise SchedulerError(f"the scheduler uses {workspace.database.name}: claude-force scheduler stop")
        kept = "the database is as it was, or the backup is there in full; the same command finishes it"
        with explained_interrupt(kept), progress_bar(_bytes_of(str(source)), "Copying") as advance:
            done = restore(workspace.database, source, time_stamp(), advance)
    say(f"restored {workspace.database.name}")
    if done.kept:
        say(f"the previous database: {done.kept}")
    if done.is_outdated:
        say(f"its schema is {done.revision}, this program needs {HEAD}: claude-force db upgrade")


def _bytes_of(location: str) -> int:
    """The size of a file, or 0 if it does not exist."""
    path = Path(location)
    return path.stat().st_size if path.is_file() else 0
