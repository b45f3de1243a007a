"""Options that commands share, and the `Request` that they add up to."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from claude_force import clock
from claude_force.cli.asked import asked
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.filters import FILTER_OPTIONS, FOR_MODEL_OPTION, MODEL_OPTION, take_filter
from claude_force.cli.freshness import freshen, no_ingest_option
from claude_force.cli.period import PERIOD_OPTIONS, take_period
from claude_force.cli.say import say
from claude_force.database.missing import is_ours
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.errors import EmptyReport, UnknownName
from claude_force.reports.freshness import unread_line
from claude_force.reports.layouts.base import Layout, Report, Request, write_report

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "table"}


def show(request: Request, report: Report, make_layout: Callable[[], Layout]) -> None:
    """Write a report to stdout or to the file of `--output`, or hand it to the page that asks."""
    from claude_force.output import open_output

    if page := asked():
        as_json = request._replace(format="json")
        page.take(report, lambda file: write_report(as_json, report, make_layout, file), request, make_layout)
        return
    refuse_database(request.output, request.workspace)
    with open_output(request.output) as file:
        write_report(request, report, make_layout, file)
    if request.output:
        say(f"written to {request.output}", err=True)
    if request.fails_on_empty:
        refuse_empty(request, is_empty=make_layout().is_empty)


def refuse_empty(request: Request, *, is_empty: bool) -> None:
    """Raise EmptyReport after an empty report, if `--fail-on-empty` was given."""
    if is_empty and request.fails_on_empty:
        raise EmptyReport("no execution matches (--fail-on-empty)")


def refuse_database(output: Path | None, workspace: Workspace) -> None:
    """Refuse an output file that is the database itself, another database of ours, or claude.json: a report replaces
    the file that it is written to."""
    if output is None:
        return
    # os.path.realpath, because Path.resolve raises for a circle of symlinks.
    path = os.path.realpath(output)
    if "://" not in workspace.location:
        files = [os.path.realpath(f"{workspace.location}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]
        if path in files:
            raise click.UsageError(f"{output} is the database; name another file with --output")
    if path == os.path.realpath(workspace.home.settings_file):
        raise click.UsageError(f"{output} has the settings; name another file with --output")
    if is_ours(Path(path)):
        raise click.UsageError(f"{output} is a database of claude-force; name another file with --output")


def time_stamp() -> str:
    """The current local time for the name of a file: 20260131-235959."""
    return clock.to_datetime(clock.now_us(), clock.local_zone()).strftime("%Y%m%d-%H%M%S")


def format_option(*formats: str) -> Callable[[F], F]:
    """Add `--format`. The first format is the default if the name of the output has no suffix."""
    default, *others = formats
    text = f"{default} (default), {', '.join(others[:-1])} or {others[-1]}."
    return click.option("--format", "form", type=click.Choice(formats), metavar="FORMAT", help=text)


json_option = click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON.")
json_format_option = click.option("-j", "--json", "as_json", is_flag=True, help="Same as --format json.")
output_option = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write to a file; its suffix chooses the format.",
)  # fmt: skip
fail_on_empty_option = click.option(
    "--fail-on-empty", "fails_on_empty", is_flag=True, help="Exit 1 if no execution matches."
)
_FILTERS = (*PERIOD_OPTIONS, *FILTER_OPTIONS, timezone_option, database_option, no_ingest_option)

_OUTPUTS = (
    format_option("table", "json", "csv", "markdown"),
    json_format_option,
    output_option,
    fail_on_empty_option,
)


def _apply(options: tuple[Callable[[F], F], ...], function: F) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def report_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the filters and output options of a report. The command receives a Request."""
    return _apply((*_FILTERS, *_OUTPUTS), _reporting(function))


def what_if_options(function: Callable[..., R]) -> Callable[..., R]:
    """The same with --for-model in place of --model."""
    filters = (FOR_MODEL_OPTION if option is MODEL_OPTION else option for option in _FILTERS)
    return _apply((*filters, *_OUTPUTS), _reporting(function))


def _reporting(function: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(function)
    def command(*, form: str | None, as_json: bool, output: Path | None, **options: Any) -> R:
        request, rest = _request(options, choose_format(form, output, _SUFFIXES, as_json=as_json), output)
        with _naming_unread(request):
            return function(request, **rest)

    return command


@contextmanager
def _naming_unread(request: Request) -> Iterator[None]:
    """Add to the error about a name that the store does not have that files are unread, which may have it."""
    try:
        yield
    except UnknownName as error:
        if not request.freshness.is_incomplete:
            raise
        raise UnknownName(f"{error}; {unread_line(request.freshness)}") from None


def snapshot_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the zone, the database and the output options of a report about now: it has neither a period nor filters. The
    command receives a Request."""

    @functools.wraps(function)
    def command(
        *, form: str | None, as_json: bool, output: Path | None, zone_name: str | None, location: str | None,
        no_ingest: bool, **options: Any,
    ) -> R:  # fmt: skip
        zone, now_us, workspace = clock.zone_of(zone_name), clock.now_us(), find_workspace(location)
        freshness = freshen(workspace, now_us, no_ingest=no_ingest)
        chosen = Filter(project_names=workspace.project_names)
        form = choose_format(form, output, _SUFFIXES, as_json=as_json)
        return function(Request(workspace, chosen, zone, now_us, form, output, freshness), **options)

    return _apply((timezone_option, database_option, no_ingest_option, *_OUTPUTS[:3]), command)


def filter_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the filters only. The command receives a Request and writes its output itself."""

    @functools.wraps(function)
    def command(**options: Any) -> R:
        request, rest = _request(options, "table", None)
        with _naming_unread(request):
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
    window = take_period(options, zone, now_us)
    workspace = find_workspace(options.pop("location"))
    chosen = take_filter(options, window, workspace.project_names)
    freshness = freshen(workspace, now_us, no_ingest=options.pop("no_ingest"))
    fails_on_empty = options.pop("fails_on_empty", False)
    return Request(workspace, chosen, zone, now_us, form, output, freshness, fails_on_empty), options
