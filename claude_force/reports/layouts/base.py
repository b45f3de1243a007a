"""What every report layout is made from: the request, and how its answer looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol

from claude_force import clock
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.executions.totals import Archived
from claude_force.settings.claude_json import metrics_file

INGEST = "claude-force ingest"
"""What reads transcripts, as a person types it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A report as asked for."""

    workspace: Workspace
    chosen: Filter
    zone: tzinfo
    now_us: int
    form: str
    output: Path | None


class Report(Protocol):
    """What a report has to offer."""

    @property
    def archived(self) -> Archived:
        """The executions that it is about and that were archived."""

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a report looks: a page, rows for CSV, and whether there is anything to show."""

    page: Callable[[], Any]
    rows: Callable[[], list[dict[str, Any]]] = field(default=list)
    empty: bool = False
    why_empty: Callable[[], str] | None = None
    """What to say then, if there is more to say than `explain_empty` does."""


def explain_empty(request: Request) -> str:
    """Why a report is empty, and what to do about it."""
    database = request.workspace.database
    with database.read() as connection:
        reach = queries.time_range(connection)
    if reach is not None:
        first, last = (clock.to_datetime(at, request.zone).date() for at in (reach.first_us, reach.last_us))
        return f"No executions match. The store has some from {first} to {last}: {database.name}"
    lines = [f"No executions yet in {database.name}", f"Read the transcripts of Claude Code:\n  {INGEST}"]
    history = metrics_file(request.workspace.settings, request.workspace.home)
    if history.exists():
        lines.append(f"There is a history to import:\n  claude-force import {history}")
    else:
        lines.append("Record some with PerformanceTracker, or import a history:\n  claude-force import FILE")
    if not request.workspace.settings.tracking_enabled:
        lines.append("Recording is off: claude-force config set performance.tracking_enabled true")
    return "\n".join(lines)
