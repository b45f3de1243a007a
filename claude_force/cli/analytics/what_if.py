"""`claude-force what-if`: the same tokens at other prices."""

from __future__ import annotations

from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, get_args

import click

from claude_force.analytics.groups import RowChoice
from claude_force.cli.analytics.shared import layout_of
from claude_force.cli.filters import complete_from
from claude_force.cli.options import show, what_if_options
from claude_force.cli.rows import row_options
from claude_force.database import queries
from claude_force.executions.what_if import CachePolicy, Change
from claude_force.reports.layouts.base import Request

if TYPE_CHECKING:
    from claude_force.database.contract import Connection


def _models(connection: Connection) -> list[str]:
    from claude_force.executions.published_rates import published_models

    return sorted({*queries.names(connection, "model"), *published_models()})


def load_prices() -> None:
    """Begin to load the price data, while the database is read: both take as long."""
    Thread(target=import_module, args=("genai_prices",), daemon=True).start()


@click.command("what-if")
@click.option(
    "--model", "target", metavar="NAME", shell_complete=complete_from(_models), help="At the prices of this model."
)
@click.option("--batch", "is_batch", is_flag=True, help="At the prices of a batch.")
@click.option(
    "--cache", type=click.Choice(get_args(CachePolicy)), metavar="POLICY",
    help="Cache writes for 1h or 5m, or none.",
)  # fmt: skip
@what_if_options
@row_options
def what_if(request: Request, target: str | None, is_batch: bool, cache: CachePolicy | None, rows: RowChoice) -> None:
    """Show what the same tokens would have cost.

    On another model, as a batch, or with another cache policy. Says what is assumed, and how often both models
    succeeded on the same agent.

    \b
    Example:
      claude-force what-if --model claude-haiku-4-5 --for-model opus --days 30
    """
    if target is None and not is_batch and cache is None:
        raise click.UsageError("say what changes: --model NAME, --batch or --cache POLICY")
    load_prices()
    # Imported here: the help needs no prices.
    from claude_force.analytics.what_if import what_if as compare
    from claude_force.executions.pricing import PriceTable

    settings = request.workspace.settings
    prices = PriceTable(settings.reference_model, settings.prices)
    change = Change(target, is_batch, cache)
    report = compare(request.workspace.database, request.chosen, change, prices, request.now_us, rows)
    show(request, report, layout_of("what_if_layout", report, module="what_if"))
