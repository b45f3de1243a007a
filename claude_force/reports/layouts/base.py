"""What every report shares: the request, the layout of its answer, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

from claude_force import clock
from claude_force.analytics.json_fields import TITLES
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.executions.totals import Archived, TimeRange
from claude_force.ingest.freshness import Freshness
from claude_force.output import write_lines
from claude_force.reports.freshness import freshness_dict, unknown_figures, unknown_row, write_foot
from claude_force.text import for_terminal
from claude_force.time_windows import ALL_TIME

NOT_READ = "Unknown: no execution of this period is read yet."
"""In place of the figures of a period, while files are unread that may have its executions."""


class Request(NamedTuple):
    """The options of a report: which executions, in which time zone, and where the output goes (None: stdout).
    `freshness` says what of this machine's transcripts is in the database. With `fails_on_empty` a report without an
    execution is an error."""

    workspace: Workspace
    chosen: Filter
    zone: tzinfo
    now_us: int
    format: str
    output: Path | None
    freshness: Freshness
    fails_on_empty: bool = False


class Report(Protocol):
    """The answer to a request."""

    @property
    def archived(self) -> Archived:
        """The archived executions of the period."""

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""


class Layout(NamedTuple):
    """A report as a page, and as rows for CSV. Neither is made before it is needed."""

    page: Callable[[], Any]
    rows: Callable[[], list[dict[str, Any]]] = list
    is_empty: bool = False
    explain: Callable[[], str] | None = None
    """Why the report is empty. Default: `explain_empty`."""


def write_report(request: Request, report: Report, make_layout: Callable[[], Layout], file: TextIO) -> None:
    """Write a report in the requested format. JSON needs no layout, so it does not load one."""
    if request.format == "json":
        _write_json(request, report, make_layout, file)
        return
    layout = make_layout()
    if request.format == "csv":
        from claude_force.reports.render import write_csv

        rows = layout.rows()
        write_csv(unknown_figures(rows, is_empty=layout.is_empty) if request.freshness.is_incomplete else rows, file)
        return
    if layout.is_empty:
        write_lines(explanation(request, layout).splitlines(), file)
    else:
        _write_page(layout.page(), request, file)
    # Not part of the page, which cuts long lines: a command must be complete.
    archived = archived_lines(request.workspace, report.archived)
    write_lines(["", *archived] if archived else [], file)
    write_foot(request.freshness, file)


def _filters_of(chosen: Filter) -> dict[str, list[str]]:
    return {TITLES[column]: list(names) for column, names in chosen.names() if names}


def _in_words(filters: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{title} {', '.join(names)}" for title, names in filters.items())


def explanation(request: Request, layout: Layout) -> str:
    """Why a report is empty: its period has no executions, or they are not read yet."""
    if request.freshness.is_incomplete:
        return NOT_READ
    return layout.explain() if layout.explain else explain_empty(request)


def _write_json(request: Request, report: Report, make_layout: Callable[[], Layout], file: TextIO) -> None:
    from claude_force.output import write_json

    figures = report.to_dict()
    if request.freshness.is_incomplete:
        figures = unknown_figures(figures, is_empty=make_layout().is_empty)
    context = {
        "filters": _filters_of(request.chosen),
        "timezone": str(request.zone),
        "data": freshness_dict(request.freshness, request.zone),
    }
    write_json(figures | context, file)


def _write_page(page: Any, request: Request, file: TextIO) -> None:
    from claude_force.reports import render

    if filters := _filters_of(request.chosen):
        page.parts.insert(0, render.Section(None, [f"Only {_in_words(filters)}"]))
    mark_unknown(page, request)
    write = render.write_markdown if request.format == "markdown" else render.write_page
    write(page, file)


def mark_unknown(page: Any, request: Request) -> None:
    """Show what may not be zero as unknown, while something is not read yet."""
    from claude_force.reports.render import Table

    if request.freshness.is_incomplete:
        page.parts[:] = [
            part._replace(rows=list(map(unknown_row, part.rows))) if isinstance(part, Table) else part
            for part in page.parts
        ]


def archived_lines(workspace: Workspace, archived: Archived) -> list[str]:
    """How many executions a report lacks because they were archived, and how to bring them back."""
    if archived.is_counted or not archived.executions:
        return []
    from claude_force.formatting import quantity
    from claude_force.reports.layouts.first_steps import db_option

    first, last = (clock.month_of(at)[0] for at in (archived.first_us, archived.last_us))
    months = first if first == last else f"{first} to {last}"
    verb, them = ("is", "it") if archived.executions == 1 else ("are", "them")
    return [
        f"{quantity(archived.executions, 'execution')} of {months} {verb} archived and not in this report.",
        f"To bring {them} back:",
        f"  claude-force archive restore{db_option(workspace)}",
    ]


def _range_of_names(connection: Connection, chosen: Filter) -> TimeRange | None:
    """When the executions of the filter's names were, whatever its period; None without names, or without any."""
    if not any(names for _, names in chosen.names()):
        return None
    return queries.time_ranges(connection, known_names(connection, chosen), [ALL_TIME])[0]


def _days(found: TimeRange, zone: tzinfo) -> str:
    first, last = (clock.to_datetime(at, zone).date() for at in (found.first_us, found.last_us))
    return f"{first} to {last}"


def explain_empty(request: Request) -> str:
    """Why a report is empty, and what to do about it."""
    with request.workspace.database.read() as connection:
        stored = queries.time_range(connection)
        of_names = _range_of_names(connection, request.chosen)
    if stored is not None:
        name = request.workspace.database.name
        lines = [f"No executions match. The store has executions from {_days(stored, request.zone)}: {name}"]
        if of_names:
            only = for_terminal(_in_words(_filters_of(request.chosen)))
            lines.append(f"Those of {only} are from {_days(of_names, request.zone)}.")
        return "\n".join(lines)
    from claude_force.reports.layouts.first_steps import first_steps

    return first_steps(request.workspace)
