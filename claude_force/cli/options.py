"""Options that commands share, and what they come to: a `Request`."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

from claude_force import clock, windows
from claude_force.analytics.fields import TITLES
from claude_force.database import queries
from claude_force.database.queries import Dimension, Filter
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.errors import ClaudeForceError
from claude_force.executions.totals import Archived
from claude_force.reports.layouts.base import Layout, Report, Request, explain_empty
from claude_force.settings.home import find_home
from claude_force.settings.location import DATABASE_VARIABLE
from claude_force.text import for_terminal
from claude_force.windows import Window

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


FORMATS = ("table", "json", "csv", "markdown")
PLAIN_NAME = re.compile(r"[\w.@:/+,=%-]+")
"""A name that no shell takes for more than a word."""

_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "table"}
_DAYS = click.IntRange(1, 36_500)
_HOURS = click.IntRange(1, 876_000)


def find_workspace(location: str | None) -> Workspace:
    """The place that `--db` and the settings name; problems in the settings are said on stderr."""
    if location == "":
        raise click.UsageError("--db is empty: name a file or a postgresql:// URL")
    workspace, problems = workspace_at(find_home(), location)
    for problem in problems:
        click.echo(f"warning: {for_terminal(problem)}", err=True)
    return workspace


def show(request: Request, report: Report, look: Callable[[], Layout]) -> None:
    """Write a report in the format asked for, to the file asked for. JSON needs no look."""
    from claude_force.output import open_output, write_json

    refuse_database(request.output, request.workspace)
    filters = {TITLES[column]: list(wanted) for column, wanted in request.chosen.names() if wanted}
    with open_output(request.output) as file:
        if request.form == "json":
            write_json(report.to_dict() | {"filters": filters, "timezone": str(request.zone)}, file)
        else:
            _show_text(request, look(), archived_lines(request.workspace, report.archived), filters, file)
    if request.output:
        click.echo(f"written to {request.output}", err=True)


def archived_lines(workspace: Workspace, found: Archived) -> list[str]:
    """What to say where archived executions are not in an answer; nothing where all are."""
    if found.is_counted or not found.executions:
        return []
    from claude_force.database.archive import SUFFIX, archive_folder
    from claude_force.formatting import quantity

    first, last = (clock.month_of(at)[0] for at in (found.first_us, found.last_us))
    months = first if first == last else f"{first} to {last}"
    file = archive_folder(workspace.location, workspace.home.metrics_folder) / f"{first}{SUFFIX}"
    path = min(str(file), os.path.relpath(file), key=len)
    verb, them = ("is", "it") if found.executions == 1 else ("are", "them")
    return [
        f"{quantity(found.executions, 'execution')} of {months} {verb} archived and not in this report.",
        f"To bring {them} back:",
        f"  claude-force import {shlex.quote(path)}",
    ]


def _show_text(
    request: Request, layout: Layout, left_out: list[str], filters: dict[str, list[str]], file: TextIO
) -> None:
    from claude_force.reports import render

    if request.form == "csv":
        render.write_csv(layout.rows(), file)
    elif layout.empty:
        why = layout.why_empty() if layout.why_empty else explain_empty(request)
        file.write("\n".join([why, *map(for_terminal, left_out)]) + "\n")
    else:
        page = layout.page()
        if filters:
            shown = "; ".join(f"{title} {', '.join(names)}" for title, names in filters.items())
            page.parts.insert(0, render.Section(None, [f"Only {shown}"]))
        write = render.write_markdown if request.form == "markdown" else render.write_page
        write(page, file)
        # Not in the page, which cuts its lines: of a command all is needed.
        file.writelines(f"{for_terminal(line)}\n" for line in (["", *left_out] if left_out else ()))


def refuse_database(output: Path | None, workspace: Workspace) -> None:
    """An output must not take the place of the database that it is made from."""
    if output is None or "://" in workspace.location:
        return
    # Not Path.resolve, which raises for links that lead in a circle.
    own = [os.path.realpath(f"{workspace.location}{suffix}") for suffix in ("", "-wal", "-shm")]
    if os.path.realpath(output) in own:
        raise click.UsageError(f"{output} is the database; name another file with --output")


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """What to call with each step of some length of work; None where nobody watches: no terminal."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    with click.progressbar(length=length, label=label, width=40, file=sys.stderr) as shown:
        yield shown.update


def database_option(function: F) -> F:
    """`--db`."""
    return click.option("--db", "location", metavar="PATH|URL", help=f"Use this database.  [env: {DATABASE_VARIABLE}]")(
        function
    )


