"""`claude-force export`: the executions themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from claude_force.analytics.names import known_names
from claude_force.cli.asked import asked
from claude_force.cli.freshness import warn_of_unread
from claude_force.cli.options import (
    fail_on_empty_option,
    filter_options,
    format_option,
    json_format_option,
    output_option,
    refuse_database,
    refuse_empty,
)
from claude_force.cli.say import say
from claude_force.database import queries
from claude_force.errors import ReportUnavailable
from claude_force.reports.layouts.base import Request, archived_lines

if TYPE_CHECKING:
    from claude_force.analytics.execution_lists import ExecutionList

_OF_OTHERS = (".xlsx", ".xls", ".ods", ".parquet", ".html", ".pdf", ".md")
"""Suffixes of formats that are none of ours. Another one, such as .txt, gets CSV."""


_MOST_AT_ONCE = 100_000
"""The executions of one answer to a page, which is kept in memory: about 80 MB."""


@click.command()
@filter_options
@format_option("csv", "json", "jsonl")
@json_format_option
@click.option("--pretty", is_flag=True, help="Indent the JSON.")
@click.option("--all-columns", is_flag=True, help="CSV: all columns, not only the usual twelve.")
@output_option
@fail_on_empty_option
def export(
    request: Request, form: str | None, as_json: bool, pretty: bool, all_columns: bool, output: Path | None
) -> None:
    """Export the executions themselves as CSV, JSON or JSONL.

    JSONL is lossless: another store can import it.

    \b
    Example:
      claude-force export --format csv --output metrics.csv
    """
    from claude_force.executions import export as files
    from claude_force.formatting import quantity

    if page := asked():
        page.take(*_listed(request), request)
        return
    chosen_format = _export_format(form, output, as_json=as_json)
    refuse_database(output, request.workspace)
    with request.workspace.database.read() as connection:
        chosen = known_names(connection, request.chosen)
        archived = queries.archived(connection, chosen)._replace(is_counted=False)
    rows = queries.iterate_rows(request.workspace.database, chosen)
    if chosen_format == "csv":
        count = files.write_csv(rows, output, request.zone, all_columns=all_columns)
    elif chosen_format == "json":
        count = files.write_json(rows, output, request.zone, pretty=pretty)
    else:
        count = files.write_jsonl(rows, output, request.zone)
    if output:
        say(f"{quantity(count, 'execution')} written to {output}", err=True)
    warn_of_unread(request.freshness)
    for line in archived_lines(request.workspace, archived):
        say(line, err=True)
    refuse_empty(request, is_empty=not count)


def _listed(request: Request) -> tuple[ExecutionList, Callable[[TextIO], None]]:
    """For a page: the newest executions, and what writes all of them as JSON. That raises ReportUnavailable if they are
    more than a page can hold."""
    from claude_force.analytics.execution_lists import newest_executions
    from claude_force.executions.export import write_array
    from claude_force.formatting import count

    database = request.workspace.database
    found = newest_executions(database, request.chosen)

    def write(file: TextIO) -> None:
        if found.matching > _MOST_AT_ONCE:
            text = f"{count(found.matching)} executions are too many for one answer"
            raise ReportUnavailable(f"{text}: choose a shorter period, or run claude-force export --json")
        with database.read() as connection:
            chosen = known_names(connection, request.chosen)
        write_array(queries.iterate_rows(database, chosen), file, request.zone)
        file.write("\n")

    return found, write


def _export_format(form: str | None, output: Path | None, *, as_json: bool) -> str:
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json and --format cannot be combined")
    if not as_json and form is None and output and output.suffix.lower() in _OF_OTHERS:
        raise click.UsageError(
            f"{output.suffix} is not a known format; a spreadsheet opens {output.with_suffix('.csv')}"
        )
    suffix = output.suffix.lower().removeprefix(".") if output else ""
    return "json" if as_json else form or (suffix if suffix in ("json", "jsonl") else "csv")
