"""What the receiver's thread does every second: the part of an ingestion pass that stores telemetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from claude_force.clock import now_us
from claude_force.database.workspace import Workspace
from claude_force.errors import InputError
from claude_force.ingest.plan import IngestOptions, ingest_options
from claude_force.ingest.report import SourceReport
from claude_force.ingest.telemetry.segments import sealed_segments
from claude_force.ingest.telemetry.telemetry_pass import store_segments


def storing(find_workspace: Callable[[], Workspace], folders: Sequence[Path]) -> Callable[[], None]:
    """A function that stores what waits in some folders. It raises ClaudeForceError if something could not be stored,
    and OSError if a folder cannot be read."""
    known: tuple[Workspace, IngestOptions] | None = None

    def store() -> None:
        nonlocal known
        workspace = find_workspace()
        # The table of prices is made again only when the settings changed: it takes longer than what mostly waits.
        if known is None or known[0].settings != workspace.settings:
            known = workspace, ingest_options(workspace, now_us())
        options, report = known[1]._replace(now_us=now_us()), SourceReport()
        for folder in folders:
            store_segments(workspace.database, sealed_segments(folder), options, report)
        for path, problem in report.problems:
            raise InputError(f"{path}: {problem}")

    return store
