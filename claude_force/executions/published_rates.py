"""The published rates of a model on a day, in a service tier, at a place.

The standard price comes from the package `genai-prices`, and from `price_supplements` where that has none. Each
modifier is the package's own price for it or a factor. Factors combine: a batch with data residency costs 0.5 x 1.1. A
modifier that neither source prices gives no rates, but the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from claude_force.executions.model_names import ModelName, parse_model
from claude_force.executions.model_rates import (
    CLAUDE_SEARCH_USD,
    KindValues,
    ModelRates,
    Modifiers,
    rates_of,
    whole,
    with_tiers,
)
from claude_force.executions.price_supplements import (
    ANTHROPIC,
    BASE_PRICES,
    CACHE_READS,
    LONG_PROMPTS,
    REGIONS_SINCE,
    RESIDENCY,
    RESIDENCY_SINCE,
    TIERS,
    ClaudeModel,
    change_days,
    rows_for,
    tier_factor,
)
from claude_force.executions.record import STANDARD_GEOS, STANDARD_TIERS

NO_PRICE = "no published price for this model"
NO_REGION = "region not told by {seller}; set performance.prices for this model"
NO_TIER_PRICE = 'no published price in service tier "{tier}" on that day'
NO_GEO_PRICE = 'no published price with data residency "{geo}"'

_TIER_CONTEXTS = {"fast": {"speed": "fast"}, "batch": {"processing": "batch"}}
"""What the package calls a tier, beside `service_tier`."""

_PROVIDERS = {"bedrock": "aws", "vertex": "google"}
"""What the package calls them."""

_PROVIDER_NAMES = {"bedrock": "Amazon Bedrock", "vertex": "Google Vertex AI"}


class PriceChanges(NamedTuple):
    """When the price of a model may change, in any service tier and at any place: on the mornings of these days (UTC),
    and perhaps also by the time of day, which then is the same on all days between."""

    days: frozenset[date] = frozenset()
    is_within_day: bool = False


NO_CHANGES = PriceChanges()


def price_changes(model: str) -> PriceChanges:
    """When the published price of a model may change."""
    name = parse_model(model)
    if name is None:
        return NO_CHANGES
    constraints = list(_constraints(_find(name)))
    days = {each.start_date for each in constraints if hasattr(each, "start_date")}
    if name.claude is not None:
        days |= change_days((*TIERS, *LONG_PROMPTS, *CACHE_READS, *BASE_PRICES), name.claude)
    return PriceChanges(frozenset(days), any(not hasattr(each, "start_date") for each in constraints))


def published_models() -> list[str]:
    """The names of the models of the package, those of Anthropic first."""
    from genai_prices.data_snapshot import get_snapshot

    sellers = sorted(get_snapshot().providers, key=lambda seller: seller.id != ANTHROPIC)
    return list(dict.fromkeys(model.id for seller in sellers for model in seller.models))


def _constraints(found: Any) -> Iterator[Any]:
    """What the package says of the times of the prices of a model."""
    prices = getattr(found, "prices", None)
    dated = [*(prices if isinstance(prices, list) else ()), *(getattr(found, "price_variants", None) or ())]
    return (price.constraint for price in dated if price.constraint is not None)


def list_rates(model: str, modifiers: Modifiers, moment: datetime) -> ModelRates | str:
    """The published rates of a model at a moment, or the reason why there are none."""
    name = parse_model(model)
    if name is None:
        return NO_PRICE
    if modifiers.provider is not None and name.seller in {ANTHROPIC, None}:
        if name.claude is None or name.claude.version >= REGIONS_SINCE or modifiers.provider not in _PROVIDERS:
            return NO_REGION.format(seller=_PROVIDER_NAMES.get(modifiers.provider, modifiers.provider))
        # The price of an older model is the same everywhere, but only Anthropic sells fast mode and data residency.
        name = replace(name, claude=name.claude._replace(seller=_PROVIDERS[modifiers.provider]))
    geo = None if modifiers.geo in STANDARD_GEOS else modifiers.geo or None
    residency = Decimal(1) if geo is None else _residency(name.claude, geo)
    if residency is None:
        return NO_GEO_PRICE.format(geo=geo)
    rates = _tier_rates(name, _tier_of(name, modifiers), moment)
    return rates if isinstance(rates, str) else rates.times(residency)


def _tier_of(name: ModelName, modifiers: Modifiers) -> str | None:
    """The service tier that name and response say. Both together are no tier that anybody sells."""
    tiers = dict.fromkeys(tier for tier in (name.tier, modifiers.tier) if tier and tier not in STANDARD_TIERS)
    return " and ".join(tiers) or None


def _residency(model: ClaudeModel | None, geo: str) -> Decimal | None:
    """The multiple of the price that data residency costs; None if that is not known."""
    if model is None or model.seller != ANTHROPIC or geo not in RESIDENCY:
        return None
    return RESIDENCY[geo] if model.version >= RESIDENCY_SINCE else Decimal(1)


def _tier_rates(name: ModelName, tier: str | None, moment: datetime) -> ModelRates | str:
    found = _find(name)
    if found is None:
        rates = _supplemented_rates(name, moment)
        variant = None
    else:
        standard = found.get_prices(moment)
        rates = _package_rates(name, standard, moment)
        variant = None if tier is None else _variant(found, tier, moment)
    if rates is None:
        return NO_PRICE
    if tier is None:
        return rates
    if variant is not None:
        return _package_rates(name, variant, moment) or NO_PRICE
    factor = None if name.claude is None else tier_factor(name.claude, tier, moment.date())
    return NO_TIER_PRICE.format(tier=tier) if factor is None else rates.times(factor)


def _find(name: ModelName) -> Any:
    """The model of the package; None if it has none of this name."""
    # Imported here: it takes a quarter of a second.
    import genai_prices

    try:
        nothing = genai_prices.Usage(input_tokens=0, output_tokens=0)
        found = genai_prices.calc_price(nothing, name.name, provider_id=name.seller).model
    except LookupError:
        return None
    return found if name.is_published(found) else None


def _variant(found: Any, tier: str, moment: datetime) -> Any:
    """The package's own price for a tier at a moment; None if it has none."""
    context = {"service_tier": tier, **_TIER_CONTEXTS.get(tier, {})}
    is_priced = any(
        all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(moment))
        for variant in found.price_variants or ()
    )
    return found.get_prices(moment, context) if is_priced else None


