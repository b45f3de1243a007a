"""What a request costs: from model, tokens and date to nano-dollars.

The prices are those of the package `genai-prices`, with their dates, long-context tiers and cache rates, and of
`price_supplements` where that has none. It works offline and is imported at the first price, because that takes a
quarter of a second. The rates of a model on a day are kept as integers, so a cost is a few multiplications and exact:
$1 per million tokens is 1,000 nano-dollars per token.

A model without a known price costs None, never 0 and never the price of another model; so does a service tier, a data
residency or a seller without one. `PriceTable.unpriced_reason` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from claude_force.clock import DAY_US, HOUR_US, to_datetime
from claude_force.executions.model_rates import (
    NO_SEARCH_PRICE,
    STANDARD,
    ModelRates,
    Modifiers,
    Usage,
    modifiers_of,
    override_rates,
)
from claude_force.executions.record import model_family
from claude_force.settings.claude_json import ModelPrice, Settings

if TYPE_CHECKING:
    from claude_force.executions.published_rates import PriceChanges

__all__ = ["OVERRIDDEN", "STANDARD", "Costs", "Modifiers", "PriceTable", "Usage", "modifiers_of", "price_table"]

OVERRIDDEN = "claude.json"
"""The `price_version` of a cost by a price of the settings."""

_CACHED_RATES = 10_000
"""Model names come from files, so the cache needs a limit."""

PERIOD_US = HOUR_US // 4
"""Every rate holds for whole periods of this length."""

Costs = tuple[int | None, int | None, str | None]
"""Cost and reference cost in nano-dollars, and the version of the prices that the cost is computed from."""

_UNKNOWN: Costs = (None, None, None)

_Key = tuple[str, Modifiers, int]
"""What rates are cached by: model, modifiers, and number of the period."""


class _Pair(NamedTuple):
    """The rates of a model and of its reference, None where there is no price, and the version of the first."""

    own: ModelRates | None
    reference: ModelRates | None
    version: str | None


class PriceTable:
    """The list prices, and before them `overrides`: the prices of the settings, by the exact name of the model.

    | request                            | price                                                   |
    |------------------------------------|---------------------------------------------------------|
    | a service tier, data residency     | that of the tier or place on that day; without one None |
    | sold by Bedrock or Vertex AI       | the same, for models that cost the same in every region |
    | web searches                       | that of the package; without one there:                 |
    | ... of a Claude model, an override | $10 per thousand                                        |
    | ... of another model               | None: the cost of the request is not known              |
    | a price of the settings            | the same in every tier and place, for every prompt      |
    """

    def __init__(self, reference_model: str, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        self._reference_model = reference_model
        self._reference_family = model_family(reference_model)
        self._overrides = overrides or {}
        self._references: dict[str, str] = {}
        self._periods_us: dict[str, int] = {}
        self._rates: dict[_Key, ModelRates | str] = {}
        self._pairs: dict[_Key, _Pair] = {}

    @cached_property
    def version(self) -> str:
        """The version of the price data."""
        from importlib.metadata import version

        return version("genai-prices")

    def load(self) -> None:
        """Load the price data now, and not at the first price: before a fork, once for both processes."""
        self.rates(self._reference_model, 0)

    def cost(
        self, model: str, usage: Usage, timestamp_us: int, modifiers: Modifiers = STANDARD, searches: int = 0
    ) -> int | None:
        """Nano-dollars of a request at the prices of its day; None if there is no known price."""
        rates = self.rates(model, timestamp_us, modifiers)
        return None if isinstance(rates, str) else rates.cost(usage, searches)

    def rates(self, model: str, timestamp_us: int, modifiers: Modifiers = STANDARD) -> ModelRates | str:
        """The rates of a model in the period of PERIOD_US with this instant; without a known price, why."""
        key = (model, modifiers, timestamp_us // (self._periods_us.get(model) or self._period_us(model)))
        return self._rates.get(key) or self._look_up(key)

    def unpriced_reason(
        self, model: str, timestamp_us: int, modifiers: Modifiers = STANDARD, searches: int = 0
    ) -> str | None:
        """Why `cost` gives None for such a request, in a few words; None if it gives a cost."""
        rates = self.rates(model, timestamp_us, modifiers)
        if isinstance(rates, str):
            return rates
        return NO_SEARCH_PRICE if searches and rates.search is None else None

    def reference_cost(
        self, model: str, usage: Usage, timestamp_us: int, modifiers: Modifiers = STANDARD, searches: int = 0
    ) -> int | None:
        """Nano-dollars of the same request on the reference model, with the same modifiers.

        A model of the reference's family is its own reference: Sonnet saves nothing against Sonnet, and a batch saves
        nothing by being one. Another model is compared with Anthropic's price: that of the tier and data residency if
        the reference model has one, else the standard price.
        """
        reference = self.reference_of(model)
        if modifiers is STANDARD or reference == model:
            return self.cost(reference, usage, timestamp_us, modifiers, searches)
        cost = self.cost(reference, usage, timestamp_us, modifiers._replace(provider=None), searches)
        return self.cost(reference, usage, timestamp_us, STANDARD, searches) if cost is None else cost

    def reference_of(self, model: str) -> str:
        """The model that a model is compared with: itself, if it is of the family of the reference model."""
        reference = self._references.get(model)
        if reference is None:
            is_same_family = model_family(model) == self._reference_family
            if len(self._references) >= _CACHED_RATES:
                self._references.clear()
            reference = self._references[model] = model if is_same_family else self._reference_model
        return reference

    def changes(self, model: str) -> PriceChanges:
        """When the price of a model may change. That of a price of the settings never does."""
        from claude_force.executions.published_rates import NO_CHANGES, price_changes

        return NO_CHANGES if model in self._overrides else price_changes(model)

    @property
    def overridden(self) -> frozenset[str]:
        """The models with a price of the settings."""
        return frozenset(self._overrides)

    def version_of(self, model: str) -> str:
        """The version of the prices of a model."""
        return OVERRIDDEN if model in self._overrides else self.version

    def complete(
        self,
        model: str,
        usage: Usage,
        timestamp_us: int,
        costs: Costs,
        modifiers: Modifiers = STANDARD,
        searches: int = 0,
        *,
        replace: bool = False,
    ) -> Costs:
        """The costs of a request with those that are None filled in; with `replace`, all of them computed anew.

        A cost stays as it is if the model has no price. The version of a cost by a price of the settings is OVERRIDDEN.
        """
        cost, reference, version = costs
        if costs == _UNKNOWN and not searches and not replace:
            return self._first_costs(model, usage, timestamp_us, modifiers)
        if reference is None or replace:
            reference = self.reference_cost(model, usage, timestamp_us, modifiers, searches)
        if cost is None or replace:
            listed = self.cost(model, usage, timestamp_us, modifiers, searches)
            if listed is not None:
                cost, version = listed, self.version_of(model)
        return cost, reference, version

    def _first_costs(self, model: str, usage: Usage, timestamp_us: int, modifiers: Modifiers) -> Costs:
        """`complete` for a request without searches of which no cost is known: nearly all are."""
        key = (model, modifiers, timestamp_us // PERIOD_US)
        own, reference, version = self._pairs.get(key) or self._look_up_pair(key, timestamp_us)
        cost = None if own is None else own.cost(usage, 0)
        if reference is own:
            return cost, cost, version
        return cost, None if reference is None else reference.cost(usage, 0), version

    def _look_up_pair(self, key: _Key, timestamp_us: int) -> _Pair:
        if len(self._pairs) >= _CACHED_RATES:
            self._pairs.clear()
        model, modifiers, _ = key
        reference = self.reference_of(model)
        wanted = [modifiers] if reference == model else [modifiers._replace(provider=None), STANDARD]
        own = self._known_rates(model, timestamp_us, modifiers)
        compared = (self._known_rates(reference, timestamp_us, each) for each in wanted)
        version = None if own is None else self.version_of(model)
        pair = self._pairs[key] = _Pair(own, next((rates for rates in compared if rates is not None), None), version)
        return pair

    def _known_rates(self, model: str, timestamp_us: int, modifiers: Modifiers) -> ModelRates | None:
        rates = self.rates(model, timestamp_us, modifiers)
        return None if isinstance(rates, str) else rates

    def _period_us(self, model: str) -> int:
        """For how long a looked-up price holds. Anthropic's prices change by the day, others also within a day."""
        period_us = self._periods_us[model] = DAY_US if "claude" in model.lower() else PERIOD_US
        return period_us

    def _look_up(self, key: _Key) -> ModelRates | str:
        if len(self._rates) >= _CACHED_RATES:
            self._rates.clear()
            self._periods_us.clear()
        model, modifiers, period = key
        if model in self._overrides:
            rates: ModelRates | str = override_rates(self._overrides[model])
        else:
            # Imported at the first price, as the package itself is.
            from claude_force.executions.published_rates import list_rates

            rates = list_rates(model, modifiers, to_datetime(period * self._period_us(model), UTC))
        self._rates[key] = rates
        return rates


def price_table(settings: Settings) -> PriceTable | None:
    """The prices that new executions get; None if the settings say that they get none."""
    return PriceTable(settings.reference_model, settings.prices) if settings.cost_tracking else None
