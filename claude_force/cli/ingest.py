"""`claude-force ingest`: read what is new in every source of executions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.freshness import KEPT
from claude_force.cli.options import json_option
from claude_force.cli.progress import explained_interrupt, reading_progress
from claude_force.cli.say import say
from claude_force.database.workspace import Workspace
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_force.ingest.report import SourceReport

_NOTES_SHOWN = 20
_STDIN = Path("-")

_TITLES = {
    "spool": "waiting records",
    "executions": "executions files",
    "claude-code": "Claude Code transcripts",
    "claude-code-statistics": "Claude Code's statistics",
    "claude-result": "results of claude -p",
    "telemetry": "received telemetry",
}
_COUNTS = ("files", "unchanged", "lines", "read", "added", "known", "duplicates", "changed", "rejected")
"""The counts of a source in JSON. `read` is the sum of `added`, `duplicates` and `rejected`; `known` is the name of
`duplicates` in earlier versions."""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path, allow_dash=True), metavar="[PATH]...")
@click.option("--dry-run", is_flag=True, help="Show what is new; change nothing.")
@click.option("--quiet", is_flag=True, help="Print nothing unless something is wrong.")
@click.option("--hook", is_flag=True, help="Read what a hook of Claude Code names on standard input.")
@json_option
@database_option
def ingest(
    paths: tuple[Path, ...], dry_run: bool, quiet: bool, hook: bool, as_json: bool, location: str | None
) -> None:
    """Read what is new in every source.

    Nothing is read or counted twice. Without PATH, reads the executions in the spool, the metrics file of the settings,
    the transcripts of Claude Code (~/.claude/projects and ~/.config/claude/projects, or the folders in
    CLAUDE_CONFIG_DIR, separated by commas), its stats-cache.json, and the transcripts of Claude Desktop's sessions
    (Cowork). PATH is a folder of transcripts, a transcript, a JSONL file of executions, or a file with the
    output of claude -p --output-format json or stream-json; - reads such output from standard input. Only metrics are
    stored, never a text.

    With --hook it reads the transcripts of the session that a hook (Stop, SubagentStop, SessionEnd) tells of, prints
    nothing, and exits with 0 in any case: see plugin/.

    \b
    Example:
      claude-force ingest
      claude -p "Fix the build" --output-format stream-json --verbose | claude-force ingest -
    """
    if hook:
        # Imported here: only hooks need it.
        from claude_force.cli.ingest_hook import ingest_for_hook

        ingest_for_hook(location)
        return
    from claude_force.ingest.nothing_new import reports_of_nothing

    workspace, now_us = find_workspace(location, may_be_missing=True), clock.now_us()
    may_be_quick = not dry_run and _STDIN not in paths
    reports = reports_of_nothing(workspace, paths, now_us) if may_be_quick else None
    if reports is None:
        reports = _read(workspace, paths, now_us, dry_run=dry_run)
    if as_json:
        _print_json(reports, workspace, dry_run=dry_run)
    elif not quiet:
        _print_text(reports, workspace, paths, dry_run=dry_run)
    _print_problems(reports)
    if any(report.problems for report in reports.values()):
        sys.exit(1)


def _read(workspace: Workspace, paths: Sequence[Path], now_us: int, *, dry_run: bool) -> dict[str, SourceReport]:
    """One pass over the sources."""
    # Imported here: mostly nothing is new, and this takes longer to load than finding that out.
    from claude_force.ingest.loader import without_gc
    from claude_force.ingest.plan import ingest_inputs, ingest_options
    from claude_force.ingest.run import new_files, run_pass
    from claude_force.ingest.sources import INGESTING

    options = ingest_options(workspace, now_us)
    if dry_run:
        options = options._replace(rejects=None)
    inputs = ingest_inputs(workspace, [path for path in paths if path != _STDIN], _stream(paths))
    new_bytes = sum(file.size for file in new_files(workspace.database, inputs, options))
    # Tells reports that they need not read as well. Two passes at once are harmless: they count nothing twice.
    is_marked = inputs.are_usual_sources and not dry_run and inputs.files()
    mark = workspace.database.try_exclusive(INGESTING) if is_marked else nullcontext()
    with explained_interrupt(KEPT), mark, reading_progress(new_bytes) as advance, without_gc():
        return run_pass(workspace.database, inputs, options, advance)


def _stream(paths: Sequence[Path]) -> BufferedReader | None:
    if _STDIN not in paths:
        return None
    if sys.stdin is None:
        raise click.UsageError("the standard input is closed")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _print_json(reports: dict[str, SourceReport], workspace: Workspace, *, dry_run: bool) -> None:
    totals = {name: sum(getattr(report, name) for report in reports.values()) for name in _COUNTS}
    sources = {
        source: {name: getattr(report, name) for name in _COUNTS}
        | {"skipped": dict(report.skipped)}
        | {"problems": [{"path": path, "problem": problem} for path, problem in report.problems]}
        | {"more_problems": report.more_problems}
        for source, report in reports.items()
    }
    document = totals | {"dry_run": dry_run, "database": workspace.database.name, "sources": sources}
    click.echo(json.dumps(document, indent=2))


def _print_problems(reports: dict[str, SourceReport]) -> None:
    for report in reports.values():
        for path, problem in report.problems:
            say(f"{path}: {problem}", err=True)
        if report.more_problems:
            say(f"and {report.more_problems:,} more problems", err=True)


def _print_text(
    reports: dict[str, SourceReport], workspace: Workspace, paths: Sequence[Path], *, dry_run: bool
) -> None:
    if any(report.files for report in reports.values()):
        say(f"{'Would read' if dry_run else 'Read'} into {workspace.database.name}")
        for source, report in reports.items():
            if report.files:
                _print_source(source, report, workspace)
    elif not any(report.problems for report in reports.values()):
        _print_nothing_found(paths)


def _print_source(source: str, report: SourceReport, workspace: Workspace) -> None:
    from claude_force.formatting import quantity

    say(f"  {_TITLES[source]}: {quantity(report.files, 'file')}, {report.unchanged:,} with nothing new")
    if report.lines or report.read:
        counts = ((report.added, "added"), (report.known, "duplicates"), (report.rejected, "rejected"))
        found = ", ".join(f"{number:,} {what}" for number, what in counts)
        say(f"    {quantity(report.lines, 'line')}; {report.read:,} read: {found}")
    if report.changed:
        say(f"    {quantity(report.changed, 'execution')} got the final figures")
    for reason, count in sorted(report.skipped.items()):
        say(f"    {count:,} left out: {reason}")
    for note in _notes(report):
        say(f"    {note}")
    if report.rejected:
        where = for_terminal(str(workspace.home.rejected_file))
        say(f"    {quantity(report.rejected, 'line')} rejected, with the reason in {where}")


def _print_nothing_found(paths: Sequence[Path]) -> None:
    places = ", ".join(map(str, paths)) or "~/.claude/projects, ~/.config/claude/projects, Claude Desktop"
    if not paths and os.environ.get("CLAUDE_CONFIG_DIR"):
        places = "CLAUDE_CONFIG_DIR"
    say(f"Nothing to read: no transcript of Claude Code and no file of executions in {places}")
    say("Name a folder or a file: claude-force ingest PATH")


def _notes(report: SourceReport) -> Iterator[str]:
    """What needs attention about the executions that were stored."""
    from claude_force.formatting import quantity
    from claude_force.ingest.report import too_low

    for note, count in report.notes.most_common(_NOTES_SHOWN):
        yield f"{quantity(count, 'execution')}: {note}"
    if report.cost_too_low:
        yield f"{too_low(report.cost_too_low)}: claude-force db reprice"
