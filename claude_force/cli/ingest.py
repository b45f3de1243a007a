"""`claude-force ingest`: one pass over everything that executions come from."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, progress_bar
from claude_force.database.workspace import Workspace
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_force.ingest.run import SourceReport
    from claude_force.ingest.tail import FoundFile

_LONG_WORK_BYTES = 64 * 1024 * 1024
"""Less is read before a progress bar would be."""

_NOTES_SHOWN = 20

_TITLES = {"spool": "waiting records", "executions": "executions files", "claude-code": "Claude Code transcripts"}
_COUNTS = ("files", "unchanged", "lines", "added", "known", "changed", "rejected")


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.option("--dry-run", is_flag=True, help="Say what there is that is new; change nothing.")
@click.option("--quiet", is_flag=True, help="Print nothing unless something is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def ingest(paths: tuple[Path, ...], dry_run: bool, quiet: bool, as_json: bool, location: str | None) -> None:
    """Read what is new in every source.

    Nothing is read twice, and nothing is counted twice. Without PATH: executions that waited for the database, the
    metrics file of the settings, and the transcripts of Claude Code (~/.claude/projects, ~/.config/claude/projects, or
    the folders of CLAUDE_CONFIG_DIR, with commas between them). A PATH is a folder of transcripts, a transcript, or a
    JSONL file of executions. Of transcripts only metrics are stored, never what was said.

    \b
    Example:
      claude-force ingest
    """
    from claude_force.ingest import run as passes
    from claude_force.ingest.plan import ingest_inputs, ingest_options

    workspace = find_workspace(location)
    ways = ingest_options(workspace, clock.now_us())
    if dry_run:
        ways = ways._replace(rejects=None)
    sources = ingest_inputs(workspace, paths)
    with _progress(passes.new_files(workspace.database, sources, ways)) as advance, _without_collecting():
        reports = passes.run_pass(workspace.database, sources, ways, advance)
    _say(reports, workspace, paths, dry_run=dry_run, quiet=quiet, as_json=as_json)
    if any(report.problems for report in reports.values()):
        sys.exit(1)


@contextmanager
def _progress(files: Sequence[FoundFile]) -> Iterator[Any]:
    size = sum(file.size for file in files)
    if size < _LONG_WORK_BYTES:
        yield None
        return
    with progress_bar(size, "Reading transcripts") as advance:
        yield advance


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Entries and rows hold no cycles; looking for some among so many takes a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _say(
    reports: dict[str, SourceReport],
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    totals = {name: sum(getattr(report, name) for report in reports.values()) for name in _COUNTS}
    if as_json:
        sources = {
            source: {name: getattr(report, name) for name in _COUNTS}
            | {"skipped": dict(report.skipped)}
            | {"problems": [{"path": path, "problem": problem} for path, problem in report.problems]}
            | {"more_problems": report.more_problems}
            for source, report in reports.items()
        }
        shown = totals | {"dry_run": dry_run, "database": workspace.database.name, "sources": sources}
        click.echo(json.dumps(shown, indent=2))
    elif not quiet:
        _say_table(reports, workspace, paths, dry_run=dry_run)
    for report in reports.values():
        for path, problem in report.problems:
            click.echo(for_terminal(f"{path}: {problem}"), err=True)
        if report.more_problems:
            click.echo(f"and {report.more_problems:,} more problems", err=True)


def _say_table(reports: dict[str, SourceReport], workspace: Workspace, paths: Sequence[Path], *, dry_run: bool) -> None:
    from claude_force.formatting import quantity

    if not any(report.files for report in reports.values()):
        # What is wrong with the sources is said by itself.
        if not any(report.problems for report in reports.values()):
            _say_nothing_found(paths)
        return
    click.echo(f"{'Would read' if dry_run else 'Read'} into {for_terminal(workspace.database.name)}")
    for source, report in reports.items():
        if not report.files:
            continue
        click.echo(f"  {_TITLES[source]}: {quantity(report.files, 'file')}, {report.unchanged:,} with nothing new")
        if report.lines:
            added = quantity(report.added, "new execution")
            click.echo(f"    {quantity(report.lines, 'line')}: {added}, {report.known:,} known already")
        if report.changed:
            click.echo(f"    {quantity(report.changed, 'execution')} got the final figures")
        for reason, count in sorted(report.skipped.items()):
            click.echo(f"    {count:,} left out: {reason}")
        for note in _notes(report):
            click.echo(f"    {for_terminal(note)}")
        if report.rejected:
            where = for_terminal(str(workspace.home.rejected_file))
            click.echo(f"    {quantity(report.rejected, 'line')} rejected, with the reason in {where}")


def _say_nothing_found(paths: Sequence[Path]) -> None:
    places = ", ".join(map(str, paths)) or "~/.claude/projects, ~/.config/claude/projects"
    if not paths and os.environ.get("CLAUDE_CONFIG_DIR"):
        places = "CLAUDE_CONFIG_DIR"
    click.echo(f"Nothing to read: no transcript of Claude Code and no file of executions in {for_terminal(places)}")
    click.echo("Name a folder or a file: claude-force ingest PATH")


def _notes(report: SourceReport) -> Iterator[str]:
    """What a person should hear about executions that were taken."""
    from claude_force.formatting import quantity

    for note, number in report.notes.most_common(_NOTES_SHOWN):
        yield f"{quantity(number, 'execution')}: {note}"
    if report.cost_too_low:
        costs = quantity(report.cost_too_low, "cost")
        yield f"{costs} far below list price, as claude-force 1.3 wrote them: claude-force db reprice"
