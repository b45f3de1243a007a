"""What every report shares: the request, the layout of its answer, and how it is written."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, Protocol, TextIO

from claude_force import clock
from claude_force.analytics.json_fields import TITLES
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.executions.totals import Archived
from claude_force.settings.claude_json import metrics_file
from claude_force.text import for_terminal

INGEST = "claude-force ingest"
"""The command that reads transcripts."""


@dataclass(frozen=True, slots=True)
class Request:
    """The options of a report: which executions, in which time zone, and where the output goes (None: stdout)."""

    workspace: Workspace
    chosen: Filter
    zone: tzinfo
    now_us: int
    format: str
    output: Path | None


class Report(Protocol):
    """The answer to a request."""

    @property
    def archived(self) -> Archived:
        """The archived executions of the period."""

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A report as a page, and as rows for CSV. Neither is made before it is needed."""

    page: Callable[[], Any]
    rows: Callable[[], list[dict[str, Any]]] = field(default=list)
    is_empty: bool = False
    explain: Callable[[], str] | None = None
    """Why the report is empty. Default: `explain_empty`."""


def write_report(request: Request, report: Report, make_layout: Callable[[], Layout], file: TextIO) -> None:
    """Write a report in the requested format. JSON needs no layout, so it does not load one."""
    filters = {TITLES[column]: list(names) for column, names in request.chosen.names() if names}
    if request.format == "json":
        from claude_force.output import write_json

        write_json(report.to_dict() | {"filters": filters, "timezone": str(request.zone)}, file)
        return
    layout, archived = make_layout(), archived_lines(request.workspace, report.archived)
    if request.format == "csv":
        from claude_force.reports.render import write_csv

        write_csv(layout.rows(), file)
    elif layout.is_empty:
        explanation = layout.explain() if layout.explain else explain_empty(request)
        file.write("\n".join([explanation, *map(for_terminal, archived)]) + "\n")
    else:
        _write_page(layout.page(), filters, archived, request.format, file)


def _write_page(
    page: Any, filters: Mapping[str, Sequence[str]], archived: Sequence[str], form: str, file: TextIO
) -> None:
    from claude_force.reports import render

    if filters:
        only = "; ".join(f"{title} {', '.join(names)}" for title, names in filters.items())
        page.parts.insert(0, render.Section(None, [f"Only {only}"]))
    write = render.write_markdown if form == "markdown" else render.write_page
    write(page, file)
    if archived:
        # Not part of the page, which cuts long lines: a command must be complete.
        file.writelines(f"{for_terminal(line)}\n" for line in ["", *archived])


def archived_lines(workspace: Workspace, archived: Archived) -> list[str]:
    """How many executions a report lacks because they were archived, and how to bring them back."""
    if archived.is_counted or not archived.executions:
        return []
    from claude_force.database.archive import SUFFIX, archive_folder
    from claude_force.formatting import quantity

    first, last = (clock.month_of(at)[0] for at in (archived.first_us, archived.last_us))
    months = first if first == last else f"{first} to {last}"
    file = archive_folder(workspace.location, workspace.home.metrics_folder) / f"{first}{SUFFIX}"
    path = min(str(file), os.path.relpath(file), key=len)
    verb, them = ("is", "it") if archived.executions == 1 else ("are", "them")
    return [
        f"{quantity(archived.executions, 'execution')} of {months} {verb} archived and not in this report.",
        f"To bring {them} back:",
        f"  claude-force import {shlex.quote(path)}",
    ]


def explain_empty(request: Request) -> str:
    """Why a report is empty, and what to do about it."""
    name = request.workspace.database.name
    with request.workspace.database.read() as connection:
        stored = queries.time_range(connection)
    if stored is not None:
        first, last = (clock.to_datetime(at, request.zone).date() for at in (stored.first_us, stored.last_us))
        return f"No executions match. The store has executions from {first} to {last}: {name}"
    lines = [f"No executions yet in {name}", f"Read the transcripts of Claude Code:\n  {INGEST}"]
    history = metrics_file(request.workspace.settings, request.workspace.home)
    if history.exists():
        lines.append(f"Import the history that is in your metrics file:\n  claude-force import {history}")
    else:
        lines.append("Or record executions with PerformanceTracker, or import a history:\n  claude-force import FILE")
    if not request.workspace.settings.tracking_enabled:
        lines.append("Recording is off: claude-force config set performance.tracking_enabled true")
    return "\n".join(lines)
