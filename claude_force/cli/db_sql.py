"""`claude-force db sql`: answer a query by the views of the database."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.freshness import freshen, no_ingest_option, warn_of_unread
from claude_force.cli.options import choose_format, format_option, json_format_option, output_option, refuse_database
from claude_force.cli.query_watch import watched
from claude_force.cli.say import say
from claude_force.database.ad_hoc import QUERY_LIMIT, QueryLimits

_ROWS, _SECONDS = 1000, 30
_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "table"}


@click.command()
@click.argument("query", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 10**9), default=_ROWS, metavar="N", help=f"The most rows. Default: {_ROWS:,}."
)
@click.option(
    "--timeout", type=click.IntRange(1, 86_400), default=_SECONDS, metavar="SECONDS",
    help=f"How long the query may take. Default: {_SECONDS}.",
)  # fmt: skip
@no_ingest_option
@format_option("table", "json", "csv", "markdown")
@json_format_option
@output_option
@database_option
def sql(
    query: str | None,
    limit: int,
    timeout: int,
    no_ingest: bool,
    form: str | None,
    as_json: bool,
    output: Path | None,
    location: str | None,
) -> None:
    """Answer a query in SQL. It only reads.

    QUERY is one statement, in the SQL of the database. Without QUERY, a terminal shows the views and their columns;
    elsewhere, and with -, the query comes from the standard input. An answer that was cut says so.

    \b
    Example:
      claude-force db sql "SELECT agent, SUM(cost) FROM daily_v1 GROUP BY agent"
    """
    chosen = choose_format(form, output, _SUFFIXES, as_json=as_json)
    workspace = find_workspace(location)
    refuse_database(output, workspace)
    text = _query(query)
    if text is None:
        _show_views()
        return
    freshness = freshen(workspace, clock.now_us(), no_ingest=no_ingest)
    limits = QueryLimits(limit, timeout)
    with watched(timeout):
        answer = workspace.database.ask(text, limits)

    from claude_force.output import open_output
    from claude_force.reports.layouts.sql import cut_line, write_answer

    with open_output(output) as file:
        write_answer(answer, chosen, file)
    if chosen == "csv" and (cut := cut_line(answer)):
        say(f"warning: {cut}", err=True)
    warn_of_unread(freshness)
    if output:
        say(f"written to {output}", err=True)


def _query(given: str | None) -> str | None:
    """The query; None if nobody gave one, on a terminal."""
    if given not in (None, "-"):
        return given
    if sys.stdin is None or (given is None and sys.stdin.isatty()):
        return None
    return sys.stdin.buffer.read(4 * QUERY_LIMIT + 1).decode(errors="surrogateescape")


def _show_views() -> None:
    from claude_force.reports.layouts.sql import views_page
    from claude_force.reports.render import write_page

    write_page(views_page(), sys.stdout)
