"""The costs of whole executions: of one with several steps, the sum of what each step costs alone."""

from __future__ import annotations

from typing import NamedTuple

from claude_force.executions.billed_steps import REFUSAL, UNBILLED_REFUSAL, Step, Steps, decode_steps, encode_steps
from claude_force.executions.pricing import OVERRIDDEN, Costs, Modifiers, PriceTable, Usage, modifiers_of
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, column, getter, with_costs

NO_REFUSAL_PRICE = "refused before any output, which is billed in some cases"

_UNKNOWN: Costs = (None, None, None)
_COSTS = slice(column("cost_nanousd"), column("price_version") + 1)
_STEPS = column("steps")
_billed_of = getter(
    "model", "timestamp_us", "service_tier", "inference_geo", "provider", "web_searches", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "steps",
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
    if record.input_tokens is None:
        return record
    costs = (record.cost_nanousd, record.reference_cost_nanousd, record.price_version)
    found, steps = complete_costs(prices, billed_record(record), costs, replace=replace)
    return record if found == costs and steps == record.steps else with_costs(record, *found, steps)


def billed_record(record: ExecutionMetrics) -> Billed:
    """What the bill of a record depends on; zero tokens if its usage is not known."""
    usage = Usage(
        record.input_tokens or 0,
        record.output_tokens or 0,
        record.cache_read_tokens,
        record.cache_write_5m_tokens,
        record.cache_write_1h_tokens,
    )
    modifiers = modifiers_of(record.service_tier, record.inference_geo, record.provider)
    return Billed(record.model, record.timestamp_us, usage, modifiers, record.web_searches, record.steps)


def why_row_unpriced(prices: PriceTable, row: ExecutionRow) -> Unpriced | None:
    """Why a row has no cost; None if it has one."""
    return why_unpriced(prices, _billed_row(row))


def price_row(prices: PriceTable, row: ExecutionRow) -> ExecutionRow:
    """The row with its costs computed anew from its usage, which must be known."""
    costs, priced = complete_costs(prices, _billed_row(row), _UNKNOWN)
    return (*row[: _COSTS.start], *costs, *row[_COSTS.stop : _STEPS], encode_steps(priced), *row[_STEPS + 1 :])


def _billed_row(row: ExecutionRow) -> Billed:
    model, instant, tier, geo, provider, searches, *tokens, steps = _billed_of(row)
    return Billed(model, instant, Usage(*tokens), modifiers_of(tier, geo, provider), searches, decode_steps(steps))
