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
from typing import Any

from claude_force.clock import DAY_US, HOUR_US, moment_of
from claude_force.record import ExecutionMetrics, as_mapping, model_family

_NANOUSD_A_TOKEN = 1000
"""Nano-dollars a token for each dollar a million tokens."""

_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one request, each kind apart; `input_tokens` leaves cached tokens out, as Claude's API does."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything that was sent: what decides on a long-context tier."""
        cached = self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + cached


def usage_of(record: ExecutionMetrics) -> Usage:
    """The tokens of a record; zero where the usage is not known."""
    return Usage(
        record.input_tokens or 0,
        record.output_tokens or 0,
        record.cache_read_tokens,
        record.cache_write_5m_tokens,
        record.cache_write_1h_tokens,
    )


Rate = tuple[tuple[int, Decimal], ...]
"""Steps (more prompt tokens than, nano-dollars a token), lowest first. A step applies to all tokens of the request."""


class PriceTable:
    """List prices. `version` names the data, and goes with every cost that is made from it."""

    def __init__(self, reference_model: str) -> None:
        self._reference_model = reference_model
        self._rates: dict[tuple[str, int], tuple[Rate, ...] | None] = {}

    @cached_property
    def version(self) -> str:
        """The version of the price data."""
        from importlib.metadata import version

        return version("genai-prices")

    def cost(self, model: str, usage: Usage, timestamp_us: int) -> int | None:
        """Nano-dollars of a request at the list price of its day; None for a model without a known price."""
        rates = self._rates_at(model, timestamp_us)
        if rates is None:
            return None
        tokens = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
        )
        prompt = usage.prompt_tokens
        return round(sum(count * _step(rate, prompt) for count, rate in zip(tokens, rates, strict=True) if count))

    def reference_cost(self, model: str, usage: Usage, timestamp_us: int) -> int | None:
        """Nano-dollars of the same tokens on the reference model. A model of the reference's own family is its own
        reference: a Sonnet run saves nothing against Sonnet."""
        same = model_family(model) == model_family(self._reference_model)
        return self.cost(model if same else self._reference_model, usage, timestamp_us)

    def priced(self, record: ExecutionMetrics, *, replace: bool = False) -> ExecutionMetrics:
        """The record with the costs that it lacks; with `replace` list prices also stand in for the costs it has. One
        whose usage is not known, and a cost whose model has no price, stay as they are."""
        if record.input_tokens is None:
            return record
        changes: dict[str, Any] = {}
        usage = usage_of(record)
        if record.reference_cost_nanousd is None or replace:
            changes["reference_cost_nanousd"] = self.reference_cost(record.model, usage, record.timestamp_us)
        if record.cost_nanousd is None or replace:
            cost = self.cost(record.model, usage, record.timestamp_us)
            if cost is not None:
                changes |= {"cost_nanousd": cost, "price_version": self.version}
        return ExecutionMetrics(**as_mapping(record) | changes)

    def _rates_at(self, model: str, timestamp_us: int) -> tuple[Rate, ...] | None:
        # Anthropic's prices change by the day; some makers have prices that change within one.
        step = DAY_US if "claude" in model.lower() else HOUR_US // 4
        key = (model, timestamp_us - timestamp_us % step)
        if key not in self._rates:
            self._rates[key] = self._look_up(model, moment_of(key[1], UTC))
        return self._rates[key]

    def _look_up(self, model: str, moment: datetime) -> tuple[Rate, ...] | None:
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
        return tuple(_rate(value) for value in prices)


def _rate(value: Any) -> Rate:
    base = getattr(value, "base", value)
    tiers = getattr(value, "tiers", ())
    return ((-1, base * _NANOUSD_A_TOKEN), *((tier.start, tier.price * _NANOUSD_A_TOKEN) for tier in tiers))


def _step(rate: Rate, prompt_tokens: int) -> Decimal:
    found = rate[0][1]
    for start, price in rate[1:]:
        if prompt_tokens > start:
            found = price
    return found
