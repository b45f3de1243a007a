"""Our rows beside the price package: each has a source, is still needed, and agrees with what the package has."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, Tier, TieredPrices

from claude_force.executions.model_names import parse_model
from claude_force.executions.price_supplements import (
    BASE_PRICES,
    CACHE_READS,
    LONG_PROMPTS,
    TIERS,
    BasePrice,
    CacheReadPrice,
    LongPrompt,
    TierFactor,
    rows_for,
)

Row = TierFactor | LongPrompt | CacheReadPrice | BasePrice

CONTEXTS = {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}


def package_model(model: str) -> ModelInfo | None:
    """What the package has for a model of Anthropic."""
    nothing = genai_prices.Usage(input_tokens=0, output_tokens=0)
    try:
        return genai_prices.calc_price(nothing, model, provider_id="anthropic").model
    except LookupError:
        return None


def package_price(model: str, day: date, tier: str | None = None) -> ModelPrice:
    """Its price at noon of a day."""
    found = package_model(model)
    assert found is not None
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return found.get_prices(moment, None if tier is None else CONTEXTS[tier])


@pytest.mark.parametrize("row", [*TIERS, *LONG_PROMPTS, *CACHE_READS, *BASE_PRICES])
def test_every_row_has_a_source_and_its_day(row: Row) -> None:
    """Who doubts a figure can look it up."""
    assert row.source.strip()
    assert date(2026, 11, 28) <= row.looked_up <= datetime.now(UTC).date()
    assert row.since is None or row.until is None or row.since <= row.until


@pytest.mark.parametrize("model", ["claude-mythos-5", "claude-mythos-5-1"])
def test_the_package_still_lacks_our_models(model: str) -> None:
    """When this fails, the package has the model: delete our row, if the prices agree."""
    found = package_model(model)
    assert found is None or found.id != model


@pytest.mark.parametrize(
    ("model", "day", "tier"),
    [
        ("claude-opus-4-6", date(2026, 2, 16), "fast"),
        ("claude-opus-4-6", date(2026, 5, 4), "fast"),
        ("claude-opus-4-7", date(2026, 5, 4), "fast"),
        ("claude-opus-4-1", date(2026, 11, 20), "batch"),
        ("claude-sonnet-4-6", date(2026, 6, 15), "batch"),
    ],
)
def test_the_package_still_lacks_our_tiers(model: str, day: date, tier: str) -> None:
    """When this fails, the package has a price for the tier on that day: delete our row, if they agree."""
    assert package_price(model, day, tier) == package_price(model, day)


@pytest.mark.parametrize("name", ["claude-sonnet-4-0", "claude-sonnet-4-20250514"])
def test_the_package_still_lacks_our_long_prompts(name: str) -> None:
    """When this fails, the package has a price for long prompts of Sonnet 4: delete our row, if they agree."""
    assert isinstance(package_price(name, date(2025, 10, 10)).input_mtok, Decimal)


def test_the_package_still_lacks_the_cache_reads_of_sonnet_5_5() -> None:
    """When this fails, the package knows the change of price: delete our row, if they agree."""
    days = (date(2026, 10, 6), date(2026, 10, 7))
    assert [package_price("claude-sonnet-5-5", day).cache_read_mtok for day in days] == [Decimal("0.1")] * 2


def test_the_package_agrees_with_our_batch_factor() -> None:
    """Where the package has a batch price of a Claude model, it is half of its standard price, for any prompt."""
    day, checked = date(2026, 11, 20), 0
    for model in next(provider for provider in providers if provider.id == "anthropic").models:
        name = parse_model(model.id)
        if name is None or name.claude is None or not model.price_variants:
            continue
        (factor,) = (row.factor for row in rows_for(TIERS, name.claude, day) if row.tier == "batch")
        standard, batch = package_price(model.id, day), package_price(model.id, day, "batch")
        for kind in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"):
            assert getattr(batch, kind) == times(getattr(standard, kind), factor)
        checked += 1
    assert checked >= 15


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("claude-sonnet-4-5", date(2025, 10, 10)),
        ("claude-opus-4-6", date(2026, 3, 12)),
        ("claude-sonnet-4-6", date(2026, 3, 12)),
    ],
)
def test_the_package_agrees_with_our_factors_of_long_prompts(model: str, day: date) -> None:
    """Where the package has prices of long prompts, they are twice the input and one and a half times the output."""
    price, name = package_price(model, day), parse_model(model)
    assert name is not None
    assert name.claude is not None
    (row,) = rows_for(LONG_PROMPTS, name.claude, day)
    factors = {"input_mtok": row.prompt, "cache_read_mtok": row.prompt, "cache_write_mtok": row.prompt}
    for kind, factor in {**factors, "cache_write_1h_mtok": row.prompt, "output_mtok": row.output}.items():
        tiered = getattr(price, kind)
        assert tiered.tiers == [Tier(start=row.above, price=tiered.base * factor)]


def times(price: Decimal | TieredPrices, factor: Decimal) -> Decimal | TieredPrices:
    """A price of the package, multiplied."""
    if isinstance(price, Decimal):
        return price * factor
    tiers = [Tier(start=tier.start, price=tier.price * factor) for tier in price.tiers]
    return TieredPrices(base=price.base * factor, tiers=tiers)
