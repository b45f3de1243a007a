"""`claude-force report`: a period as one page of HTML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force.analytics.reports import INTERVALS
from claude_force.cli.baseline import THRESHOLD, complete_baselines
from claude_force.cli.options import archived_lines, filter_options, refuse_database
from claude_force.executions.intervals import Interval
from claude_force.reports.layouts.base import Request, explain_empty
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.reports.html.content import Content

_STDOUT = Path("-")


@click.command()
@click.option("--interval", type=click.Choice(INTERVALS), help="The length of an interval. Default: by the period.")
@click.option(
    "--baseline", metavar="NAME|FILE", shell_complete=complete_baselines,
    help="Compare with this baseline. Default: the newest of before the period.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE",
    default="report.html", show_default=True, help="Write to this file; - is standard output.",
)  # fmt: skip
@filter_options
def report(request: Request, interval: Interval | None, baseline: str | None, output: Path) -> None:
    """Write one page of HTML: figures, charts, tables.

    It is a single file that loads nothing from anywhere: it can be mailed, published or printed. Its figures are those
    of `claude-force analytics` for the same period.

    \b
    Example:
      claude-force report --days 30 --output report.html
    """
    from claude_force.formatting import size
    from claude_force.output import open_output
    from claude_force.reports.html.content import Asked, gather
    from claude_force.reports.html.page import page

    refuse_database(output, request.workspace)
    asked = Asked(request.chosen, interval, baseline, THRESHOLD, request.zone, request.now_us)
    content = gather(request.workspace, asked)
    for problem in content.alerts.setup.problems:
        click.echo(f"warning: {for_terminal(problem)}", err=True)
    text = page(content, _notes(request, content), request.workspace.settings.reference_model)
    with open_output(None if output == _STDOUT else output) as file:
        file.write(text)
    if content.timeline is None:
        click.echo(explain_empty(request), err=True)
    if output != _STDOUT:
        click.echo(f"written to {output} ({size(len(text))})", err=True)


def _notes(request: Request, content: Content) -> list[str]:
    """What the reports say below their figures, and what they say instead where there are none."""
    from claude_force.reports.layouts.notes import notes

    summary = content.summary
    said = [line for section in notes(summary.totals, summary.unpriced_models) for line in section.lines]
    why = _explain_without_folders(request).splitlines() if content.timeline is None else []
    return [*why, *said, *map(_homely, archived_lines(request.workspace, summary.archived))]


def _explain_without_folders(request: Request) -> str:
    name = request.workspace.database.name
    return _homely(explain_empty(request).replace(name, Path(name).name))


def _homely(text: str) -> str:
    """Paths in a text without the home folder: a page is passed on, and its readers need not know whose it was."""
    return re.sub(rf"(?<![^\s']){re.escape(str(Path.home()))}/", "~/", text)