def _package_rates(name: ModelName, price: Any, moment: datetime) -> ModelRates | None:
    """The rates of a price of the package, with what it lacks; None if it is not a price of tokens."""
    prices = KindValues(
        input=price.input_mtok,
        output=price.output_mtok,
        cache_read=price.cache_read_mtok,
        cache_write_5m=price.cache_write_mtok,
        cache_write_1h=getattr(price, "cache_write_1h_mtok", None),
    )
    if prices.input is None or prices.output is None:
        return None
    search = getattr(price, "web_searches_kcount", None)
    if name.claude is None:
        return rates_of(prices, search)
    for row in rows_for(CACHE_READS, name.claude, moment.date()):
        prices = prices._replace(cache_read=prices.input * row.of_input)
    return _with_long_prompts(rates_of(prices, CLAUDE_SEARCH_USD if search is None else search), name.claude, moment)


def _supplemented_rates(name: ModelName, moment: datetime) -> ModelRates | None:
    """The rates of a Claude model that the package does not have."""
    for row in rows_for(BASE_PRICES, name.claude, moment.date()) if name.claude else ():
        prices = KindValues(row.input, row.output, row.cache_read, row.cache_write_5m, row.cache_write_1h)
        return rates_of(prices, CLAUDE_SEARCH_USD)
    return None


def _with_long_prompts(rates: ModelRates, model: ClaudeModel, moment: datetime) -> ModelRates:
    """The rates with those of long prompts, if the package has none and there are some."""
    if rates.base_limit != float("inf"):
        return rates
    for row in rows_for(LONG_PROMPTS, model, moment.date()):
        factors = KindValues(row.prompt, row.output, row.prompt, row.prompt, row.prompt)
        long = (
            (*rate, (row.above, whole(Decimal(rate[0][1]) * factor)))
            for rate, factor in zip(rates.tiers, factors, strict=True)
        )
        return with_tiers(rates, KindValues(*long))
    return rates
