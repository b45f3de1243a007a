"""`claude-force trends`, `daily`, `weekly` and `monthly`: what happened when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from claude_force.analytics import reports
from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import interval_option, layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.executions.intervals import Interval
from claude_force.reports.layouts.base import Request
from claude_force.time_windows import ALL_TIME

if TYPE_CHECKING:
    from claude_force.analytics.periodic_usage import Period

_ROWS = 30
"""The intervals of a table of trends without a period and --limit: hundreds of rows show no more."""


@click.command()
@report_options
@interval_option
@row_options
def trends(request: Request, interval: Interval, rows: RowChoice) -> None:
    """Show executions, time, success and cost over time.

    Without a period and without --limit a table shows the last 30 intervals; its trend is that of all of them. JSON,
    CSV and Markdown have all.

    \b
    Example:
      claude-force trends --interval weekly --days 90
    """
    report = reports.trends(request.workspace.database, request.chosen, interval, request.zone, request.now_us, rows)
    is_all = request.format != "table" or request.chosen.window != ALL_TIME or rows.limit is not None
    most = None if is_all else _ROWS
    show(request, report, layout_of("trends_layout", report, most, rows.is_ascending is not False))


@click.command()
@report_options
@row_options
def daily(request: Request, rows: RowChoice) -> None:
    """Show tokens of every kind and costs by day and model.

    Without a period, it shows the last 30 days. Days without executions are listed too.

    \b
    Example:
      claude-force daily --days 7
    """
    _show_usage(request, "daily", rows)


@click.command()
@report_options
@row_options
def weekly(request: Request, rows: RowChoice) -> None:
    """Show tokens of every kind and costs by week and model.

    A week begins on Monday. Without a period, it shows the last 12 weeks.

    \b
    Example:
      claude-force weekly --project shop
    """
    _show_usage(request, "weekly", rows)


@click.command()
@report_options
@row_options
def monthly(request: Request, rows: RowChoice) -> None:
    """Show tokens of every kind and costs by month and model.

    Without a period, it shows the last 12 months.

    \b
    Example:
      claude-force monthly --json
    """
    _show_usage(request, "monthly", rows)


def _show_usage(request: Request, interval: Period, rows: RowChoice) -> None:
    # Imported here, because the trends do not need it.
    from claude_force.analytics.periodic_usage import periodic_usage

    report = periodic_usage(request.workspace.database, request.chosen, interval, request.zone, request.now_us, rows)
    show(request, report, layout_of("periodic_usage_layout", report, request, module="periodic_usage"))
