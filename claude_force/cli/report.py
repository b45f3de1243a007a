"""`claude-force report`: a period as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from claude_force.analytics.reports import INTERVALS
from claude_force.cli.asked import asked
from claude_force.cli.baseline import THRESHOLD, complete_baselines
from claude_force.cli.freshness import warn_of_unread
from claude_force.cli.options import fail_on_empty_option, filter_options, refuse_database, refuse_empty
from claude_force.cli.say import say
from claude_force.executions.intervals import Interval
from claude_force.reports.layouts.base import Request, explain_empty

_STDOUT = Path("-")


@click.command()
@click.option(
    "--interval", type=click.Choice(INTERVALS), metavar="INTERVAL",
    help="hourly, daily, weekly, monthly. Default: by period.",
)  # fmt: skip
@click.option(
    "--baseline", metavar="NAME|FILE", shell_complete=complete_baselines,
    help="Compare with this one. Default: the newest.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE",
    default="report.html", help="Default: report.html. - is standard output.",
)  # fmt: skip
@filter_options
@fail_on_empty_option
def report(request: Request, interval: Interval | None, baseline: str | None, output: Path) -> None:
    """Write an HTML page with totals, charts and tables.

    The page is one file that loads nothing from the network: mail it, publish it or print it. Its numbers are those of
    `claude-force analytics` for the same period.

    \b
    Example:
      claude-force report --days 30 --output report.html
    """
    from claude_force.analytics.baselines.snapshots import is_file
    from claude_force.formatting import size
    from claude_force.output import open_output
    from claude_force.reports.html.content import PageRequest, read_content
    from claude_force.reports.html.notes import page_notes
    from claude_force.reports.html.page import render_page

    page = asked()
    if page and baseline and is_file(baseline):
        # Another web page may lead here: an address reads no file.
        raise click.UsageError("a page compares with a stored baseline, not with a file")
    refuse_database(output, request.workspace)
    page_request = PageRequest(request.chosen, interval, baseline, THRESHOLD, request.zone, request.now_us)
    content = read_content(request.workspace, page_request)
    for problem in content.alerts.setup.problems:
        say(f"warning: {problem}", err=True)
    if page:
        page.take(content, _no_json, request)
        return
    text = render_page(
        content, page_notes(request, content), request.workspace.settings.reference_model, request.freshness
    )
    with open_output(None if output == _STDOUT else output) as file:
        file.write(text)
    if content.timeline is None and not request.freshness.is_incomplete:
        for line in explain_empty(request).splitlines():
            say(line, err=True)
    warn_of_unread(request.freshness)
    if output != _STDOUT:
        say(f"written to {output} ({size(len(text))})", err=True)
    refuse_empty(request, is_empty=content.timeline is None)


def _no_json(_: TextIO) -> None:
    """The report has no JSON: that of its figures is `summary --json`."""
