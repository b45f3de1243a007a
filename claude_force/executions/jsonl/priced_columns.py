"""Prices of many lines at once.

Nearly all have input and output tokens alone, at the list price. Their cost is two products, by rates that are looked
up once for each model and period.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claude_force.executions.pricing import PERIOD_US, PriceTable, Usage, modifiers_of
from claude_force.executions.record import STEP_TOKENS

_COSTS = ("cost_nanousd", "reference_cost_nanousd", "price_version")
_MODIFIERS = ("service_tier", "inference_geo", "provider")
_WITH_OTHER_RATES = (*_MODIFIERS, "web_searches", *STEP_TOKENS[2:])

_NO_RATES = (0, 0, -1)
"""Rates that hold for no prompt."""


def price_columns(
    prices: PriceTable, found: dict[str, Any], keeps: Sequence[bool] | None = None, *, replace: bool
) -> None:
    """Fill in the costs that are None, as `PriceTable.complete` does; with `replace`, compute all of them anew. `found`
    has the columns of executions by field; None for a field of which no value is known. `keeps` says which executions
    keep the costs that they have."""
    if found["input_tokens"] is None:
        return
    is_plain = keeps is None and None not in found["input_tokens"]
    if is_plain and not any(found[name] and any(found[name]) for name in _WITH_OTHER_RATES):
        _price_plain(prices, found, replace=replace)
    else:
        _price_each(prices, found, keeps, replace=replace)


def _price_plain(prices: PriceTable, found: dict[str, Any], *, replace: bool) -> None:
    """Executions of input and output tokens, at the list price."""
    models, (old_costs, old_references, versions) = found["model"], map(found.get, _COSTS)
    if old_references is None or replace or None in old_references:
        computed = _list_prices(prices, found, {model: prices.reference_of(model) for model in set(models)})
        found["reference_cost_nanousd"] = computed if replace else _filled(old_references, computed)
    if old_costs is None or replace or None in old_costs:
        listed = _list_prices(prices, found, {model: model for model in set(models)})
        olds = old_costs or [None] * len(models)
        is_listed = [new is not None and (replace or old is None) for old, new in zip(olds, listed, strict=True)]
        found["cost_nanousd"] = [
            new if is_new else old for old, new, is_new in zip(olds, listed, is_listed, strict=True)
        ]
        found["price_version"] = [
            prices.version_of(model) if is_new else old
            for old, model, is_new in zip(versions or [None] * len(models), models, is_listed, strict=True)
        ]


def _filled(old: Sequence[int | None] | None, new: list[int | None]) -> list[int | None]:
    return new if old is None else [other if one is None else one for one, other in zip(old, new, strict=True)]


def _list_prices(prices: PriceTable, found: dict[str, Any], charged: dict[str, str]) -> list[int | None]:
    """What executions cost if each model has the price of the one that `charged` has for it."""
    models, instants, inputs, outputs = (
        found[name] for name in ("model", "timestamp_us", "input_tokens", "output_tokens")
    )
    keys = [(model, instant // PERIOD_US) for model, instant in zip(models, instants, strict=True)]
    rates = {(model, period): _rates(prices, charged[model], period * PERIOD_US) for model, period in set(keys)}
    costs: list[int | None] = [
        tokens * rate[0] + more * rate[1] if tokens <= (rate := rates[key])[2] else None
        for key, tokens, more in zip(keys, inputs, outputs, strict=True)
    ]
    if None in costs:
        each = zip(costs, models, inputs, outputs, instants, strict=True)
        return [
            prices.cost(charged[model], Usage(tokens, more), instant) if cost is None else cost
            for cost, model, tokens, more, instant in each
        ]
    return costs


def _rates(prices: PriceTable, model: str, timestamp_us: int) -> tuple[int, int, float]:
    """Nano-dollars of an input and an output token, and the input tokens up to which these hold."""
    rates = prices.rates(model, timestamp_us)
    if isinstance(rates, str) or not (type(rates.base.input) is type(rates.base.output) is int):
        return _NO_RATES
    return rates.base.input, rates.base.output, rates.base_limit


def _price_each(prices: PriceTable, found: dict[str, Any], keeps: Sequence[bool] | None, *, replace: bool) -> None:
    size = len(found["model"])

    def rows(*names: str) -> list[tuple[Any, ...]]:
        return list(zip(*(found[name] or [None] * size for name in names), strict=True))

    costs = rows(*_COSTS)
    models, instants, modifiers = found["model"], found["timestamp_us"], rows(*_MODIFIERS)
    searches = found["web_searches"] or [0] * size
    for index, (tokens, more, *cached) in enumerate(rows(*STEP_TOKENS)):
        if tokens is None or (keeps is not None and keeps[index]):
            continue
        usage = Usage(tokens, more, *(value or 0 for value in cached))
        costs[index] = prices.complete(
            models[index], usage, instants[index], costs[index], modifiers_of(*modifiers[index]), searches[index],
            replace=replace,
        )  # fmt: skip
    found |= zip(_COSTS, map(list, zip(*costs, strict=True)), strict=True)
