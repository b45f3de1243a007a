"""The bill of an execution by kind of token, as far as it can be divided, and rounding that keeps sums.

| kind         | what it holds                                                                      |
|--------------|------------------------------------------------------------------------------------|
| input ...    | tokens of one kind at one price                                                    |
| web searches | searches at one price                                                              |
| other        | a cost that the prices do not explain: it came with the record, or is an older one |
| unpriced     | tokens without a known price                                                       |

The lines of an execution add up to its cost to the nano-dollar. Their models are those of its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from claude_force.executions.costs import Billed
from claude_force.executions.pricing import PriceTable, Usage, modifiers_of

SEARCHES, OTHER, UNPRICED = "web searches", "other", "unpriced"
TOKENS = ("input", "output", "cache read", "cache write 5m", "cache write 1h")
KINDS = (*TOKENS, SEARCHES, OTHER, UNPRICED)
"""All kinds, in the order of reports; the first five are those of `Usage`."""


class BillLine(NamedTuple):
    """One line. `price` is nano-dollars for each token or search; None if they have no price of their own. `cost` is
    nano-dollars; None if it is not known."""

    model: str
    kind: str
    price: int | Decimal | None
    quantity: int
    cost: int | None


def bill_lines(prices: PriceTable, billed: Billed, cost: int | None, version: str | None) -> Iterator[BillLine]:
    """The lines of an execution with this cost. A cost without a version of prices came with the record."""
    if billed.steps is None:
        yield from _lines(prices, billed, cost, is_computed=version is not None)
        return
    left = cost
    for step in billed.steps:
        modifiers = modifiers_of(step.service_tier, step.inference_geo, billed.modifiers.provider)
        part = Billed(step.model, billed.timestamp_us, Usage(*step.tokens), modifiers, 0)
        if cost is not None and step.cost_nanousd is None:
            # It is within the cost that came with the record.
            yield BillLine(step.model, OTHER, None, sum(step.tokens), 0)
        else:
            yield from _lines(prices, part, step.cost_nanousd, is_computed=True)
        left = None if left is None else left - (step.cost_nanousd or 0)
    if left:
        searches = billed._replace(usage=Usage(0, 0), steps=None)
        yield from _lines(prices, searches, left, is_computed=version is not None)


def _lines(prices: PriceTable, billed: Billed, cost: int | None, *, is_computed: bool) -> Iterator[BillLine]:
    """The lines of one inference and of the web searches."""
    model, at_us, usage, modifiers, searches, _ = billed
    if cost is None:
        yield BillLine(model, UNPRICED, None, sum(usage), None)
        return
    rates = prices.rates(model, at_us, modifiers) if is_computed else ""
    if isinstance(rates, str) or rates.cost(usage, searches) != cost:
        yield BillLine(model, OTHER, None, sum(usage), cost)
        return
    found = list(
        zip(KINDS, (*rates.of_prompt(usage.prompt_tokens), rates.search or 0), (*usage, searches), strict=False)
    )
    used = [(kind, price, quantity) for kind, price, quantity in found if quantity]
    costs = [price * quantity for _, price, quantity in used]
    if not all(type(part) is int for part in costs):
        costs = apportion(costs, 1, cost)
    for (kind, price, quantity), part in zip(used, costs, strict=True):
        yield BillLine(model, kind, price, quantity, part)


def apportion(amounts: Sequence[int | Decimal], unit: int, total: int) -> list[int]:
    """Amounts in whole units, so that they add up to `total` units: each is rounded down, then those with the largest
    remainders get one more (the method of Hare and Niemeyer). The total must be that of the amounts, rounded."""
    whole = [int(amount // unit) for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda index: whole[index] * unit - amounts[index])
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole
