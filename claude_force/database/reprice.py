"""Stored costs at today's prices: what would change, and the change itself.

An execution costs what its model cost on its own day, by the prices that are known today. One whose model has no price,
or whose usage is not known, stays as it is. What every cost was before is kept (see `Store.reprice`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from claude_force.database import queries as query
from claude_force.database.contract import Database, Progress
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.pricing import Costs, PriceTable, Usage
from claude_force.executions.record import ExecutionRow, column, columns, dollars, getter

BATCH = 2000
"""Executions in one transaction: who records meanwhile waits for no more than these."""

_COSTS = slice(column("cost_nanousd"), column("price_version") + 1)
_priced_by = getter(
    "model", "timestamp_us", "service_tier", "web_searches", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens",
)  # fmt: skip
_recorded_of = getter("cost_nanousd", "recorded_cost_nanousd", "recorded_basis")
_MODEL, _INPUT_TOKENS = columns("model", "input_tokens")


@dataclass(slots=True)
class Change:
    """What changes for the executions of one model. Sums in nano-dollars: of the cost as it was before any repricing,
    as it is, and as it will be. The first two are None where none of them has one. `reference_only` are those whose
    cost stays, and whose reference cost changes."""

    executions: int = 0
    reference_only: int = 0
    recorded_nanousd: int | None = None
    cost_nanousd: int | None = None
    repriced_nanousd: int = 0

    @property
    def difference_nanousd(self) -> int:
        """What the change adds to the sum of all costs."""
        return self.repriced_nanousd - (self.cost_nanousd or 0)

    def take(self, row: ExecutionRow, cost_nanousd: int) -> None:
        """Count an execution that will cost this."""
        cost, recorded, basis = _recorded_of(row)
        self.merge(Change(1, int(cost == cost_nanousd), cost if basis is None else recorded, cost, cost_nanousd))

    def merge(self, other: Change) -> None:
        """Add another."""
        self.executions += other.executions
        self.reference_only += other.reference_only
        self.recorded_nanousd = _sum(self.recorded_nanousd, other.recorded_nanousd)
        self.cost_nanousd = _sum(self.cost_nanousd, other.cost_nanousd)
        self.repriced_nanousd += other.repriced_nanousd

    def to_dict(self) -> dict[str, Any]:
        """The change for JSON; costs in US dollars."""
        return {
            "executions": self.executions,
            "reference_only": self.reference_only,
            "recorded_cost": dollars(self.recorded_nanousd),
            "cost": dollars(self.cost_nanousd),
            "repriced_cost": dollars(self.repriced_nanousd),
            "difference": dollars(self.difference_nanousd),
        }


@dataclass(slots=True)
class Preview:
    """What repricing would change, by model, those that change the most first. `executions` were looked at; `unpriced`
    are the models without a known price, and how many executions they have."""

    price_version: str
    executions: int = 0
    models: dict[str, Change] = field(default_factory=dict)
    unpriced: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> Change:
        """All models together."""
        total = Change()
        for change in self.models.values():
            total.merge(change)
        return total

    def to_dict(self) -> dict[str, Any]:
        """The preview for JSON."""
        return {
            "price_version": self.price_version,
            "executions": self.executions,
            "changes": self.total.to_dict(),
            "models": [{"model": name} | change.to_dict() for name, change in self.models.items()],
            "unpriced_models": [
                {"model": name, "executions": number} for name, number in self.unpriced.most_common() if number
            ],
        }


def preview(database: Database, prices: PriceTable, chosen: Filter) -> Preview:
    """What repricing the chosen executions would change. Changes nothing."""
    found = Preview(prices.version)
    for row in query.iterate_rows(database, chosen):
        found.executions += 1
        if row[_INPUT_TOKENS] is None:
            continue
        costs = _costs_today(row, prices)
        if costs[0] is None:
            # What took no tokens (a request that was refused) costs nothing at any price.
            if row[_COSTS][0] != 0:
                found.unpriced[row[_MODEL]] += 1
        elif costs[:2] != row[_COSTS][:2]:
            found.models.setdefault(row[_MODEL], Change()).take(row, costs[0])
    found.models = dict(sorted(found.models.items(), key=lambda item: (-abs(item[1].difference_nanousd), item[0])))
    return found


def apply(store: Store, prices: PriceTable, chosen: Filter, progress: Progress | None = None) -> int:
    """Reprice the chosen executions; how many changed. Each batch is a transaction, and doing it again is safe."""
    changed = 0
    repriced = _repriced(store.database, prices, chosen)
    while rows := list(islice(repriced, BATCH)):
        changed += store.reprice(rows)
        if progress is not None:
            progress(len(rows))
    return changed


def _repriced(database: Database, prices: PriceTable, chosen: Filter) -> Iterator[ExecutionRow]:
    """The rows that change, with their new costs."""
    for row in query.iterate_rows(database, chosen):
        if row[_INPUT_TOKENS] is None:
            continue
        costs = _costs_today(row, prices)
        if costs[0] is not None and costs[:2] != row[_COSTS][:2]:
            yield (*row[: _COSTS.start], *costs, *row[_COSTS.stop :])


def _costs_today(row: ExecutionRow, prices: PriceTable) -> Costs:
    """The costs of a row by the prices that are known today, of its own day."""
    model, instant, tier, searches, *tokens = _priced_by(row)
    return prices.complete(model, Usage(*tokens), instant, (None, None, None), tier, searches)


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
