"""The costs of whole executions: of one with several steps, the sum of what each step costs alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from claude_force.executions.billed_steps import (
    REFUSAL,
    UNBILLED_REFUSAL,
    Step,
    Steps,
    decode_steps,
    encode_steps,
    keep_known,
    known_sum,
)
from claude_force.executions.pricing import OVERRIDDEN, Costs, Modifiers, PriceTable, Usage, modifiers_of
from claude_force.executions.record import (
    COSTS,
    ExecutionMetrics,
    ExecutionRow,
    columns,
    getter,
    of_values,
    values_of,
    with_costs,
)

NO_REFUSAL_PRICE = "refused before any output, which is billed in some cases"

_UNKNOWN: Costs = (None, None, None)
_INPUT, _STEPS = columns("input_tokens", "steps")
_recorded_of = getter("recorded_cost_nanousd", "recorded_basis", "steps")
_billed_of = getter(
    "model", "timestamp_us", "service_tier", "inference_geo", "provider", "web_searches", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
)  # fmt: skip


class Billed(NamedTuple):
    """What a bill depends on: the tokens of an execution, and its steps if it has several."""

    model: str
    timestamp_us: int
    usage: Usage
    modifiers: Modifiers
    searches: int
    steps: Steps | None = None


def complete_costs(
    prices: PriceTable, billed: Billed, costs: Costs, *, replace: bool = False
) -> tuple[Costs, Steps | None]:
    """The costs of an execution with those that are None filled in, and its steps with theirs; with `replace`, all of
    them computed anew.

    A long prompt counts within its own step. The cost of an execution with a step of unknown cost is not known. A cost
    that came with the record is not divided among its steps."""
    if billed.steps is None:
        found = prices.complete(
            billed.model, billed.usage, billed.timestamp_us, costs, billed.modifiers, billed.searches, replace=replace
        )
        return found, None
    cost, reference, version = costs
    is_given = cost is not None and not replace
    each = [_price_step(prices, billed, step) for step in billed.steps]
    searches = _search_costs(prices, billed)
    if not is_given:
        cost = _sum([searches[0], *(found[0] for found in each)])
        is_overridden = any(found[2] == OVERRIDDEN for found in each)
        version = None if cost is None else OVERRIDDEN if is_overridden else prices.version
    if reference is None or replace:
        reference = _sum([searches[1], *(found[1] for found in each)])
    if is_given:
        return (cost, reference, version), billed.steps
    steps = [
        step._replace(cost_nanousd=found[0], reference_cost_nanousd=found[1])
        for step, found in zip(billed.steps, each, strict=True)
    ]
    return (cost, reference, version), tuple(steps)


class Unpriced(NamedTuple):
    """The model whose price is missing, which may be that of a step, and why in a few words."""

    model: str
    reason: str


def why_unpriced(prices: PriceTable, billed: Billed) -> Unpriced | None:
    """Why an execution has no cost: of several steps without one, the first. None if it has one. Its tokens do not
    matter."""
    for step in billed.steps or ():
        reason = _step_unpriced_reason(prices, billed, step)
        if reason is not None:
            return Unpriced(step.model, reason)
    if billed.steps is not None and not billed.searches:
        return None
    reason = prices.unpriced_reason(billed.model, billed.timestamp_us, billed.modifiers, billed.searches)
    return None if reason is None else Unpriced(billed.model, reason)


def _step_unpriced_reason(prices: PriceTable, billed: Billed, step: Step) -> str | None:
    if step.kind == UNBILLED_REFUSAL:
        return None
    if step.kind == REFUSAL:
        return NO_REFUSAL_PRICE
    modifiers = modifiers_of(step.service_tier, step.inference_geo, billed.modifiers.provider)
    return prices.unpriced_reason(step.model, billed.timestamp_us, modifiers)


def _price_step(prices: PriceTable, billed: Billed, step: Step) -> Costs:
    if step.kind == UNBILLED_REFUSAL:
        return 0, 0, None
    if step.kind == REFUSAL:
        return _UNKNOWN
    modifiers = modifiers_of(step.service_tier, step.inference_geo, billed.modifiers.provider)
    return prices.complete(step.model, Usage(*step.tokens), billed.timestamp_us, _UNKNOWN, modifiers)


def _search_costs(prices: PriceTable, billed: Billed) -> Costs:
    """The costs of the web searches alone."""
    if not billed.searches:
        return 0, 0, None
    nothing = Usage(0, 0)
    return prices.complete(billed.model, nothing, billed.timestamp_us, _UNKNOWN, billed.modifiers, billed.searches)


def _sum(costs: list[int | None]) -> int | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def price_record(prices: PriceTable, record: ExecutionMetrics, *, replace: bool = False) -> ExecutionMetrics:
    """The record with its costs complete; unchanged if its usage is not known."""
    return record if record.input_tokens is None else _priced(prices, values_of(record), replace=replace)


def price_values(prices: PriceTable, values: tuple[Any, ...]) -> ExecutionMetrics:
    """The record with checked values of FIELDS, and its costs complete if its usage is known."""
    return of_values(values) if values[_INPUT] is None else _priced(prices, values)


def _priced(prices: PriceTable, values: tuple[Any, ...], *, replace: bool = False) -> ExecutionMetrics:
    found, steps = complete_costs(prices, _billed(values, values[_STEPS]), values[COSTS], replace=replace)
    return with_costs(values, found, steps)


def billed_record(record: ExecutionMetrics) -> Billed:
    """What the bill of a record depends on; zero tokens if its usage is not known."""
    return _billed(values_of(record), record.steps)


def why_row_unpriced(prices: PriceTable, row: ExecutionRow) -> Unpriced | None:
    """Why a row has no cost; None if it has one."""
    return why_unpriced(prices, _billed_row(row))


def price_row(prices: PriceTable, row: ExecutionRow) -> ExecutionRow:
    """The row with its costs computed anew from its usage, which must be known."""
    costs, priced = complete_costs(prices, _billed_row(row), _UNKNOWN)
    return (*row[: COSTS.start], *costs, *row[COSTS.stop : _STEPS], encode_steps(priced), *row[_STEPS + 1 :])


def row_pricer(prices: PriceTable | None) -> Callable[[ExecutionRow], ExecutionRow] | None:
    """`price_row` with these prices; None without prices."""
    return None if prices is None else partial(price_row, prices)


def lazy_pricer(table: Callable[[], PriceTable | None]) -> Callable[[ExecutionRow], ExecutionRow]:
    """`row_pricer` of a table that is made when the first row is priced, which takes a while. Without a table, rows
    stay as they are."""
    found: list[Callable[[ExecutionRow], ExecutionRow] | None] = []

    def price(row: ExecutionRow) -> ExecutionRow:
        if not found:
            found.append(row_pricer(table()))
        return found[0](row) if found[0] else row

    return price


def keep_known_costs(row: ExecutionRow, priced: ExecutionRow) -> ExecutionRow:
    """A priced row, or the row as it is where the price is not known. Where only some of its steps have a price and its
    cost is not known either, these steps have their costs."""
    old, new = row[_STEPS], priced[_STEPS]
    if priced[COSTS][0] is not None:
        return priced
    if row[COSTS][0] is not None or old is None or new is None:
        return row
    steps = keep_known(decode_steps(old) or (), decode_steps(new) or ())
    return (*row[:_STEPS], encode_steps(steps), *row[_STEPS + 1 :])


def has_other_costs(row: ExecutionRow, other: ExecutionRow) -> bool:
    """Whether the cost or reference cost of a row differs, or those of its steps where its own is not known."""
    cost, reference, _ = row[COSTS]
    return (cost, reference) != other[COSTS][:2] or (cost is None and row[_STEPS] != other[_STEPS])


def known_cost(row: ExecutionRow) -> int | None:
    """The cost of a row; where it is not known, that of its steps with a known cost; None if there are none."""
    cost, text = row[COSTS][0], row[_STEPS]
    return cost if cost is not None else known_sum(step.cost_nanousd for step in decode_steps(text) or ())


def known_recorded_cost(row: ExecutionRow) -> int | None:
    """The same before any repricing."""
    recorded, basis, text = _recorded_of(row)
    if basis is None:
        return known_cost(row)
    return recorded if recorded is not None else known_sum(s.recorded_cost_nanousd for s in decode_steps(text) or ())


def _billed_row(row: ExecutionRow) -> Billed:
    return _billed(row, decode_steps(row[_STEPS]))


def _billed(values: tuple[Any, ...], steps: Steps | None) -> Billed:
    """What the bill of a record or of a row depends on: its values by FIELDS, and its steps."""
    model, instant, tier, geo, provider, searches, inputs, outputs, *cached = _billed_of(values)
    usage = Usage(inputs or 0, outputs or 0, *cached)
    return Billed(model, instant, usage, modifiers_of(tier, geo, provider), searches, steps)
