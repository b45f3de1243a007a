"""What a request costs: from model, tokens and date to nano-dollars.

The prices are those of the package `genai-prices`, with their dates, long-context tiers and cache rates. It works
offline and is imported at the first price, because that takes a quarter of a second. The rates of a model on a day are
kept as integers, so a cost is a few multiplications and exact: $1 per million tokens is 1,000 nano-dollars per token.

A model without a known price costs None, never 0 and never the price of another model. The package matches many names
by their beginning. So the name of a Claude model is parsed first, and an invented one, such as `claude-opus-4-10`, does
not get the price of `claude-opus-4-1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from claude_force.clock import DAY_US, HOUR_US, to_datetime
from claude_force.executions.record import model_family
from claude_force.settings.claude_json import ModelPrice

OVERRIDDEN = "claude.json"
"""The `price_version` of a cost by a price of the settings."""

_NANOUSD_PER_TOKEN = 1000
"""For each dollar per million tokens."""

_NANOUSD_PER_SEARCH = 1_000_000
"""For each dollar per thousand searches."""

_CLAUDE_SEARCH_USD = Decimal(10)
"""Anthropic's price of a thousand web searches for every model, used where the package has none."""

_CACHED_RATES = 10_000
"""Model names come from files, so the cache needs a limit."""

_TIERS = {"fast": {"speed": "fast"}, "batch": {"processing": "batch"}}
"""Tiers that change a Claude price, in the terms of the package."""

_SELLERS = {
    "": "anthropic",
    "anthropic": "anthropic",
    # OpenRouter charges Anthropic's price; the package has no one-hour cache write for it.
    "openrouter/anthropic": "anthropic",
    "vertex_ai": "google",
}
"""The seller of a Claude model, by the prefix of its name."""

_VERSION = r"\d{1,2}(?:[.-]\d{1,2})?"
_CLAUDE = re.compile(
    rf"claude-(?:(?:instant-)?v?(?P<early>{_VERSION})(?:-[a-z]{{3,}})?|[a-z]{{3,}}-(?P<late>{_VERSION}))"
    r"(?:-latest|-\d{8}|-\d{4}-\d\d-\d\d)?(?:-v\d)?(?::\d{1,2})?(?::\d+k)?(?::beta|:thinking)?"
    r"(?:@(?:\d{8}|default|latest))?"
)
"""A Claude model: claude-3-5-haiku-20241022, claude-opus-4-6, claude-sonnet-4-5-20250929-v1:0,
claude-opus-5@default."""

_BEDROCK = re.compile(r"(?:[a-z]+(?:-[a-z]+)?\.)?anthropic\.(?P<name>claude-.+)")
"""A model id of Bedrock, with or without a region or "global" before it."""

_TWO_DIGITS = re.compile(r"\d\d")


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


Costs = tuple[int | None, int | None, str | None]
"""Cost and reference cost in nano-dollars, and the version of the prices that the cost is computed from."""


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


@dataclass(frozen=True, slots=True)
class _ModelRates:
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
            rates = _Rates(*(_tier(rate, usage.prompt_tokens) for rate in self.tiers))
        cost: int | Decimal = input_tokens * rates.input + output_tokens * rates.output
        if cached:
            cost += cache_read * rates.cache_read
            cost += cache_write_5m * rates.cache_write_5m + cache_write_1h * rates.cache_write_1h
        if searches:
            if self.search is None:
                return None
            cost += searches * self.search
        return round(cost)


_Key = tuple[str, Modifiers, int]
"""What rates are cached by: model, modifiers, and number of the period."""

_NOT_CACHED = _ModelRates(_Rates(0, 0, 0, 0, 0), _Rates(0, 0, 0, 0, 0), 0, None)


