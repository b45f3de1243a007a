"""Model, tokens and date to cost, from the price data of `genai-prices`.

Prices are in that package, with their dates, long-context tiers and cache rates, and work offline; it is imported when
the first price is asked for, since it takes a quarter of a second. What is kept here is the rates of a model at a time,
as integers (a dollar a million tokens is 1,000 nano-dollars a token), so that a price costs a few multiplications and
is exact. A model that the data does not know has no price: None, never 0 and never another model's. The data matches
many names by how they begin, so the names of Claude models are read whole first: an invented one must not get the price
of the model that it begins like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from claude_force.clock import DAY_US, HOUR_US, to_datetime
from claude_force.executions.record import ExecutionMetrics, model_family, with_costs
from claude_force.settings.claude_json import ModelPrice

OVERRIDDEN = "claude.json"
"""The `price_version` of a cost whose prices are those of the settings."""

_NANOUSD_A_TOKEN = 1000
"""Nano-dollars a token for each dollar a million tokens."""

_NANOUSD_A_SEARCH = 1_000_000
"""Nano-dollars a search for each dollar a thousand searches."""

_CLAUDE_SEARCH = Decimal(10)
"""What Anthropic takes for a thousand searches, whatever the model: for an entry of the data that leaves it out."""

_REMEMBERED = 10_000
"""Models and days whose rates are kept in memory; names of models come from files."""

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")

_TIERS = {"fast": {"speed": "fast"}, "batch": {"processing": "batch"}}
"""How the data calls the tiers that change a Claude price."""

_SELLERS = {
    "": "anthropic",
    "anthropic": "anthropic",
    # Which sells Claude at Anthropic's price; its own entries lack what a cache write for an hour costs.
    "openrouter/anthropic": "anthropic",
    "vertex_ai": "google",
}
"""Who sells a Claude model, by what stands before its name."""

_VERSION = r"\d{1,2}(?:[.-]\d{1,2})?"
_CLAUDE = re.compile(
    rf"claude-(?:(?:instant-)?v?(?P<early>{_VERSION})(?:-[a-z]{{3,}})?|[a-z]{{3,}}-(?P<late>{_VERSION}))"
    r"(?:-latest|-\d{8}|-\d{4}-\d\d-\d\d)?(?:-v\d)?(?::\d{1,2})?(?::\d+k)?(?::beta|:thinking)?"
    r"(?:@(?:\d{8}|default|latest))?"
)
"""A whole name: claude-3-5-haiku-20241022, claude-opus-4-6, claude-sonnet-4-5-20250929-v1:0, claude-opus-5@default."""

_BEDROCK = re.compile(r"(?:[a-z]+(?:-[a-z]+)?\.)?anthropic\.(?P<name>claude-.+)")
"""A model id of Bedrock, with the region or "global" before it, or neither."""

_TWO_DIGITS = re.compile(r"\d\d")


class Usage(NamedTuple):
    """The tokens of one request, each kind apart; `input_tokens` leaves cached tokens out, as Claude's API does."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything that was sent: what decides on a long-context tier."""
        return self[0] + self[2] + self[3] + self[4]


Costs = tuple[int | None, int | None, str | None]
"""Nano-dollars, nano-dollars on the reference model, and the version of the prices that made the first."""


def usage_of(record: ExecutionMetrics) -> Usage:
    """The tokens of a record; zero where the usage is not known."""
    return Usage(
        record.input_tokens or 0,
        record.output_tokens or 0,
        record.cache_read_tokens,
        record.cache_write_5m_tokens,
        record.cache_write_1h_tokens,
    )


Rate = tuple[tuple[int, int | Decimal], ...]
"""Steps (more prompt tokens than, nano-dollars a token), lowest first. A step applies to all tokens of the request."""


@dataclass(frozen=True, slots=True)
class _Rates:
    """The rates of a model at a time, one for each kind of token. `first` are the prices of requests of no more than
    `limit` prompt tokens, as nearly all are."""

    steps: tuple[Rate, ...]
    first: tuple[int | Decimal, ...]
    limit: float
    search: int | Decimal | None = None
    """Nano-dollars a web search; None where that is not known."""


