"""The rates of a model: what a token of each kind costs in a service tier, at a place, on a day.

The standard price comes from the package `genai-prices`, and from `price_supplements` where that has none. Each
modifier is the package's own price for it or a factor. Factors combine: a batch with data residency costs 0.5 x 1.1. A
modifier that neither source prices gives no rates, but the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from claude_force.executions.model_names import ModelName, parse_model
from claude_force.executions.price_supplements import (
    ANTHROPIC,
    BASE_PRICES,
    CACHE_READS,
    LONG_PROMPTS,
    REGIONS_SINCE,
    RESIDENCY,
    RESIDENCY_SINCE,
    ClaudeModel,
    rows_for,
    tier_factor,
)
from claude_force.executions.record import STANDARD_GEOS, STANDARD_TIERS
from claude_force.settings.claude_json import ModelPrice

NO_PRICE = "no published price for this model"
NO_SEARCH_PRICE = "no published price for web searches of this model"
NO_REGION = "region not told by {seller}; set performance.prices for this model"
NO_TIER_PRICE = 'no published price in service tier "{tier}" on that day'
NO_GEO_PRICE = 'no published price with data residency "{geo}"'

_NANOUSD_PER_TOKEN = 1000
"""For each dollar per million tokens."""

_NANOUSD_PER_SEARCH = 1_000_000
"""For each dollar per thousand searches."""

_CLAUDE_SEARCH_USD = Decimal(10)
"""Anthropic's price of a thousand web searches for every model, used where the package has none."""

_TIER_CONTEXTS = {"fast": {"speed": "fast"}, "batch": {"processing": "batch"}}
"""What the package calls a tier, beside `service_tier`."""

_PROVIDERS = {"bedrock": "aws", "vertex": "google"}
"""What the package calls them."""

_PROVIDER_NAMES = {"bedrock": "Amazon Bedrock", "vertex": "Google Vertex AI"}


class Modifiers(NamedTuple):
    """What changes a price beside the model, the kind of token and the day. None is what has the list price.

    `tier` is a `service_tier`; `geo` is the data residency as the API says it; `provider` is "bedrock" or "vertex",
    where the message id says so.
    """

    tier: str | None = None
    geo: str | None = None
    provider: str | None = None


STANDARD = Modifiers()
"""A request at the list price."""


def modifiers_of(tier: str | None, geo: str | None, provider: str | None) -> Modifiers:
    """The modifiers of a request; STANDARD itself for nearly all, whose price is looked up in fewer steps."""
    return STANDARD if tier is geo is provider is None else Modifiers(tier, geo, provider)


class Usage(NamedTuple):
    """The tokens of one request by kind. `input_tokens` does not include cached tokens, as in Claude's API."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens that were sent. They decide on the long-context tier."""
        cache_writes = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + self.cache_read_tokens + cache_writes


Rate = tuple[tuple[int, int | Decimal], ...]
"""The tiers of a price: (prompt tokens above which it holds, nano-dollars per token), lowest first. The tier of a
request applies to all of its tokens."""


class _Rates(NamedTuple):
    """One value for each kind of token, in the order of `Usage`."""

    input: Any
    output: Any
    cache_read: Any
    cache_write_5m: Any
    cache_write_1h: Any

    def map(self, change: Callable[[Any], Any]) -> _Rates:
        """The same change of every kind."""
        return _Rates(*map(change, self))


@dataclass(frozen=True, slots=True)
class ModelRates:
    """What a model costs at a time. `base` are the nano-dollars per token of a request with up to `base_limit` prompt
    tokens, as nearly all have; `tiers` has a `Rate` for each kind. `search` is nano-dollars per web search; None if
    that is not known."""

    tiers: _Rates
    base: _Rates
    base_limit: float
    search: int | Decimal | None

    def cost(self, usage: Usage, searches: int) -> int | None:
        """Nano-dollars of a request; None if it made searches whose price is not known."""
        # Unpacked once: this runs for every line of an import.
        input_tokens, output_tokens, cache_read, cache_write_5m, cache_write_1h = usage
        cached = cache_read + cache_write_5m + cache_write_1h
        rates = self.base
        if input_tokens + cached > self.base_limit:
            rates = self.tiers.map(lambda rate: _tier(rate, usage.prompt_tokens))
        cost: int | Decimal = input_tokens * rates.input + output_tokens * rates.output
        if cached:
            cost += cache_read * rates.cache_read
            cost += cache_write_5m * rates.cache_write_5m + cache_write_1h * rates.cache_write_1h
        if searches:
            if self.search is None:
                return None
            cost += searches * self.search
        return round(cost)

    def times(self, factor: Decimal) -> ModelRates:
        """Every token at a multiple of its price; searches stay as they are."""
        return self if factor == 1 else _with_tiers(self, self.tiers.map(lambda rate: _times(rate, factor)))


