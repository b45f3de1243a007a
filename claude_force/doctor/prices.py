"""The check of executions without a cost."""

from __future__ import annotations

from collections.abc import Iterator

from claude_force.analytics.unpriced import UnpricedReason, unpriced_reasons
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.doctor.findings import Finding, note, ok
from claude_force.executions.costs import NO_REFUSAL_PRICE
from claude_force.executions.pricing import PriceTable
from claude_force.executions.unknown_costs import NO_USAGE, PRICED_TODAY
from claude_force.formatting import quantity

_MOST_MODELS = 3


def check_prices(workspace: Workspace) -> Iterator[Finding]:
    """Why executions have no cost, and how many each reason concerns."""
    settings = workspace.settings
    with workspace.database.read() as connection:
        found = unpriced_reasons(connection, Filter(), PriceTable(settings.reference_model, settings.prices))
    for reason in found:
        yield note("prices", _text_of(reason), _remedy_of(reason))
    if not found:
        yield ok("prices", "every execution has a cost")


def _text_of(found: UnpricedReason) -> str:
    more = len(found.models) - _MOST_MODELS
    models = ", ".join(found.models[:_MOST_MODELS]) + (f" and {more} more" if more > 0 else "")
    return f"{quantity(found.executions, 'execution')} without a cost: {found.reason} ({models})"


def _remedy_of(found: UnpricedReason) -> str | None:
    if found.reason in {NO_USAGE, NO_REFUSAL_PRICE}:
        return None
    if found.reason == PRICED_TODAY:
        return "claude-force db reprice"
    return "claude-force config set performance.prices"