class PriceTable:
    """The list prices, and before them `overrides`: the prices of the settings, by the exact name of the model.

    | request                            | price                                                   |
    |------------------------------------|---------------------------------------------------------|
    | tier "fast" or "batch"             | that of the tier, if the model has one on that day      |
    | any other tier                     | the standard price                                      |
    | web searches                       | that of the package; without one there:                 |
    | ... of a Claude model, an override | $10 per thousand                                        |
    | ... of another model               | None: the cost of the request is not known              |
    """

    def __init__(self, reference_model: str, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        self._reference_model = reference_model
        self._reference_family = model_family(reference_model)
        self._overrides = overrides or {}
        self._references: dict[str, str] = {}
        self._periods_us: dict[str, int] = {}
        self._rates: dict[_Key, _ModelRates | None] = {}

    @cached_property
    def version(self) -> str:
        """The version of the price data."""
        from importlib.metadata import version

        return version("genai-prices")

    def cost(
        self, model: str, usage: Usage, timestamp_us: int, modifiers: Modifiers = STANDARD, searches: int = 0
    ) -> int | None:
        """Nano-dollars of a request at the prices of its day; None if the model has no known price."""
        key = (model, modifiers, timestamp_us // (self._periods_us.get(model) or self._period_us(model)))
        rates = self._rates.get(key, _NOT_CACHED)
        if rates is _NOT_CACHED:
            rates = self._look_up(key)
        return None if rates is None else rates.cost(usage, searches)

    def reference_cost(
        self, model: str, usage: Usage, timestamp_us: int, modifiers: Modifiers = STANDARD, searches: int = 0
    ) -> int | None:
        """Nano-dollars of the same request on the reference model, with the same modifiers.

        A model of the reference's family is its own reference: Sonnet saves nothing against Sonnet, and a batch saves
        nothing by being one.
        """
        reference = self._references.get(model)
        if reference is None:
            is_same_family = model_family(model) == self._reference_family
            if len(self._references) >= _CACHED_RATES:
                self._references.clear()
            reference = self._references[model] = model if is_same_family else self._reference_model
        return self.cost(reference, usage, timestamp_us, modifiers, searches)

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
        if reference is None or replace:
            reference = self.reference_cost(model, usage, timestamp_us, modifiers, searches)
        if cost is None or replace:
            listed = self.cost(model, usage, timestamp_us, modifiers, searches)
            if listed is not None:
                cost, version = listed, OVERRIDDEN if model in self._overrides else self.version
        return cost, reference, version

    def _period_us(self, model: str) -> int:
        """For how long a looked-up price holds. Anthropic's prices change by the day, others also within a day."""
        period_us = self._periods_us[model] = DAY_US if "claude" in model.lower() else HOUR_US // 4
        return period_us

    def _look_up(self, key: _Key) -> _ModelRates | None:
        if len(self._rates) >= _CACHED_RATES:
            self._rates.clear()
            self._periods_us.clear()
        model, modifiers, period = key
        if model in self._overrides:
            rates: _ModelRates | None = _override_rates(self._overrides[model])
        else:
            rates = _list_rates(model, modifiers.tier, to_datetime(period * self._period_us(model), UTC))
        self._rates[key] = rates
        return rates


def _override_rates(price: ModelPrice) -> _ModelRates:
    prices = _Rates(price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
    return _model_rates(prices, _CLAUDE_SEARCH_USD)


def _list_rates(model: str, tier: str | None, moment: datetime) -> _ModelRates | None:
    """The rates of the package at a moment; None for a model that it does not know."""
    parsed = _seller_and_name(model)
    if parsed is None:
        return None
    import genai_prices

    seller, name, version = parsed
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=0, output_tokens=0),
            name,
            provider_id=seller,
            genai_request_timestamp=moment,
            price_context=None if tier is None else _TIERS.get(tier, {"service_tier": tier}),
        )
    except LookupError:
        return None
    if not _is_version(version, found.model.id):
        return None
    price = found.model_price
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
    return _model_rates(prices, _CLAUDE_SEARCH_USD if search is None and version else search)


def _seller_and_name(model: str) -> tuple[str | None, str, str] | None:
    """The seller of a model, the name to look up, and its version. For a model of another maker the seller is None: the
    package finds it. Returns None for a name with "claude" in it that no Claude model has."""
    name = model.lower()
    if "claude" not in name:
        return None, model, ""
    prefix, _, name = name.removesuffix("[1m]").rpartition("/")
    seller = _SELLERS.get(prefix)
    at_bedrock = _BEDROCK.fullmatch(name)
    if at_bedrock and (not prefix or prefix.startswith(("bedrock", "arn:aws"))):
        seller = "aws"
    elif seller == "anthropic" and "@" in name:
        # Only Google writes the date after an @.
        seller = "google"
    whole = _CLAUDE.fullmatch(at_bedrock["name"] if at_bedrock and seller == "aws" else name)
    if seller is None or whole is None:
        return None
    return seller, name, whole["early"] or whole["late"]


def _is_version(version: str, found: str) -> bool:
    """Whether the model that was found has this version. For 4-10 the package may find 4-1, by its beginning."""
    return not _TWO_DIGITS.search(version) or version.replace(".", "-") in found.replace(".", "-")


def _model_rates(prices: _Rates, search: Any) -> _ModelRates:
    """The rates of a model from dollars per million tokens and per thousand searches. A kind without a price costs what
    a more general kind does: a cached token like input, a one-hour cache write like one for five minutes."""
    cache_read = prices.input if prices.cache_read is None else prices.cache_read
    write_5m = prices.input if prices.cache_write_5m is None else prices.cache_write_5m
    write_1h = write_5m if prices.cache_write_1h is None else prices.cache_write_1h
    tiers = _Rates(*map(_rate, (prices.input, prices.output, cache_read, write_5m, write_1h)))
    return _ModelRates(
        tiers=tiers,
        base=_Rates(*(rate[0][1] for rate in tiers)),
        base_limit=min((start for rate in tiers for start, _ in rate[1:]), default=float("inf")),
        search=None if search is None else _whole(Decimal(getattr(search, "base", search)) * _NANOUSD_PER_SEARCH),
    )


def _rate(price: Any) -> Rate:
    base = getattr(price, "base", price)
    tiers = getattr(price, "tiers", ())
    return ((-1, _per_token(base)), *((tier.start, _per_token(tier.price)) for tier in tiers))


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
