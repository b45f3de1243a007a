"""Why executions have no cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_force.analytics.groups import groups_by, unpriced_models
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Filter
from claude_force.database.queries.unpriced import UnpricedGroup, unpriced
from claude_force.executions.billed_steps import decode_steps
from claude_force.executions.totals import Totals

if TYPE_CHECKING:
    from claude_force.executions.pricing import PriceTable

ARCHIVED = "archived, with the reason"


class UnpricedReason(NamedTuple):
    """How many executions have no cost for a reason, and the models without a price, which may be those of steps: the
    one with the most of them first."""

    reason: str
    executions: int
    models: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def unpriced_reasons(
    connection: Connection, chosen: Filter, prices: PriceTable, missing: int | None = None
) -> list[UnpricedReason]:
    """The reasons, that of the most executions first. `missing` is how many executions have no cost, if that is known:
    what is not stored any more has a reason of its own, so that they add up. None is stored is not looked up."""
    if missing == 0:
        return []
    models: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group in unpriced(connection, chosen):
        model, reason = _why(group, prices)
        models[reason][model] += group.executions
    found = [
        UnpricedReason(reason, counts.total(), sorted(counts, key=lambda name: (-counts[name], name)))
        for reason, counts in models.items()
    ]
    rest = (missing or 0) - sum(reason.executions for reason in found)
    if rest > 0:
        found.append(UnpricedReason(ARCHIVED, rest, []))
    return sorted(found, key=lambda reason: (-reason.executions, reason.reason))


def _why(group: UnpricedGroup, prices: PriceTable) -> tuple[str, str]:
    """The model without a price, and the reason."""
    # Imported here: reports without a missing cost do not need prices.
    from claude_force.executions.costs import Billed, why_unpriced
    from claude_force.executions.pricing import Usage, modifiers_of
    from claude_force.executions.unknown_costs import NO_USAGE, PRICED_TODAY

    if not group.has_usage:
        return group.model, NO_USAGE
    modifiers = modifiers_of(group.service_tier, group.inference_geo, group.provider)
    searches, steps = int(group.has_searches), decode_steps(group.steps)
    billed = Billed(group.model, group.first_us, Usage(0, 0), modifiers, searches, steps)
    return why_unpriced(prices, billed) or (group.model, PRICED_TODAY)


def unpriced_of(connection: Connection, chosen: Filter, total: Totals) -> list[str]:
    """The models without a price. Queried only if an execution has none."""
    return unpriced_models(groups_by(queries.totals_by(connection, chosen, "model"), 0)) if total.unpriced else []
