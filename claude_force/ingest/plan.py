"""What an ingestion pass reads, and how: decided from the settings and the paths that a user names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import tzinfo
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from claude_force import clock
from claude_force.database.workspace import Workspace
from claude_force.executions.origin import host_name
from claude_force.executions.pricing import PriceTable
from claude_force.ingest import spool
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.jsonl_source import holds_executions, holds_objects
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.results.source import results_at
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.settings.claude_json import metrics_file
from claude_force.settings.home import user_folder
from claude_force.settings.location import DATABASE_VARIABLE, database_location


class IngestOptions(NamedTuple):
    """How a pass reads. Without `prices` executions get no cost; `zone` applies to times without an offset; `host` is
    the name of this machine; `rejects` is None for a dry run, which stores nothing; `now_us` is the time of the
    pass."""

    prices: PriceTable | None
    zone: tzinfo
    host: str
    rejects: RejectLog | None
    now_us: int

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is stored."""
        return self.rejects is None


class IngestInputs(NamedTuple):
    """What a pass reads: spool files, files of executions, transcripts in the order in which to read them, Claude
    Code's statistics, results of `claude -p`, and such results from a stream. `report` lists the problems met when
    these were looked for."""

    spooled: Sequence[Path]
    executions: Sequence[Path]
    transcripts: Sequence[FoundFile]
    report: SourceReport
    statistics: Sequence[Path] = ()
    results: Sequence[Path] = ()
    stream: BufferedReader | None = None


def ingest_options(workspace: Workspace, now_us: int) -> IngestOptions:
    """The options by the settings of a workspace: its prices, local time, this machine."""
    settings = workspace.settings
    return IngestOptions(
        prices=PriceTable(settings.reference_model, settings.prices) if settings.cost_tracking else None,
        zone=clock.local_zone(),
        host=host_name() or "",
        rejects=RejectLog(workspace.home.rejected_file),
        now_us=now_us,
    )


def ingest_inputs(
    workspace: Workspace, paths: Sequence[Path] = (), stream: BufferedReader | None = None
) -> IngestInputs:
    """The sources at some paths, and in a stream; without either, all sources of a workspace."""
    report = SourceReport()
    results: list[Path] = []
    if paths or stream is not None:
        spooled: tuple[Path, ...] = ()
        statistics = [path.absolute() for path in paths if path.name == transcripts.STATISTICS_FILE]
        others = [path for path in paths if path.name != transcripts.STATISTICS_FILE]
        results = results_at(others)
        folders, executions = _sort_by_kind([path for path in others if path.absolute() not in results], report)
    else:
        spooled = spool_files(workspace)
        folders = transcripts.roots(os.environ, user_folder(), report.add_problem)
        statistics = transcripts.statistics_files(folders)
        own = metrics_file(workspace.settings, workspace.home)
        executions = [own] if own.is_file() else []
    found = [file for file in transcripts.find(folders, report.add_problem) if file.path not in results]
    return IngestInputs(spooled, executions, found, report, statistics, results, stream)


def _sort_by_kind(paths: Sequence[Path], report: SourceReport) -> tuple[list[Path], list[Path]]:
    """Transcripts and folders of them, and files of executions. A file that is neither becomes a problem."""
    folders: list[Path] = []
    executions: list[Path] = []
    for path in paths:
        if not path.is_file():
            folders.append(path.absolute())
        elif holds_executions(path):
            executions.append(path.absolute())
        elif holds_objects(path):
            folders.append(path.absolute())
        else:
            report.add_problem(path, "neither a transcript nor a file of executions: it does not begin with JSON lines")
    return folders, executions


def spool_files(workspace: Workspace) -> tuple[Path, ...]:
    """The files in which executions may wait for the database of a workspace."""
    folder = workspace.home.metrics_folder
    files: tuple[Path, ...] = spool.spool_files(workspace.location, folder)
    is_default = workspace.location == database_location(workspace.settings, workspace.home)
    if is_default and not os.environ.get(DATABASE_VARIABLE):
        files += (spool.unsettled_file(folder),)
    return files
