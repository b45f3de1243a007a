"""What a report without any execution says: what was found to read, and the command that reads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from claude_force.database.missing import is_missing, nearest_database
from claude_force.database.workspace import Workspace
from claude_force.formatting import quantity, size
from claude_force.ingest.found_transcripts import FoundTranscripts, found_transcripts
from claude_force.settings.claude_json import metrics_file
from claude_force.settings.home import user_folder
from claude_force.settings.location import database_location

INGEST = "claude-force ingest"
"""The command that reads transcripts."""


def first_steps(workspace: Workspace) -> str:
    """How to get the first executions into a store that has none: a count of what is there to read, which opens no
    file."""
    lines = [f"No executions yet in {workspace.database.name}", *_other_database(workspace)]
    into = db_option(workspace)
    found = found_lines(found_transcripts(_ignore))
    if found:
        lines += ["Found to read:", *(f"  {line}" for line in found[:-1]), f"  {found[-1]}; {INGEST}{into}"]
    else:
        lines.append(f"Read the transcripts of Claude Code:\n  {INGEST}{into}")
    history = metrics_file(workspace.settings, workspace.home)
    if history.exists():
        lines.append(
            f"Import the history that is in your metrics file:\n  claude-force import {shlex.quote(str(history))}{into}"
        )
    else:
        lines.append("Or record executions with PerformanceTracker, or import a history:")
        lines.append(f"  claude-force import FILE{into}")
    if not workspace.settings.tracking_enabled:
        lines.append("Recording is off: claude-force config set performance.tracking_enabled true")
    return "\n".join(lines)


def db_option(workspace: Workspace) -> str:
    """What a command needs to use this database: nothing if it is the usual one, else --db with a space before it. A
    password is left out."""
    is_usual = workspace.location == database_location(workspace.settings, workspace.home)
    return "" if is_usual else f" --db {shlex.quote(workspace.database.name)}"


def _other_database(workspace: Workspace) -> Iterator[str]:
    """A database beside the one that claude.json names and that does not exist: the name may be misspelt."""
    if workspace.settings.database is None or not is_missing(workspace):
        return
    near = nearest_database(Path(workspace.location))
    if near is not None:
        yield f"performance.database in claude.json names it, and it does not exist; did you mean {near}?"


def found_lines(found: Sequence[FoundTranscripts]) -> list[str]:
    """What there is to read: "~/.claude/projects: 214 sessions (200.0 MB)" for each folder."""
    return [
        f"{shown_path(each.folder)}: {quantity(each.sessions, 'session')} ({size(each.size_bytes)})" for each in found
    ]


def shown_path(folder: Path) -> str:
    """A path with ~ for the home of this user."""
    home = user_folder()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _ignore(_path: Path, _problem: str) -> None:
    """Reading it reports the problem."""
