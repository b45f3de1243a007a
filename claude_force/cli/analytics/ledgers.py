"""`claude-force reconcile` and `backfill`: what the sources of costs say beside each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.errors import NotReconciled, ReportUnavailable
from claude_force.executions.record import NANOUSD, dollars
from claude_force.reports.layouts.base import Request

if TYPE_CHECKING:
    from claude_force.analytics.reconciled_days import ReconciledDays
    from claude_force.analytics.reconciliation import Reconciliation

_DEFAULT_TOLERANCE = "1%"
_MOST = 1e9
_LEAST_NANOUSD = NANOUSD // 100
"""What is never too much for a tolerance in percent: a cent."""


class _Tolerance(click.ParamType[tuple[float, int]]):
    """A share of the cost, as in 2%, or an amount in dollars, as in 0.50: both as (share, nano-dollars)."""

    name = "tolerance"

    def convert(
        self, value: str | tuple[float, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, int]:
        """The tolerance. Fails for what is no number, or less than 0."""
        if isinstance(value, tuple):
            return value
        is_share = value.endswith("%")
        try:
            number = float(value.strip("$%"))
        except ValueError:
            number = -1.0
        if not 0 <= number < _MOST:
            self.fail(f"{value!r} is no tolerance: give a percentage such as 2%, or dollars such as 0.50", param, ctx)
        return (number / 100, _LEAST_NANOUSD) if is_share else (0.0, round(number * NANOUSD))


@click.command()
@report_options
@click.option("--by-model", is_flag=True, help="Show the models of each session.")
@click.option("--by-day", is_flag=True, help="Show days (UTC), and what Anthropic bills if its key is set.")
@click.option(
    "--tolerance",
    type=_Tolerance(),
    default=_DEFAULT_TOLERANCE,
    metavar="AMOUNT",
    help="Exit 1 above it: a share (1% is the default), or dollars.",
)
@row_options
def reconcile(request: Request, by_model: bool, by_day: bool, tolerance: tuple[float, int], rows: RowChoice) -> None:
    """Compare what transcripts, telemetry and Claude Code itself say.

    Missing is what Claude Code counted and no source has. Exit 1 if that is more than the tolerance, over all sessions
    that can be compared; up to a cent is never too much for a share. With one --session, its requests are shown. By
    day, the reports of Anthropic's Admin API are compared with the store, if performance.admin_api_key is set.

    \b
    Example:
      claude-force reconcile --days 7 --tolerance 5%
    """
    if by_day and by_model:
        raise click.UsageError("--by-day and --by-model cannot be combined")
    report = _show_days(request, rows) if by_day else _show_sessions(request, by_model, rows)
    if report.exceeds(*tolerance) and not request.freshness.is_incomplete:
        from claude_force.formatting import unit_cost

        apart, control = (unit_cost(dollars(cost)) for cost in (report.apart_nanousd, report.control_nanousd))
        raise NotReconciled(f"{apart} of {control} is not reconciled, which is above the tolerance")


def _show_sessions(request: Request, by_model: bool, rows: RowChoice) -> Reconciliation:
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.reconciliation import reconciliation

    report = reconciliation(request.workspace.database, request.chosen, request.zone, rows)
    show(request, report, layout_of("reconciliation_layout", report, request, by_model, module="reconciliation"))
    return report


def _show_days(request: Request, rows: RowChoice) -> ReconciledDays:
    """Show the days. Raises ReportUnavailable afterwards if Anthropic was asked in vain."""
    from claude_force.analytics.anthropic_reports import admin_api
    from claude_force.analytics.reconciled_days import with_bills

    workspace = request.workspace
    api = admin_api(workspace.settings, os.environ, workspace.home.folder)
    report = with_bills(workspace.database, request.chosen, request.now_us, api, rows)
    show(request, report, layout_of("reconciled_days_layout", report, module="reconciled_days"))
    if report.problem:
        raise ReportUnavailable(report.problem)
    return report


@click.command()
@report_options
@row_options
def backfill(request: Request, rows: RowChoice) -> None:
    """Show the tokens of days before the first transcript.

    Claude Code deletes transcripts after 30 days and keeps statistics by day and model. They are no executions, have no
    cost, and are in no other figure. A day leaves this report when its transcript is read.

    \b
    Example:
      claude-force backfill --json
    """
    # Imported here, because the other reports do not need it.
    from claude_force.analytics.backfill import backfill_report

    report = backfill_report(request.workspace.database, request.chosen, rows)
    show(request, report, layout_of("backfill_layout", report, module="backfill"))
