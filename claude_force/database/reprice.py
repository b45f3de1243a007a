"""Repricing: stored costs by the prices that are known today.

An execution costs what its model cost on its own day. One whose model has no price, or whose usage is unknown, is not
changed. Where only some of several steps have a price, these get it, and the cost of the whole stays unknown. The cost
from before the first repricing is kept (see `Store.reprice`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from claude_force.database import queries
from claude_force.database.contract import Database, Progress
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.costs import (
    has_other_costs,
    keep_known_costs,
    known_cost,
    known_recorded_cost,
    price_row,
    why_row_unpriced,
)
from claude_force.executions.pricing import OVERRIDDEN, PriceTable
from claude_force.executions.record import ExecutionRow, columns, dollars, getter

BATCH = 2000
"""Executions in one transaction. A recorder waits for one such transaction at most."""

_MODEL, _INPUT_TOKENS, _COST, _VERSION = columns("model", "input_tokens", "cost_nanousd", "price_version")
_priced_by = getter("service_tier", "inference_geo", "steps")
_prompt_of = getter("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_LONG_PROMPT = 200_000
"""Prompt tokens above which Claude models had another price."""


@dataclass(slots=True)
class Change:
    """What changes for the executions of one model. The sums are in nano-dollars: `recorded` is the cost before any
    repricing, `cost` the stored one, `repriced` the new one; the first two are None if no execution has one.
    `reference_only` counts executions whose reference cost changes while their cost stays."""

    executions: int = 0
    reference_only: int = 0
    recorded_nanousd: int | None = None
    cost_nanousd: int | None = None
    repriced_nanousd: int = 0

    @property
    def difference_nanousd(self) -> int:
        """The change of the sum of all costs."""
        return self.repriced_nanousd - (self.cost_nanousd or 0)

    def add(self, row: ExecutionRow, repriced: ExecutionRow) -> None:
        """Add an execution as it is stored and as it is repriced."""
        cost, new_cost = known_cost(row), known_cost(repriced)
        self.merge(Change(1, int(cost == new_cost), known_recorded_cost(row), cost, new_cost or 0))

    def merge(self, other: Change) -> None:
        """Add another change."""
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
    """What repricing would change, by model and by what the new price depends on, the largest change first.
    `executions` is the number of executions examined; `unpriced` counts those without a known price by model and
    reason."""

    price_version: str
    executions: int = 0
    models: dict[str, Change] = field(default_factory=dict)
    causes: dict[str, Change] = field(default_factory=dict)
    unpriced: Counter[tuple[str, str]] = field(default_factory=Counter)

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
            "causes": [{"cause": cause} | change.to_dict() for cause, change in self.causes.items()],
            "unpriced_models": [
                {"model": name, "reason": reason, "executions": number}
                for (name, reason), number in self.unpriced.most_common()
            ],
        }


def preview(database: Database, prices: PriceTable, filters: Filter) -> Preview:
    """What repricing the matching executions would change. Changes nothing."""
    result = Preview(prices.version)
    for row in queries.iterate_rows(database, filters):
        result.executions += 1
        if row[_INPUT_TOKENS] is None:
            continue
        priced = price_row(prices, row)
        # Without tokens (a refused request) the cost is 0 at any price.
        if priced[_COST] is None and row[_COST] != 0:
            result.unpriced[why_row_unpriced(prices, row) or (row[_MODEL], "")] += 1
        repriced = keep_known_costs(row, priced)
        if has_other_costs(row, repriced):
            result.models.setdefault(row[_MODEL], Change()).add(row, repriced)
            result.causes.setdefault(_cause_of(row, repriced), Change()).add(row, repriced)
    result.models, result.causes = _largest_first(result.models), _largest_first(result.causes)
    return result


def _largest_first(changes: dict[str, Change]) -> dict[str, Change]:
    return dict(sorted(changes.items(), key=lambda item: (-abs(item[1].difference_nanousd), item[0])))


def _cause_of(row: ExecutionRow, repriced: ExecutionRow) -> str:
    """Why the costs of an execution change, in a few words."""
    cost, old_version, new_version = row[_COST], row[_VERSION], repriced[_VERSION]
    if repriced[_COST] is None:
        return "some of several steps have a price"
    if cost == repriced[_COST]:
        return "only the reference cost changes"
    if new_version == OVERRIDDEN:
        return "a price of claude.json"
    if cost is None:
        return "there was no cost"
    if old_version is None:
        return "the cost came with the execution"
    return ", ".join(_modifiers_of(row)) or "the list price"


def _modifiers_of(row: ExecutionRow) -> Iterator[str]:
    tier, geo, steps = _priced_by(row)
    if tier is not None:
        yield f"service tier {tier}"
    if geo is not None:
        yield f"data residency {geo}"
    if steps is not None:
        yield "several steps"
    elif sum(_prompt_of(row)) > _LONG_PROMPT:
        yield "a long prompt"


def apply(store: Store, prices: PriceTable, filters: Filter, progress: Progress | None = None) -> int:
    """Reprice the matching executions; returns how many changed. Each batch is a transaction; repeating it is safe."""
    changed = 0
    repriced = _repriced(store.database, prices, filters)
    while rows := list(islice(repriced, BATCH)):
        changed += store.reprice(rows)
        if progress is not None:
            progress(len(rows))
    return changed


def _repriced(database: Database, prices: PriceTable, filters: Filter) -> Iterator[ExecutionRow]:
    """The rows that change, with their new costs."""
    for row in queries.iterate_rows(database, filters):
        if row[_INPUT_TOKENS] is None:
            continue
        repriced = keep_known_costs(row, price_row(prices, row))
        if has_other_costs(row, repriced):
            yield repriced


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
