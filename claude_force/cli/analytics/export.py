"""`claude-force export`: the executions themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from claude_force.analytics.names import known_names
from claude_force.cli.asked import asked
from claude_force.cli.confirm import confirm
from claude_force.cli.freshness import warn_of_unread
from claude_force.cli.options import (
    fail_on_empty_option,
    filter_options,
    format_option,
    json_format_option,
    refuse_database,
    refuse_empty,
)
from claude_force.cli.say import say
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.errors import ReportUnavailable
from claude_force.reports.layouts.base import Request, archived_lines

if TYPE_CHECKING:
    from claude_force.analytics.execution_lists import ExecutionList

_OF_OTHERS = (".xlsx", ".xls", ".ods", ".html", ".pdf", ".md")
"""Suffixes of formats that are none of ours. Another one, such as .txt, gets CSV."""

_OF_SUFFIX = {".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}

_MOST_AT_ONCE = 100_000
"""The executions of one answer to a page, which is kept in memory: about 80 MB."""


@click.command()
@filter_options
@format_option("csv", "json", "jsonl", "parquet")
@json_format_option
@click.option("--pretty", is_flag=True, help="Indent the JSON.")
@click.option("--all-columns", is_flag=True, help="CSV: all columns, not only the usual twelve.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write to a file, whose suffix chooses the format; Parquet to a folder.",
)
@click.option("--yes", is_flag=True, help="Parquet: replace an export without asking.")
@fail_on_empty_option
def export(
    request: Request, form: str | None, as_json: bool, pretty: bool, all_columns: bool, output: Path | None, yes: bool
) -> None:
    """Export the executions themselves as CSV, JSON, JSONL or Parquet.

    JSONL is lossless: another store can import it. Parquet is a folder with a file for each month, for DuckDB, pandas
    or a lake.

    \b
    Example:
      claude-force export --format csv --output metrics.csv
      claude-force export --format parquet --output lake
    """
    from claude_force.executions import export as files
    from claude_force.formatting import quantity

    if page := asked():
        page.take(*_listed(request), request)
        return
    chosen_format = _export_format(form, output, as_json=as_json)
    refuse_database(output, request.workspace)
    if chosen_format == "parquet":
        _may_replace(output, yes=yes)
    with request.workspace.database.read() as connection:
        chosen = known_names(connection, request.chosen)
        archived = queries.archived(connection, chosen)._replace(is_counted=False)
    rows = queries.iterate_rows(request.workspace.database, chosen)
    if chosen_format == "parquet" and output:
        count = _write_parquet(request.workspace.database, chosen, output)
    elif chosen_format == "csv":
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


def _may_replace(output: Path | None, *, yes: bool) -> None:
    """Ask before an export is replaced."""
    from claude_force.database.views.parquet import months_of
    from claude_force.formatting import quantity

    if output is None:
        raise click.UsageError("an export to Parquet is a folder; name it with --output")
    if months := months_of(output):
        what = f"{output} has an export of {quantity(len(months), 'month')}, {months[0]} to {months[-1]}"
        confirm(f"{what}, which would be replaced", "Replace it?", yes=yes)


def _write_parquet(database: Database, chosen: Filter, folder: Path) -> int:
    # Imported here: other formats do not need the views.
    from claude_force.database.views.filtered import EXACT_EXECUTIONS, iterate_exact
    from claude_force.database.views.parquet import write_parquet

    kinds = {column.name: column.kind for column in EXACT_EXECUTIONS}
    return write_parquet(iterate_exact(database, chosen), kinds, folder)


def _export_format(form: str | None, output: Path | None, *, as_json: bool) -> str:
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json and --format cannot be combined")
    suffix = output.suffix.lower() if output and not as_json and form is None else ""
    if output and suffix in _OF_OTHERS:
        raise click.UsageError(f"{suffix} is not a known format; a spreadsheet opens {output.with_suffix('.csv')}")
    chosen = "json" if as_json else form or _OF_SUFFIX.get(suffix, "csv")
    if output and output.is_dir() and chosen != "parquet":
        raise click.UsageError(f"{output} is a folder; only --format parquet is written to one")
    return chosen
