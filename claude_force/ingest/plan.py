"""What an ingestion pass reads, and how: decided from the settings and the paths that a user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from claude_force import clock
from claude_force.database.ingest_passes import with_responses
from claude_force.database.workspace import Workspace
from claude_force.executions.origin import host_name
from claude_force.executions.pricing import PriceTable, price_table
from claude_force.executions.record import CLAUDE_CODE
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.jsonl_source import holds_executions, holds_objects
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.results.source import results_at
from claude_force.ingest.sources import UsualSources, usual_sources
from claude_force.ingest.transcripts import locate as transcripts

ShouldStop = Callable[[], bool]
"""Asked between two transactions of a pass: whether it ends now. What was stored stays, and the next pass goes on."""


def never() -> bool:
    """The pass goes on to its end."""
    return False


class IngestOptions(NamedTuple):
    """How a pass reads. Without `prices` executions get no cost; `zone` applies to times without an offset; `host` is
    the name of this machine; `rejects` is None for a dry run, which stores nothing; `now_us` is the time of the
    pass; `user` is who works on this machine, None if that is not known; `waits` says whether it waits for another
    process that uses a spool file."""

    prices: PriceTable | None
    zone: tzinfo
    host: str
    rejects: RejectLog | None
    now_us: int
    user: str | None = None
    waits: bool = True

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is stored."""
        return self.rejects is None


class IngestInputs(NamedTuple):
    """What a pass reads: spool files, files of executions, transcripts in the order in which to read them, Claude
    Code's statistics, results of `claude -p`, such results from a stream (with what is known of the totals of its
    sessions), and folders with telemetry. `report` lists the problems met when these were looked for.
    `are_usual_sources` says that these are all sources of this machine."""

    spooled: Sequence[Path]
    executions: Sequence[Path]
    transcripts: Sequence[FoundFile]
    report: SourceReport
    statistics: Sequence[Path] = ()
    results: Sequence[Path] = ()
    stream: BufferedReader | None = None
    known_totals: Mapping[str, int] = {}
    are_usual_sources: bool = False
    telemetry: Sequence[Path] = ()

    def files(self) -> list[FoundFile]:
        """What stays where it is read: transcripts, files of executions and statistics."""
        return UsualSources((), self.executions, self.transcripts, self.statistics).files()


def ingest_options(workspace: Workspace, now_us: int) -> IngestOptions:
    """The options by the settings of a workspace: its prices and user, local time, this machine."""
    settings = workspace.settings
    return IngestOptions(
        prices=price_table(settings),
        zone=clock.local_zone(),
        host=host_name() or "",
        rejects=RejectLog(workspace.home.rejected_file),
        now_us=now_us,
        user=settings.user,
    )


def ingest_inputs(
    workspace: Workspace, paths: Sequence[Path] = (), stream: BufferedReader | None = None
) -> IngestInputs:
    """The sources at some paths, and in a stream; without either, all sources of a workspace."""
    report = SourceReport()
    if not paths and stream is None:
        return as_inputs(usual_sources(workspace, report.add_problem), report)
    statistics = [path.absolute() for path in paths if path.name == transcripts.STATISTICS_FILE]
    others = [path for path in paths if path.name != transcripts.STATISTICS_FILE]
    with workspace.database.read() as connection:
        known = with_responses(connection, host_name() or "", CLAUDE_CODE)
    results = results_at(others, known)
    folders, executions = _sort_by_kind([path for path in others if path.absolute() not in results], report)
    found = [file for file in transcripts.find(folders, report.add_problem) if file.path not in results]
    return IngestInputs((), executions, found, report, statistics, results, stream)


def as_inputs(sources: UsualSources, report: SourceReport, first: str | None = None) -> IngestInputs:
    """The usual sources as a pass reads them. `report` lists the problems met when they were looked for. The session
    whose main conversation is at `first` is read before all others."""
    ordered = transcripts.in_reading_order(sources.transcripts)
    if first is not None:
        session = transcripts.session_key(first)
        ordered.sort(key=lambda file: transcripts.session_key(file.location) != session)
    return IngestInputs(
        sources.spooled,
        sources.executions,
        ordered,
        report,
        sources.statistics,
        are_usual_sources=True,
        telemetry=sources.telemetry,
    )


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
