"""Options that commands share, and the `Request` that they add up to."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from claude_force.database.contract import Connection

from claude_force import clock, time_windows
from claude_force.database import queries
from claude_force.database.queries import Dimension, Filter
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.errors import ClaudeForceError
from claude_force.reports.layouts.base import Layout, Report, Request, write_report
from claude_force.settings.home import find_home
from claude_force.settings.location import DATABASE_VARIABLE
from claude_force.text import for_terminal
from claude_force.time_windows import Window

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

_NAMES = ("agents", "models", "workflows", "projects", "sources", "sessions", "branches")
"""The options that restrict a report to names."""

_PLAIN_NAME = re.compile(r"[\w.@:/+,=%-]+")
"""A name that every shell reads as one word."""

_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "table"}
_DAYS = click.IntRange(1, 36_500)
_HOURS = click.IntRange(1, 876_000)


def find_workspace(location: str | None) -> Workspace:
    """The workspace that `--db` or the settings name. Problems in the settings are warnings on stderr."""
    refuse_empty_location(location)
    workspace, problems = workspace_at(find_home(), location)
    for problem in problems:
        click.echo(f"warning: {for_terminal(problem)}", err=True)
    return workspace


def refuse_empty_location(location: str | None) -> None:
    """Refuse `--db ""`: an unset shell variable must not select the default database."""
    if location == "":
        raise click.UsageError("--db is empty: name a file or a postgresql:// URL")


def show(request: Request, report: Report, make_layout: Callable[[], Layout]) -> None:
    """Write a report to stdout or to the file of `--output`."""
    from claude_force.output import open_output

    refuse_database(request.output, request.workspace)
    with open_output(request.output) as file:
        write_report(request, report, make_layout, file)
    if request.output:
        click.echo(f"written to {request.output}", err=True)


def refuse_database(output: Path | None, workspace: Workspace) -> None:
    """Refuse an output file that is the database itself."""
    if output is None or "://" in workspace.location:
        return
    # os.path.realpath, because Path.resolve raises for a circle of symlinks.
    files = [os.path.realpath(f"{workspace.location}{suffix}") for suffix in ("", "-wal", "-shm")]
    if os.path.realpath(output) in files:
        raise click.UsageError(f"{output} is the database; name another file with --output")


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on stderr. Yields the function that advances it, or None if stderr is not a terminal."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    with click.progressbar(length=length, label=label, width=40, file=sys.stderr) as bar:
        yield bar.update


def complete_from(names: Callable[[Connection], Sequence[str]]) -> Completer:
    """A completer for names in the database. Without a database it completes nothing."""
    return _completer(lambda connection, _: names(connection))


def _completer(names: Callable[[Connection, Workspace], Iterable[str]]) -> Completer:
    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            workspace = find_workspace(context.params.get("location"))
            with workspace.database.read() as connection:
                found = names(connection, workspace)
        except ClaudeForceError:
            return []
        return [CompletionItem(name) for name in found if name.startswith(typed) and _PLAIN_NAME.fullmatch(name)]

    return complete


def _complete(dimension: Dimension) -> Completer:
    return complete_from(lambda connection: queries.names(connection, dimension))


def _project_names(connection: Connection, workspace: Workspace) -> Iterable[str]:
    """The projects and the folders in the store."""
    by_folder = queries.with_projects(connection, Filter(project_names=workspace.project_names)).project_names.by_folder
    return sorted({*(by_folder or {}), *(by_folder or {}).values()})


_complete_projects = _completer(_project_names)


def time_stamp() -> str:
    """The current local time for the name of a file: 20260131-235959."""
    return clock.to_datetime(clock.now_us(), clock.local_zone()).strftime("%Y%m%d-%H%M%S")


def database_option(function: F) -> F:
    """Add `--db`."""
    return click.option("--db", "location", metavar="PATH|URL", help=f"Use this database.  [env: {DATABASE_VARIABLE}]")(
        function
    )


def timezone_option(function: F) -> F:
    """Add `--timezone`."""
    return click.option(
        "--timezone", "zone_name", metavar="ZONE", help="IANA name, UTC or +05:30. Default: local time."
    )(function)


def format_option(*formats: str) -> Callable[[F], F]:
    """Add `--format`. The first format is the default if the name of the output has no suffix."""
    default, *others = formats
    text = f"{default} (default), {', '.join(others[:-1])} or {others[-1]}."
    return click.option("--format", "form", type=click.Choice(formats), metavar="FORMAT", help=text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
json_format_option = click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
output_option = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write to a file; its suffix chooses the format.",
)  # fmt: skip
_FILTERS = (
    click.option("--days", type=_DAYS, metavar="N", help="Only the last N days."),
    click.option("--hours", type=_HOURS, metavar="N", help="Only the last N hours."),
    click.option("--start", metavar="DATE", help="From this date, or date and time."),
    click.option("--end", metavar="DATE", help="Up to this date (included), or date and time."),
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
        "--project", "projects", multiple=True, metavar="NAME", shell_complete=_complete_projects,
        help="Only this project, or this folder. Repeatable.",
    ),
    click.option(
        "--session", "sessions", multiple=True, metavar="NAME", shell_complete=_complete("session_id"),
        help="Only this session, with all that it started. Repeatable.",
    ),
    click.option(
        "--branch", "branches", multiple=True, metavar="NAME", shell_complete=_complete("git_branch"),
        help="Only this git branch. Repeatable.",
    ),
    click.option(
        "--source", "sources", multiple=True, metavar="NAME", shell_complete=_complete("source"),
        help="Only claude-code, tracker or jsonl. Repeatable.",
    ),
    timezone_option,
    database_option,
)  # fmt: skip

_OUTPUTS = (
    format_option("table", "json", "csv", "markdown"),
    json_format_option,
    output_option,
)


def _apply(options: tuple[Callable[[F], F], ...], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def report_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the filters and output options of a report. The command receives a Request."""

    @functools.wraps(function)
    def command(*, form: str | None, as_json: bool, output: Path | None, **options: Any) -> R:
        request, rest = _request(options, choose_format(form, output, _SUFFIXES, as_json=as_json), output)
        return function(request, **rest)

    return _apply((*_FILTERS, *_OUTPUTS), command)


