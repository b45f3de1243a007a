"""Whether some sources have nothing new, found without loading what would read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.ingest_passes import FileStamp, IngestPass, file_stamps, has_unfinished, save_pass
from claude_force.database.workspace import Workspace
from claude_force.errors import DatabaseError
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.ingest.find_files import FoundFile, find_files
from claude_force.ingest.report import SourceReport
from claude_force.ingest.sources import JSONL, SPOOL, STATISTICS, is_read, usual_sources
from claude_force.ingest.transcripts.locate import STATISTICS_FILE, is_entered

_META = ".meta.json"
"""What Claude Code writes beside the transcript of a sub-agent. It is never read for itself."""


def reports_of_nothing(workspace: Workspace, paths: Sequence[Path], now_us: int) -> dict[str, SourceReport] | None:
    """What a pass over the sources at some paths, or without any over the usual ones, reports where nothing is new: how
    many files there are, by kind of source. None where a pass may find something to do, or a problem."""
    problems: list[tuple[Path, str]] = []
    with workspace.database.read() as connection:
        if has_unfinished(connection):
            return None
        stamps = file_stamps(connection, host_name() or "")
    if paths:
        files = _files_at(paths, problems)
    else:
        sources = usual_sources(workspace, lambda path, problem: problems.append((path, problem)))
        files = None if sources.has_waiting() else sources.files()
    reports = None if files is None or problems else _counted(files, stamps)
    if reports is not None and not paths:
        save_nothing_new(workspace.database, IngestPass(now_us))
    return reports


def save_nothing_new(database: Database, done: IngestPass) -> None:
    """Store that a pass over the usual sources found nothing new. If that is not possible, the next one looks again."""
    if database.exists():
        with suppress(DatabaseError), database.write_at_once() as connection:
            save_pass(connection, host_name() or "", done)


def _files_at(paths: Iterable[Path], problems: list[tuple[Path, str]]) -> list[FoundFile] | None:
    """The files in some folders; None if one of the paths is no folder."""
    folders = [path.absolute() for path in paths]
    if not all(folder.is_dir() for folder in folders):
        return None
    return find_files(folders, _may_be_read, lambda path, problem: problems.append((path, problem)), is_entered)


def _may_be_read(_folder: Path, name: str) -> bool:
    return name.endswith((".json", ".jsonl")) and not name.endswith(_META) and name != STATISTICS_FILE


def _counted(files: Iterable[FoundFile], stamps: Mapping[str, FileStamp]) -> dict[str, SourceReport] | None:
    """Files that were read, by their source; None if one of them was not, or has changed since."""
    reports = {source: SourceReport() for source in (SPOOL, JSONL, CLAUDE_CODE, STATISTICS)}
    for file in files:
        stamp = stamps.get(file.name)
        if stamp is None or not is_read(file, stamp) or stamp.source not in reports:
            return None
        reports[stamp.source].files += 1
        reports[stamp.source].unchanged += 1
    return reports
