"""`claude-force costs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from claude_force.analytics import reports
from claude_force.analytics.groups import RowChoice
from claude_force.analytics.reports import INTERVALS
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.options import report_options, show
from claude_force.cli.rows import row_options
from claude_force.executions.intervals import Interval
from claude_force.reports.layouts.base import Request

if TYPE_CHECKING:
    from claude_force.executions.pricing import PriceTable


@click.command()
@report_options
@click.option("--by-agent", "with_agents", is_flag=True, help="Show only the costs by agent.")
@click.option("--by-model", "with_models", is_flag=True, help="Show only the costs by model.")
@click.option("--trends", "with_trends", is_flag=True, help="Show the costs over time.")
@click.option(
    "--interval", type=click.Choice(INTERVALS), metavar="INTERVAL",
    help="Trends hourly, daily (default), weekly or monthly; teams monthly (default).",
)  # fmt: skip
@click.option("--by", type=click.Choice(("team",)), metavar="WHAT", help="team: groups of performance.projects.")
@row_options
def costs(
    request: Request,
    with_agents: bool,
    with_models: bool,
    with_trends: bool,
    interval: Interval | None,
    by: str | None,
    rows: RowChoice,
) -> None:
    """Show costs by agent, by model and over time, or by team.

    Also shows the savings compared with running everything on the reference model. By team, CSV has a row for each
    month, team, model, kind of token and price; the rows add up to the total, to the cent.

    \b
    Example:
      claude-force costs --trends --interval daily
      claude-force costs --by team --format csv
    """
    # Imported here: the other reports do not need prices.
    from claude_force.executions.pricing import PriceTable

    settings = request.workspace.settings
    prices = PriceTable(settings.reference_model, settings.prices)
    if by is not None:
        if with_agents or with_models or with_trends:
            raise click.UsageError("--by team cannot be combined with --by-agent, --by-model or --trends")
        _show_teams(request, interval or "monthly", prices, rows)
        return
    chosen = {"agents": with_agents, "models": with_models, "trends": with_trends or interval is not None}
    parts = frozenset(part for part, is_chosen in chosen.items() if is_chosen) or reports.COST_PARTS
    report = reports.costs(
        request.workspace.database,
        request.chosen,
        parts,
        interval or "daily",
        request.zone,
        rows,
        prices,
        request.now_us,
        settings.reference_model,
    )
    show(request, report, layout_of("costs_layout", report, settings.reference_model))


def _show_teams(request: Request, interval: Interval, prices: PriceTable, rows: RowChoice) -> None:
    # Imported here, because the costs by agent and model do not need it.
    from claude_force.analytics.chargeback import chargeback

    report = chargeback(request.workspace.database, request.chosen, interval, request.zone, prices, rows)
    show(request, report, layout_of("chargeback_layout", report, module="chargeback"))
