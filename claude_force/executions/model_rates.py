"""The rates of a model: what a token of each kind costs. Where published rates come from is in `published_rates`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from claude_force.settings.claude_json import ModelPrice

NO_SEARCH_PRICE = "no published price for web searches of this model"

_NANOUSD_PER_TOKEN = 1000
"""For each dollar per million tokens."""

_NANOUSD_PER_SEARCH = 1_000_000
"""For each dollar per thousand searches."""

CLAUDE_SEARCH_USD = Decimal(10)
"""Anthropic's price of a thousand web searches for every model, used where the package has none."""


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


class KindValues(NamedTuple):
    """One value for each kind of token, in the order of `Usage`."""

    input: Any
    output: Any
    cache_read: Any
    cache_write_5m: Any
    cache_write_1h: Any

    def map(self, change: Callable[[Any], Any]) -> KindValues:
        """The same change of every kind."""
        return KindValues(*map(change, self))


@dataclass(frozen=True, slots=True)
class ModelRates:
    """What a model costs at a time. `base` are the nano-dollars per token of a request with up to `base_limit` prompt
    tokens, as nearly all have; `tiers` has a `Rate` for each kind. `search` is nano-dollars per web search; None if
    that is not known."""

    tiers: KindValues
    base: KindValues
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
        input_rate, output_rate, read_rate, write_5m_rate, write_1h_rate = rates
        cost: int | Decimal = input_tokens * input_rate + output_tokens * output_rate
        if cached:
            cost += cache_read * read_rate + cache_write_5m * write_5m_rate + cache_write_1h * write_1h_rate
        if searches:
            if self.search is None:
                return None
            cost += searches * self.search
        return cost if type(cost) is int else round(cost)

    @property
    def limits(self) -> frozenset[int]:
        """The prompt tokens above which another tier begins."""
        return frozenset(start for rate in self.tiers for start, _ in rate[1:])

    def cost_of_sum(self, usage: Usage, searches: int, prompt_tokens: int) -> int | None:
        """Nano-dollars of several requests with these tokens in sum, of which each is in the tier of a prompt of
        `prompt_tokens`; None if they made searches whose price is not known. It is rounded once."""
        rates = self.of_prompt(prompt_tokens)
        cost: int | Decimal = sum(tokens * rate for tokens, rate in zip(usage, rates, strict=True))
        if searches:
            if self.search is None:
                return None
            cost += searches * self.search
        return round(cost)

    def of_prompt(self, prompt_tokens: int) -> KindValues:
        """The nano-dollars for each token of a request with so many prompt tokens."""
        return self.base if prompt_tokens <= self.base_limit else self.tiers.map(lambda r: _tier(r, prompt_tokens))

    def times(self, factor: Decimal) -> ModelRates:
        """Every token at a multiple of its price; searches stay as they are."""
        return self if factor == 1 else with_tiers(self, self.tiers.map(lambda rate: _times(rate, factor)))


def override_rates(price: ModelPrice) -> ModelRates:
    """The rates of a price of the settings."""
    prices = KindValues(price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return rates_of(prices, CLAUDE_SEARCH_USD)


def rates_of(prices: KindValues, search: Any) -> ModelRates:
    """The rates of a model from dollars per million tokens and per thousand searches. A kind without a price costs what
    a more general kind does: a cached token like input, a one-hour cache write like one for five minutes."""
    cache_read = prices.input if prices.cache_read is None else prices.cache_read
    write_5m = prices.input if prices.cache_write_5m is None else prices.cache_write_5m
    write_1h = write_5m if prices.cache_write_1h is None else prices.cache_write_1h
    known = None if search is None else whole(Decimal(getattr(search, "base", search)) * _NANOUSD_PER_SEARCH)
    tiers = KindValues(prices.input, prices.output, cache_read, write_5m, write_1h).map(_rate)
    return with_tiers(ModelRates(tiers, tiers, 0, known), tiers)


def with_tiers(rates: ModelRates, tiers: KindValues) -> ModelRates:
    """The rates with other tiers."""
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
    return tuple((start, whole(Decimal(price) * factor)) for start, price in rate)


def _per_token(usd_per_million: Decimal | float) -> int | Decimal:
    """Nano-dollars per token. A float is taken as it is written in the settings: 0.1 is exactly 0.1."""
    return whole(Decimal(str(usd_per_million)) * _NANOUSD_PER_TOKEN)


def whole(price: Decimal) -> int | Decimal:
    """An int if the price is a whole number, as nearly all are: as exact, and faster."""
    return int(price) if price == int(price) else price


def _tier(rate: Rate, prompt_tokens: int) -> int | Decimal:
    found = rate[0][1]
    for start, price in rate[1:]:
        if prompt_tokens > start:
            found = price
    return found
