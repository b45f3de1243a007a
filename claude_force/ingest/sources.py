"""The usual sources of executions of this machine, found without loading what reads them.

A report asks before each answer whether one of them has something new; mostly none has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from claude_force.database.ingest_passes import FileStamp
from claude_force.database.workspace import Workspace
from claude_force.ingest.find_files import FoundFile, OnProblem, found_file
from claude_force.ingest.spool_files import former_files, spool_files, telemetry_folders, unsettled_files
from claude_force.ingest.telemetry.segments import sealed_segments
from claude_force.ingest.transcripts import locate
from claude_force.settings.claude_json import metrics_file
from claude_force.settings.home import user_folder
from claude_force.settings.location import DATABASE_VARIABLE, database_location

SPOOL, JSONL, STATISTICS = "spool", "executions", "claude-code-statistics"
"""Kinds of sources in reports, and of the last two in cursors: spool files, files of executions, Claude Code's
statistics."""

INGESTING = "ingest"
"""The role that a process holds while it reads the usual sources (see `Database.try_exclusive`), so that a report does
not read them a second time."""


class UsualSources(NamedTuple):
    """Spool files that may exist, files of executions, transcripts in no order, files of Claude Code's statistics that
    may exist, and folders with telemetry that may exist."""

    spooled: Sequence[Path]
    executions: Sequence[Path]
    transcripts: Sequence[FoundFile]
    statistics: Sequence[Path]
    telemetry: Sequence[Path] = ()

    def has_waiting(self) -> bool:
        """Whether executions or signals wait in a spool. Raises OSError if a folder of signals cannot be read."""
        return any(path.exists() for path in self.spooled) or any(map(sealed_segments, self.telemetry))

    def files(self) -> list[FoundFile]:
        """The files that are read where they are and stay there; one that cannot be looked at is left out."""
        found = list(self.transcripts)
        for path in (*self.executions, *self.statistics):
            try:
                found.append(found_file(path))
            except OSError:
                continue
        return found


def usual_sources(workspace: Workspace, on_problem: OnProblem) -> UsualSources:
    """All sources of a workspace: its spool, the metrics file of its settings, and what Claude Code and Claude Desktop
    keep for this user."""
    folders = locate.roots(os.environ, user_folder(), on_problem)
    own = metrics_file(workspace.settings, workspace.home)
    return UsualSources(
        spooled=waiting_files(workspace),
        executions=[own] if own.is_file() else [],
        transcripts=locate.find_unsorted(folders, on_problem),
        statistics=locate.statistics_files(folders),
        telemetry=telemetry_folders(workspace.location, workspace.home.metrics_folder),
    )


def waiting_files(workspace: Workspace) -> tuple[Path, ...]:
    """The files in which executions may wait for the database of a workspace."""
    folder = workspace.home.metrics_folder
    files: tuple[Path, ...] = spool_files(workspace.location, folder)
    is_default = workspace.location == database_location(workspace.settings, workspace.home)
    if is_default and not os.environ.get(DATABASE_VARIABLE):
        files += (*unsettled_files(workspace.home), *former_files(workspace.location, workspace.home))
    return tuple(dict.fromkeys(files))


def is_read(file: FoundFile, stamp: FileStamp) -> bool:
    """Whether a file was read to its end and has not changed since, as `tail.is_unchanged` tells."""
    return stamp[:5] == (file.size, file.mtime_ns, file.inode, file.device, True)


class Unread(NamedTuple):
    """How many files have something new, and how many bytes that is."""

    files: int = 0
    bytes: int = 0


def unread(files: Iterable[FoundFile], stamps: Mapping[str, FileStamp]) -> Unread:
    """What is new in some files since they were read, going by their size, time and inode."""
    count = size = 0
    for file in files:
        stamp = stamps.get(file.name)
        if stamp is None or not is_read(file, stamp):
            count += 1
            # A file that is shorter than before is another one.
            size += file.size if stamp is None or stamp.size > file.size else file.size - stamp.size
    return Unread(count, size)