_NOT_LOOKED_UP = _Rates((), (), 0)


class PriceTable:
    """List prices, and before them the prices of the settings, `overrides`, by the exact name of the model.

    A request of the tier "fast" or "batch" costs what the data has for it, and the standard price for a model and a day
    without one of its own; so does any other word ("priority" has no list price for a Claude model). A web search costs
    what the data says; where it says nothing, 10 dollars a thousand for a Claude model and for an override, while the
    cost of a request of another model with searches is not known: None.
    """

    def __init__(self, reference_model: str, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        self._reference_model = reference_model
        self._reference_family = model_family(reference_model)
        self._overrides = overrides or {}
        self._references: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._rates: dict[tuple[str, str | None, int], _Rates | None] = {}

    @cached_property
    def version(self) -> str:
        """The version of the price data."""
        from importlib.metadata import version

        return version("genai-prices")

    def cost(
        self, model: str, usage: Usage, timestamp_us: int, tier: str | None = None, searches: int = 0
    ) -> int | None:
        """Nano-dollars of a request at the price of its day, its tier and its web searches; None for a model without
        a known price."""
        return self._cost(model, usage, timestamp_us, tier, searches)

    def reference_cost(
        self, model: str, usage: Usage, timestamp_us: int, tier: str | None = None, searches: int = 0
    ) -> int | None:
        """Nano-dollars of the same tokens and searches, in the same tier, on the reference model. A model of the
        reference's own family is its own reference: a Sonnet run saves nothing against Sonnet, and no batch saves
        anything by being one."""
        reference = self._references.get(model)
        if reference is None:
            same = model_family(model) == self._reference_family
            if len(self._references) >= _REMEMBERED:
                self._references.clear()
            reference = self._references[model] = model if same else self._reference_model
        return self._cost(reference, usage, timestamp_us, tier, searches)

    def complete(
        self,
        model: str,
        usage: Usage,
        timestamp_us: int,
        costs: Costs,
        tier: str | None = None,
        searches: int = 0,
        *,
        replace: bool = False,
    ) -> Costs:
        """The costs of a request, those that are None filled in; with `replace` today's prices also stand in for the
        others. A cost whose model has no price stays as it is. The version of a cost that an override made is
        OVERRIDDEN."""
        cost, reference, version = costs
        if reference is None or replace:
            reference = self.reference_cost(model, usage, timestamp_us, tier, searches)
        if cost is None or replace:
            listed = self._cost(model, usage, timestamp_us, tier, searches)
            if listed is not None:
                cost, version = listed, OVERRIDDEN if model in self._overrides else self.version
        return cost, reference, version

    def priced(self, record: ExecutionMetrics, *, replace: bool = False) -> ExecutionMetrics:
        """The record with its costs complete; one whose usage is not known stays as it is."""
        if record.input_tokens is None:
            return record
        costs = (record.cost_nanousd, record.reference_cost_nanousd, record.price_version)
        tier, searches = record.service_tier, record.web_searches
        found = self.complete(
            record.model, usage_of(record), record.timestamp_us, costs, tier, searches, replace=replace
        )
        return record if found == costs else with_costs(record, *found)

    def _cost(self, model: str, usage: Usage, timestamp_us: int, tier: str | None, searches: int) -> int | None:
        key = (model, tier, timestamp_us // (self._steps.get(model) or self._step_of(model)))
        rates = self._rates.get(key, _NOT_LOOKED_UP)
        if rates is _NOT_LOOKED_UP:
            rates = self._remember(key)
        if rates is None:
            return None
        prompt = usage.prompt_tokens
        prices = rates.first if prompt <= rates.limit else tuple(_price(rate, prompt) for rate in rates.steps)
        cost = usage[0] * prices[0] + usage[1] * prices[1]
        if prompt != usage[0]:
            cost += usage[2] * prices[2] + usage[3] * prices[3] + usage[4] * prices[4]
        if searches:
            if rates.search is None:
                return None
            cost += searches * rates.search
        return round(cost)

    def _step_of(self, model: str) -> int:
        """For how long, in microseconds, a price is looked up once. Anthropic's prices change by the day; some makers
        have prices that change within one."""
        step = self._steps[model] = DAY_US if "claude" in model.lower() else HOUR_US // 4
        return step

    def _remember(self, key: tuple[str, str | None, int]) -> _Rates | None:
        if len(self._rates) >= _REMEMBERED:
            self._rates.clear()
            self._steps.clear()
        model, tier, number = key
        if model in self._overrides:
            rates: _Rates | None = _rates_of(astuple(self._overrides[model]), _CLAUDE_SEARCH)
        else:
            rates = _list_rates(model, tier, to_datetime(number * self._step_of(model), UTC))
        self._rates[key] = rates
        return rates


def _list_rates(model: str, tier: str | None, moment: datetime) -> _Rates | None:
    """The rates of the data at a moment; None for a model that it does not know."""
    named = _seller_and_name(model)
    if named is None:
        return None
    import genai_prices

    provider, name, version = named
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=0, output_tokens=0),
            name,
            provider_id=provider,
            genai_request_timestamp=moment,
            price_context=None if tier is None else _TIERS.get(tier, {"service_tier": tier}),
        )
    except LookupError:
        return None
    if not _is_meant(version, found.model.id):
        return None
    price = found.model_price
    prices = [getattr(price, kind, None) for kind in _KINDS]
    if prices[0] is None or prices[1] is None:
        return None
    search = getattr(price, "web_searches_kcount", None)
    return _rates_of(prices, _CLAUDE_SEARCH if search is None and version else search)