def filter_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the filters only. The command receives a Request and writes its output itself."""

    @functools.wraps(function)
    def command(**options: Any) -> R:
        request, rest = _request(options, "table", None)
        return function(request, **rest)

    return _apply(_FILTERS, command)


def choose_format(form: str | None, output: Path | None, suffixes: Mapping[str, str], *, as_json: bool) -> str:
    """The format of `--format` or `--json`, else that of the output's suffix, else table.

    A file without a suffix and a device (/dev/stdout) get a table.
    """
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json and --format cannot be combined")
    if as_json or form:
        return form or "json"
    is_device = output is not None and output.exists() and not output.is_file()
    suffix = "" if output is None or is_device else output.suffix.lower()
    if suffix and suffix not in suffixes:
        raise click.UsageError(f"{suffix} is not a known format; use {', '.join(suffixes)}, or give --format")
    return suffixes.get(suffix, "table")


def _request(options: dict[str, Any], form: str, output: Path | None) -> tuple[Request, dict[str, Any]]:
    """The Request of the shared options, and the options that are left."""
    zone = clock.zone_of(options.pop("zone_name"))
    now_us = clock.now_us()
    window = _window(options.pop("days"), options.pop("hours"), options.pop("start"), options.pop("end"), zone, now_us)
    workspace = find_workspace(options.pop("location"))
    chosen = Filter(window, **{name: options.pop(name) for name in _NAMES}, project_names=workspace.project_names)
    return Request(workspace, chosen, zone, now_us, form, output), options


def _window(
    days: int | None, hours: int | None, start: str | None, end: str | None, zone: tzinfo, now_us: int
) -> Window:
    if days and hours:
        raise click.UsageError("--days and --hours cannot be combined")
    if days or hours:
        if start is not None or end is not None:
            raise click.UsageError("--days and --hours cannot be combined with --start and --end")
        return time_windows.last_window(now_us, days=days or 0, hours=hours or 0)
    return time_windows.ALL_TIME if start is None and end is None else time_windows.dated_window(start, end, zone)
