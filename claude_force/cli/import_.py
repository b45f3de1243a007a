"""`claude-force import`: history from JSONL files."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.options import json_option
from claude_force.cli.progress import explained_interrupt, progress_bar
from claude_force.cli.say import say
from claude_force.database.contract import Progress
from claude_force.database.workspace import Workspace
from claude_force.database.writes import Store
from claude_force.executions.pricing import PriceTable
from claude_force.formatting import quantity
from claude_force.ingest import spool
from claude_force.ingest.input import STDIN, Input, open_input
from claude_force.ingest.loader import Loader
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport, too_low
from claude_force.ingest.target import open_target
from claude_force.settings.claude_json import metrics_file

_PROGRESS_BYTES = 4 * 1024 * 1024
"""A smaller file is imported before anybody could read a progress bar."""

_KEPT = "what was imported so far is stored; the same command goes on from there, and counts nothing twice"

_NOTES_SHOWN = 20


@click.command("import")
@click.argument("files", nargs=-1, type=click.Path(exists=True, allow_dash=True), metavar="[FILE]...")
@timezone_option
@click.option("--dry-run", is_flag=True, help="Show what would be imported; change nothing.")
@click.option("--reprice", is_flag=True, help="Use list prices instead of the costs in the file.")
@json_option
@database_option
def import_command(
    files: tuple[str, ...], zone_name: str | None, dry_run: bool, reprice: bool, as_json: bool, location: str | None
) -> None:
    """Import executions from JSONL files.

    Reads the executions that a tracker, claude-force 1.3 or `analytics export` wrote, also compressed as .gz; - reads
    standard input. Without FILE, imports the metrics file of the settings and the executions in the spool. Importing a
    file twice adds nothing. Importing an archive restores its executions. A timestamp without an offset is local time,
    or that of --timezone. --reprice also applies to executions that are already stored.

    \b
    Example:
      claude-force import .claude/metrics/executions.jsonl --reprice
    """
    from claude_force.ingest.foreign_files import refuse_foreign
    from claude_force.ingest.jsonl_source import JsonlSource
    from claude_force.ingest.prefetch import read_batches

    zone = clock.zone_of(zone_name)
    workspace = find_workspace(location, may_be_missing=True)
    rejects = RejectLog(workspace.home.rejected_file)
    _refuse_folders(files)
    _refuse_rejected_file(files, rejects.path)
    for path in files:
        # All before the first is imported. Standard input cannot be looked at twice.
        if path != STDIN:
            with open_input(path) as file:
                refuse_foreign(file)
    report = SourceReport() if files or dry_run else _drain_spool(workspace, rejects)
    settings = workspace.settings
    prices = PriceTable(settings.reference_model, settings.prices) if settings.cost_tracking or reprice else None
    with explained_interrupt(_KEPT), open_target(workspace.database, is_dry_run=dry_run) as target:
        loader = Loader(target, None if dry_run else rejects, restore=True, reprice=reprice, report=report)
        for path in files or _metrics_files(workspace, required=not report.read):
            with open_input(path) as file, _progress(file) as progress:
                refuse_foreign(file)
                batches = read_batches(file, JsonlSource(zone, prices, reprice))
                loader.load(file.name, batches, clock.now_us(), progress)
    _print_report(report, workspace, dry_run=dry_run, as_json=as_json)
    _print_warnings(report, workspace, files, dry_run=dry_run, reprice=reprice)
    if report.rejected:
        sys.exit(1)


def _refuse_folders(files: tuple[str, ...]) -> None:
    for path in files:
        if path != STDIN and os.path.isdir(path):  # noqa: PTH112  (what the user typed, as it is)
            raise click.UsageError(
                f"{path} is a folder; to read the transcripts in it: claude-force ingest {shlex.quote(path)}"
            )


def _refuse_rejected_file(files: tuple[str, ...], rejected_file: Path) -> None:
    """Importing the file of rejected lines would append to it while it is read."""
    for path in files:
        source = os.stat(path) if path != STDIN else os.fstat(sys.stdin.fileno()) if sys.stdin else None
        if source and rejected_file.exists() and os.path.samestat(source, rejected_file.stat()):
            raise click.UsageError(f"{path} holds rejected lines and their reasons; correct them where they came from")


def _drain_spool(workspace: Workspace, rejects: RejectLog) -> SourceReport:
    from claude_force.ingest.sources import waiting_files

    return spool.drain(waiting_files(workspace), Store(workspace.database), rejects, clock.now_us())


def _metrics_files(workspace: Workspace, *, required: bool) -> tuple[str, ...]:
    path = metrics_file(workspace.settings, workspace.home)
    if path.is_file():
        return (str(path),)
    if required:
        raise click.UsageError(f"there is no {path} to import; name a FILE")
    return ()


@contextmanager
def _progress(file: Input) -> Iterator[Progress | None]:
    """A progress bar, for a file whose size is known."""
    if file.size is None or file.size < _PROGRESS_BYTES:
        yield None
        return
    with progress_bar(file.size, "Importing") as advance:
        done = 0

        def advance_to(position: int) -> None:
            nonlocal done
            if advance is not None:
                advance(position - done)
            done = position

        yield advance_to


def _print_report(report: SourceReport, workspace: Workspace, *, dry_run: bool, as_json: bool) -> None:
    counts: dict[str, Any] = {
        "read": report.read,
        "added": report.added + report.restored,
        "duplicates": report.known,
        "rejected": report.rejected,
    }
    # Rare counts appear only if there are any. They are among those above.
    counts |= {name: count for name in ("restored", "repriced", "cost_too_low") if (count := getattr(report, name))}
    if as_json:
        import json

        click.echo(json.dumps(counts | {"dry_run": dry_run, "database": workspace.database.name}, indent=2))
        return
    say(f"{'Would import' if dry_run else 'Imported'} into {workspace.database.name}")
    for name, count in counts.items():
        say(f"  {name.replace('_', ' ').capitalize():<13}{count:>10,}")


def _print_warnings(
    report: SourceReport, workspace: Workspace, files: Sequence[str], *, dry_run: bool, reprice: bool
) -> None:
    """Print notes and rejected lines to standard error."""
    for note, count in report.notes.most_common(_NOTES_SHOWN):
        say(f"note: {quantity(count, 'execution')}: {note}", err=True)
    if report.cost_too_low and not reprice:
        command = shlex.join(["claude-force", "import", *files, "--reprice"])
        say(f"note: {too_low(report.cost_too_low)}: {command}", err=True)
    for source, item in report.examples:
        say(f"{source}, line {item.line:,}: {item.reason}", err=True)
    if report.rejected:
        where = "" if dry_run else f"; each with its reason: tail {shlex.quote(str(workspace.home.rejected_file))}"
        verb = "was" if report.rejected == 1 else "were"
        say(f"{quantity(report.rejected, 'line')} {verb} rejected{where}", err=True)