def timezone_option(function: F) -> F:
    """`--timezone`."""
    return click.option(
        "--timezone", "zone_name", metavar="ZONE", help="IANA name, UTC, or offset (+05:30). Default: local time."
    )(function)


def _complete(dimension: Dimension) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def names(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            workspace = find_workspace(context.params.get("location"))
            with workspace.database.read() as connection:
                found = queries.names(connection, dimension)
        except ClaudeForceError:
            return []
        return [CompletionItem(name) for name in found if name.startswith(typed) and PLAIN_NAME.fullmatch(name)]

    return names


_FILTERS = (
    click.option("--days", type=_DAYS, metavar="N", help="Only the last N days."),
    click.option("--hours", type=_HOURS, metavar="N", help="Only the last N hours."),
    click.option("--start", metavar="DATE", help="From this date, or date and time."),
    click.option("--end", metavar="DATE", help="To this date, that day included, or date and time."),
    click.option(
        "--agent", "agents", multiple=True, metavar="NAME", shell_complete=_complete("agent_name"),
        help="Only this agent. Repeatable.",
    ),
    click.option(
        "--model", "models", multiple=True, metavar="NAME", shell_complete=_complete("model"),
        help="Only this model. Repeatable.",
    ),
    click.option(
        "--workflow", "workflows", multiple=True, metavar="NAME", shell_complete=_complete("workflow_id"),
        help="Only this workflow. Repeatable.",
    ),
    click.option(
        "--project", "projects", multiple=True, metavar="NAME", shell_complete=_complete("project"),
        help="Only this project. Repeatable.",
    ),
    click.option(
        "--source", "sources", multiple=True, metavar="NAME", shell_complete=_complete("source"),
        help="Only what this source told: claude-code, tracker, jsonl. Repeatable.",
    ),
    timezone_option,
    database_option,
)  # fmt: skip

_OUTPUTS = (
    click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the name of --output, else table."),
    click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
    click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file."),
)


def _apply(options: tuple[Callable[[F], F], ...], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def report_options(function: Callable[..., R]) -> Callable[..., R]:
    """The filters and output options of every report; the command gets a Request."""

    @functools.wraps(function)
    def command(*, form: str | None, as_json: bool, output: Path | None, **options: Any) -> R:
        refuse_two_formats(form, as_json)
        chosen_form = "json" if as_json else form or form_of(output, _SUFFIXES)
        request, rest = _request(options, chosen_form, output)
        return function(request, **rest)

    return _apply((*_FILTERS, *_OUTPUTS), command)


def refuse_two_formats(form: str | None, as_json: bool) -> None:
    """`--json` is short for one format."""
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json and --format contradict each other")


def form_of(output: Path | None, suffixes: Mapping[str, str]) -> str:
    """The format that the name of a file asks for; a name without a suffix, or of a device, asks for text."""
    is_device = output is not None and output.exists() and not output.is_file()
    suffix = "" if output is None or is_device else output.suffix.lower()
    if suffix and suffix not in suffixes:
        raise click.UsageError(f"{suffix} is no format; name a {', '.join(suffixes)} file, or give --format")
    return suffixes.get(suffix, "table")


def filter_options(function: Callable[..., R]) -> Callable[..., R]:
    """The filters alone; the command gets a Request and has its own ideas of output."""

    @functools.wraps(function)
    def command(**options: Any) -> R:
        request, rest = _request(options, "table", None)
        return function(request, **rest)

    return _apply(_FILTERS, command)


def _request(options: dict[str, Any], form: str, output: Path | None) -> tuple[Request, dict[str, Any]]:
    """The request that shared options come to, and the options that are the command's own."""
    zone = clock.zone_of(options.pop("zone_name"))
    now = clock.now_us()
    window = _window(options.pop("days"), options.pop("hours"), options.pop("start"), options.pop("end"), zone, now)
    chosen = Filter(window, *(options.pop(name) for name in ("agents", "models", "workflows", "projects", "sources")))
    return Request(find_workspace(options.pop("location")), chosen, zone, now, form, output), options


def _window(days: int | None, hours: int | None, start: str | None, end: str | None, zone: tzinfo, now: int) -> Window:
    if days and hours:
        raise click.UsageError("--days and --hours do not go together")
    if days or hours:
        if start is not None or end is not None:
            raise click.UsageError("--days and --hours do not go with --start and --end")
        return windows.last_window(now, days=days or 0, hours=hours or 0)
    return windows.ALL_TIME if start is None and end is None else windows.dated_window(start, end, zone)
