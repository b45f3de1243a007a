"""`claude-force import`: history from JSONL files."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, progress_bar, timezone_option
from claude_force.database.contract import Progress
from claude_force.database.workspace import Workspace
from claude_force.database.writes import Store
from claude_force.executions.pricing import PriceTable
from claude_force.formatting import quantity
from claude_force.ingest import spool
from claude_force.ingest.input import STDIN, Input, open_input
from claude_force.ingest.loader import DryRun, ImportReport, RejectLog, Target, load
from claude_force.settings.claude_json import metrics_file
from claude_force.text import for_terminal

_LONG_WORK_BYTES = 4 * 1024 * 1024
"""A file of less is imported before a progress bar would be read."""


@click.command("import")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="[FILE]...")
@timezone_option
@click.option("--dry-run", is_flag=True, help="Say what would be imported; change nothing.")
@click.option("--reprice", is_flag=True, help="Use list prices instead of the costs in the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the totals as JSON.")
@database_option
def import_command(
    files: tuple[str, ...], zone_name: str | None, dry_run: bool, reprice: bool, as_json: bool, location: str | None
) -> None:
    """Import a history from JSONL files.

    The lines of the guide, of claude-force 1.3 and of our own export; also .gz, and - for standard input. Without
    FILE: the metrics file of the settings, and executions that waited for the database. Importing a file twice adds
    nothing. An archive brings its executions back. A timestamp without an offset is local time, or of --timezone. With
    --reprice, executions that are stored already get their list price too.

    \b
    Example:
      claude-force import .claude/metrics/executions.jsonl --reprice
    """
    from claude_force.ingest.jsonl_source import JsonlSource
    from claude_force.ingest.prefetch import read

    zone = clock.zone_of(zone_name)
    workspace = find_workspace(location)
    _refuse_rejects(files, workspace.home.rejected_file)
    target: Target = DryRun(workspace.database) if dry_run else Store(workspace.database)
    rejects = None if dry_run else RejectLog(workspace.home.rejected_file)
    total = ImportReport() if files or dry_run else _drain_spool(workspace, target)
    found = workspace.settings
    prices = PriceTable(found.reference_model, found.prices) if found.cost_tracking or reprice else None
    for path in files or _metrics_files(workspace, required=not total.read):
        with open_input(path) as source, _progress(source) as progress:
            total += load(
                read(source, JsonlSource(zone, prices, reprice)),
                target,
                source=source.name,
                rejects=rejects,
                now_us=clock.now_us(),
                restore=True,
                reprice=reprice,
                progress=progress,
            )
    if isinstance(target, DryRun):
        target.close()
    _say(total, workspace, dry_run=dry_run, reprice=reprice, as_json=as_json)
    if total.rejected:
        sys.exit(1)


def _refuse_rejects(files: tuple[str, ...], rejected_file: Path) -> None:
    """The file of rejects would grow while it is read."""
    for path in files:
        source = os.stat(path) if path != STDIN else os.fstat(sys.stdin.fileno()) if sys.stdin else None
        if source and rejected_file.exists() and os.path.samestat(source, rejected_file.stat()):
            raise click.UsageError(f"{path} holds rejected lines and their reasons; correct them where they came from")


def _drain_spool(workspace: Workspace, target: Target) -> ImportReport:
    from claude_force.ingest.plan import waiting_files

    return spool.drain(waiting_files(workspace), target, RejectLog(workspace.home.rejected_file), clock.now_us())


def _metrics_files(workspace: Workspace, *, required: bool) -> tuple[str, ...]:
    path = metrics_file(workspace.settings, workspace.home)
    if path.is_file():
        return (str(path),)
    if required:
        raise click.UsageError(f"there is no {path} to import; name a FILE")
    return ()


@contextmanager
def _progress(source: Input) -> Iterator[Progress | None]:
    """A progress bar on a terminal, for a file whose size is known."""
    if source.size is None or source.size < _LONG_WORK_BYTES:
        yield None
        return
    with progress_bar(source.size, "Importing") as advance:
        done = 0

        def advance_to(position: int) -> None:
            nonlocal done
            if advance is not None:
                advance(position - done)
            done = position

        yield advance_to


def _say(total: ImportReport, workspace: Workspace, *, dry_run: bool, reprice: bool, as_json: bool) -> None:
    shown: dict[str, Any] = {
        "read": total.read,
        "added": total.added,
        "duplicates": total.duplicates,
        "rejected": total.rejected,
    }
    # What hardly any import does is said only by one that did it.
    rare = {"restored": total.restored, "repriced": total.repriced}
    shown |= {name: number for name, number in rare.items() if number}
    if as_json:
        import json

        click.echo(json.dumps(shown | {"dry_run": dry_run, "database": workspace.database.name}, indent=2))
    else:
        click.echo(f"{'Would import' if dry_run else 'Imported'} into {for_terminal(workspace.database.name)}")
        for name, number in shown.items():
            click.echo(f"  {name.capitalize():<11}{number:>12,}")
    for note, number in total.notes.most_common(20):
        click.echo(f"note: {quantity(number, 'execution')}: {for_terminal(note)}", err=True)
    if total.cost_too_low and not reprice:
        click.echo(
            f"note: {quantity(total.cost_too_low, 'cost')} far below list price, as claude-force 1.3 wrote them; "
            "import again with --reprice to correct them",
            err=True,
        )
    for source, item in total.examples:
        click.echo(for_terminal(f"{source}, line {item.line:,}: {item.reason}"), err=True)
    if total.rejected:
        where = "" if dry_run else f"; each with its reason: tail {shlex.quote(str(workspace.home.rejected_file))}"
        verb = "was" if total.rejected == 1 else "were"
        click.echo(f"{quantity(total.rejected, 'line')} {verb} rejected{where}", err=True)