def override_rates(price: ModelPrice) -> ModelRates:
    """The rates of a price of the settings."""
    prices = _Rates(price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return _model_rates(prices, _CLAUDE_SEARCH_USD)


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
    prices = _Rates(
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
        return _model_rates(prices, search)
    for row in rows_for(CACHE_READS, name.claude, moment.date()):
        prices = prices._replace(cache_read=prices.input * row.of_input)
    return _with_long_prompts(
        _model_rates(prices, _CLAUDE_SEARCH_USD if search is None else search), name.claude, moment
    )


def _supplemented_rates(name: ModelName, moment: datetime) -> ModelRates | None:
    """The rates of a Claude model that the package does not have."""
    for row in rows_for(BASE_PRICES, name.claude, moment.date()) if name.claude else ():
        prices = _Rates(row.input, row.output, row.cache_read, row.cache_write_5m, row.cache_write_1h)
        return _model_rates(prices, _CLAUDE_SEARCH_USD)
    return None


def _with_long_prompts(rates: ModelRates, model: ClaudeModel, moment: datetime) -> ModelRates:
    """The rates with those of long prompts, if the package has none and there are some."""
    if rates.base_limit != float("inf"):
        return rates
    for row in rows_for(LONG_PROMPTS, model, moment.date()):
        factors = _Rates(row.prompt, row.output, row.prompt, row.prompt, row.prompt)
        long = (
            (*rate, (row.above, _whole(Decimal(rate[0][1]) * factor)))
            for rate, factor in zip(rates.tiers, factors, strict=True)
        )
        return _with_tiers(rates, _Rates(*long))
    return rates


def _model_rates(prices: _Rates, search: Any) -> ModelRates:
    """The rates of a model from dollars per million tokens and per thousand searches. A kind without a price costs what
    a more general kind does: a cached token like input, a one-hour cache write like one for five minutes."""
    cache_read = prices.input if prices.cache_read is None else prices.cache_read
    write_5m = prices.input if prices.cache_write_5m is None else prices.cache_write_5m
    write_1h = write_5m if prices.cache_write_1h is None else prices.cache_write_1h
    known = None if search is None else _whole(Decimal(getattr(search, "base", search)) * _NANOUSD_PER_SEARCH)
    tiers = _Rates(prices.input, prices.output, cache_read, write_5m, write_1h).map(_rate)
    return _with_tiers(ModelRates(tiers, tiers, 0, known), tiers)


def _with_tiers(rates: ModelRates, tiers: _Rates) -> ModelRates:
    return replace(
        rates,
        tiers=tiers,
        base=tiers.map(lambda rate: rate[0][1]),
        base_limit=min((start for rate in tiers for start, _ in rate[1:]), default=float("inf")),
    )


def _rate(price: Any) -> Rate:
    base = getattr(price, "base", price)
    tiers = getattr(price, "tiers", ())
    return ((-1, _per_token(base)), *((tier.start, _per_token(tier.price)) for tier in tiers))


def _times(rate: Rate, factor: Decimal) -> Rate:
    return tuple((start, _whole(Decimal(price) * factor)) for start, price in rate)


def _per_token(usd_per_million: Decimal | float) -> int | Decimal:
    """Nano-dollars per token. A float is taken as it is written in the settings: 0.1 is exactly 0.1."""
    return _whole(Decimal(str(usd_per_million)) * _NANOUSD_PER_TOKEN)


def _whole(price: Decimal) -> int | Decimal:
    """An int if the price is a whole number, as nearly all are: as exact, and faster."""
    return int(price) if price == int(price) else price


def _tier(rate: Rate, prompt_tokens: int) -> int | Decimal:
    found = rate[0][1]
    for start, price in rate[1:]:
        if prompt_tokens > start:
            found = price
    return found
