"""What a pass of ingestion reads at a place, and how: the sources that are there, and the ways of the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from claude_force import clock
from claude_force.database.workspace import Workspace
from claude_force.executions.origin import host_name
from claude_force.executions.pricing import PriceTable
from claude_force.ingest import spool
from claude_force.ingest.jsonl_source import holds_executions, holds_objects
from claude_force.ingest.loader import RejectLog
from claude_force.ingest.run import IngestInputs, IngestOptions, SourceReport
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.settings.claude_json import metrics_file
from claude_force.settings.home import user_folder
from claude_force.settings.location import DATABASE_VARIABLE, database_location


def ingest_options(workspace: Workspace, now_us: int) -> IngestOptions:
    """How a place reads: at the prices of its settings, in local time, on this machine."""
    settings = workspace.settings
    return IngestOptions(
        prices=PriceTable(settings.reference_model, settings.prices) if settings.cost_tracking else None,
        zone=clock.local_zone(),
        host=host_name() or "",
        rejects=RejectLog(workspace.home.rejected_file),
        now_us=now_us,
    )


def ingest_inputs(workspace: Workspace, paths: Sequence[Path] = ()) -> IngestInputs:
    """What to read, told apart: these paths, or everything that the place knows of. What is wrong with it is said in
    the report."""
    report = SourceReport()
    folders, executions = _sorted(paths, workspace, report)
    waiting = () if paths else waiting_files(workspace)
    return IngestInputs(waiting, executions, transcripts.find(folders, report.say), report)


def _sorted(paths: Sequence[Path], workspace: Workspace, report: SourceReport) -> tuple[list[Path], list[Path]]:
    """What holds transcripts, and which files hold executions."""
    if paths:
        executions = [path for path in paths if path.is_file() and holds_executions(path)]
        others = [path for path in paths if path not in executions]
        for path in [path for path in others if path.is_file() and not holds_objects(path)]:
            report.say(path, "neither a transcript nor a file of executions: no line of JSON at its beginning")
            others.remove(path)
        return [path.absolute() for path in others], [path.absolute() for path in executions]
    own = metrics_file(workspace.settings, workspace.home)
    return transcripts.roots(os.environ, user_folder(), report.say), [own] if own.is_file() else []


def waiting_files(workspace: Workspace) -> tuple[Path, ...]:
    """Where executions may wait for the database of a place."""
    folder = workspace.home.metrics_folder
    waiting: tuple[Path, ...] = spool.spool_files(workspace.location, folder)
    if workspace.location == database_location(workspace.settings, workspace.home) and not os.environ.get(
        DATABASE_VARIABLE
    ):
        waiting += (spool.unsettled_file(folder),)
    return waiting