def _seller_and_name(model: str) -> tuple[str | None, str, str] | None:
    """Who sells a model, what the seller calls it, and its version, for the data to look up; for a model of another
    maker the data finds the seller itself. None for a name that no Claude model has."""
    name = model.lower()
    if "claude" not in name:
        return None, model, ""
    before, _, name = name.removesuffix("[1m]").rpartition("/")
    seller = _SELLERS.get(before)
    at_bedrock = _BEDROCK.fullmatch(name)
    if at_bedrock and (not before or before.startswith(("bedrock", "arn:aws"))):
        seller = "aws"
    elif seller == "anthropic" and "@" in name:
        # Only Google writes the date so.
        seller = "google"
    whole = _CLAUDE.fullmatch(at_bedrock["name"] if at_bedrock and seller == "aws" else name)
    if seller is None or whole is None:
        return None
    return seller, name, whole["early"] or whole["late"]


def _is_meant(version: str, found: str) -> bool:
    """Whether the model that was found is of this version: for 4-10 the data may find 4-1, which it begins like."""
    return not _TWO_DIGITS.search(version) or version.replace(".", "-") in found.replace(".", "-")


def _rates_of(prices: Sequence[Any], search: Any) -> _Rates:
    """The rates of the five kinds of tokens. A kind without a rate of its own is billed as what it is part of: a cached
    token as input, an hour's cache write as a cache write."""
    base, output, read, write, write_1h = prices
    read = base if read is None else read
    write = base if write is None else write
    write_1h = write if write_1h is None else write_1h
    steps = tuple(_rate(value) for value in (base, output, read, write, write_1h))
    limit = min((start for rate in steps for start, _ in rate[1:]), default=float("inf"))
    a_search = None if search is None else _whole(Decimal(getattr(search, "base", search)) * _NANOUSD_A_SEARCH)
    return _Rates(steps, tuple(rate[0][1] for rate in steps), limit, a_search)


def _rate(value: Any) -> Rate:
    base = getattr(value, "base", value)
    tiers = getattr(value, "tiers", ())
    return ((-1, _a_token(base)), *((tier.start, _a_token(tier.price)) for tier in tiers))


def _a_token(mtok: Decimal | float) -> int | Decimal:
    """Nano-dollars a token. A price of the settings is the number as it is written there."""
    return _whole(Decimal(str(mtok)) * _NANOUSD_A_TOKEN)


def _whole(price: Decimal) -> int | Decimal:
    """Whole nano-dollars, as nearly all prices are, as an int, which is quicker and as exact."""
    return int(price) if price == int(price) else price


def _price(rate: Rate, prompt_tokens: int) -> int | Decimal:
    found = rate[0][1]
    for start, price in rate[1:]:
        if prompt_tokens > start:
            found = price
    return found
