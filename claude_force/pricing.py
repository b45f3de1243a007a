"""Model, tokens and date to cost, from the price data of `genai-prices`.

Prices are in that package, with their dates, long-context tiers and cache rates, and work offline; it is imported when
the first price is asked for, since it takes a quarter of a second. What is kept here is the rates of a model at a time,
as integers (a dollar a million tokens is 1,000 nano-dollars a token), so that a price costs a few multiplications and
is exact. A model that the data does not know has no price: None, never 0 and never another model's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from claude_force.clock import DAY_US, HOUR_US, moment_of
from claude_force.record import ExecutionMetrics, model_family, with_costs

_NANOUSD_A_TOKEN = 1000
"""Nano-dollars a token for each dollar a million tokens."""

_REMEMBERED = 10_000
"""Models and days whose rates are kept in memory; names of models come from files."""

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")


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


_NOT_LOOKED_UP = _Rates((), (), 0)


class PriceTable:
    """List prices. `version` names the data, and goes with every cost that is made from it."""

    def __init__(self, reference_model: str) -> None:
        self._reference_model = reference_model
        self._reference_family = model_family(reference_model)
        self._references: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._rates: dict[tuple[str, int], _Rates | None] = {}

    @cached_property
    def version(self) -> str:
        """The version of the price data."""
        from importlib.metadata import version

        return version("genai-prices")

    def cost(self, model: str, usage: Usage, timestamp_us: int) -> int | None:
        """Nano-dollars of a request at the list price of its day; None for a model without a known price."""
        return self._cost(model, usage, timestamp_us)

    def reference_cost(self, model: str, usage: Usage, timestamp_us: int) -> int | None:
        """Nano-dollars of the same tokens on the reference model. A model of the reference's own family is its own
        reference: a Sonnet run saves nothing against Sonnet."""
        reference = self._references.get(model)
        if reference is None:
            same = model_family(model) == self._reference_family
            if len(self._references) >= _REMEMBERED:
                self._references.clear()
            reference = self._references[model] = model if same else self._reference_model
        return self._cost(reference, usage, timestamp_us)

    def complete(self, model: str, usage: Usage, timestamp_us: int, costs: Costs, *, replace: bool = False) -> Costs:
        """The costs of a request, those that are None filled in; with `replace` list prices also stand in for the
        others. A cost whose model has no price stays as it is."""
        cost, reference, version = costs
        if reference is None or replace:
            reference = self.reference_cost(model, usage, timestamp_us)
        if cost is None or replace:
            listed = self._cost(model, usage, timestamp_us)
            if listed is not None:
                cost, version = listed, self.version
        return cost, reference, version

    def priced(self, record: ExecutionMetrics, *, replace: bool = False) -> ExecutionMetrics:
        """The record with its costs complete; one whose usage is not known stays as it is."""
        if record.input_tokens is None:
            return record
        costs = (record.cost_nanousd, record.reference_cost_nanousd, record.price_version)
        found = self.complete(record.model, usage_of(record), record.timestamp_us, costs, replace=replace)
        return record if found == costs else with_costs(record, *found)

    def _cost(self, model: str, usage: Usage, timestamp_us: int) -> int | None:
        key = (model, timestamp_us // (self._steps.get(model) or self._step_of(model)))
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
        return round(cost)

    def _step_of(self, model: str) -> int:
        """For how long, in microseconds, a price is looked up once. Anthropic's prices change by the day; some makers
        have prices that change within one."""
        step = self._steps[model] = DAY_US if "claude" in model.lower() else HOUR_US // 4
        return step

    def _remember(self, key: tuple[str, int]) -> _Rates | None:
        if len(self._rates) >= _REMEMBERED:
            self._rates.clear()
            self._steps.clear()
        model, number = key
        self._rates[key] = self._look_up(model, moment_of(number * self._step_of(model), UTC))
        return self._rates[key]

    def _look_up(self, model: str, moment: datetime) -> _Rates | None:
        import genai_prices

        provider = "anthropic" if "claude" in model.lower() else None
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=0, output_tokens=0),
                model,
                provider_id=provider,
                genai_request_timestamp=moment,
            )
        except LookupError:
            return None
        price = found.model_price
        base = getattr(price, "input_mtok", None)
        if base is None or getattr(price, "output_mtok", None) is None:
            return None
        prices = [getattr(price, kind, None) for kind in _KINDS]
        # A kind without a rate of its own is billed as what it is part of: a cached token as input, an hour's cache
        # write as a cache write.
        prices[2] = base if prices[2] is None else prices[2]
        prices[3] = base if prices[3] is None else prices[3]
        prices[4] = prices[3] if prices[4] is None else prices[4]
        steps = tuple(_rate(value) for value in prices)
        limit = min((start for rate in steps for start, _ in rate[1:]), default=float("inf"))
        return _Rates(steps, tuple(rate[0][1] for rate in steps), limit)


def _rate(value: Any) -> Rate:
    base = getattr(value, "base", value)
    tiers = getattr(value, "tiers", ())
    return ((-1, _a_token(base)), *((tier.start, _a_token(tier.price)) for tier in tiers))


def _a_token(mtok: Decimal) -> int | Decimal:
    """Nano-dollars a token; whole ones, as nearly all are, as an int, which is quicker and as exact."""
    price = mtok * _NANOUSD_A_TOKEN
    return int(price) if price == int(price) else price


def _price(rate: Rate, prompt_tokens: int) -> int | Decimal:
    found = rate[0][1]
    for start, price in rate[1:]:
        if prompt_tokens > start:
            found = price
    return found
