"""Prices of Claude that the package `genai-prices` lacks. It stays the source: a row here is used only where the
package has nothing for that model, day and kind of price. A test fails as soon as the package says something else.

A row holds from the day `since` to the day `until`, both included, in UTC; None is open. `looked_up` is the day on
which its `source` was read. How to add a row: docs/reference/prices.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

Version = tuple[int, int]
"""The version of a Claude model: Opus 4.6 is (4, 6), Sonnet 4 is (4, 0)."""

ANTHROPIC = "anthropic"
"""The seller of the Claude API, in the words of the package; "aws" and "google" are those of Bedrock and Vertex AI."""

_PRICING_PAGE = "https://platform.claude.com/docs/en/about-claude/pricing"
_LOOKED_UP = date(2026, 11, 28)


class ClaudeModel(NamedTuple):
    """A Claude model and who sells it. `family` is "opus"; None for Claude 2 and older."""

    seller: str
    family: str | None
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What all rows have. `models` are family and version; empty for every Claude model."""

    models: frozenset[tuple[str, Version]] = frozenset()
    since: date | None = None
    until: date | None = None
    sellers: frozenset[str] = frozenset({ANTHROPIC, "aws", "google"})
    source: str
    looked_up: date = field(default=_LOOKED_UP)

    def holds(self, model: ClaudeModel, day: date) -> bool:
        """Whether the row is about this model on this day."""
        return (
            model.seller in self.sellers
            and (not self.models or (model.family, model.version) in self.models)
            and (self.since is None or self.since <= day)
            and (self.until is None or day <= self.until)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TierFactor(_Row):
    """What the tokens of a service tier cost, as a multiple of the standard price."""

    tier: str
    factor: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPrompt(_Row):
    """What a request with more than `above` prompt tokens costs, as a multiple of a short one: `prompt` for every kind
    of prompt token, `output` for output."""

    above: int = 200_000
    prompt: Decimal = Decimal(2)
    output: Decimal = Decimal("1.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReadPrice(_Row):
    """What cache reads cost, as a multiple of input."""

    of_input: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePrice(_Row):
    """The price of a model that the package does not have, in US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal


def _models(*names: str) -> frozenset[tuple[str, Version]]:
    """From "opus-4-6" to ("opus", (4, 6))."""
    parts = (name.split("-") for name in names)
    return frozenset((family, (int(major), int(minor))) for family, major, minor in parts)


TIERS = (
    TierFactor(
        tier="batch", factor=Decimal("0.5"), since=date(2024, 10, 8), source=f"{_PRICING_PAGE}#batch-processing"
    ),
    # A discount of half at the launch, "until 11:59pm PT on February 16". Removed on 2026-06-29.
    TierFactor(
        tier="fast",
        factor=Decimal(3),
        models=_models("opus-4-6"),
        until=date(2026, 2, 16),
        sellers=frozenset({ANTHROPIC}),
        source="https://code.claude.com/docs/en/fast-mode, of 2026-02",
    ),
    TierFactor(
        tier="fast",
        factor=Decimal(6),
        models=_models("opus-4-6"),
        since=date(2026, 2, 17),
        until=date(2026, 6, 28),
        sellers=frozenset({ANTHROPIC}),
        source=f"{_PRICING_PAGE}#fast-mode-pricing, of 2026-03; github.com/NousResearch/hermes-agent/pull/82348",
    ),
    TierFactor(
        tier="fast",
        factor=Decimal(6),
        models=_models("opus-4-7"),
        until=date(2026, 7, 24),
        sellers=frozenset({ANTHROPIC}),
        source=f"{_PRICING_PAGE}#fast-mode-pricing, of 2026-05; github.com/zed-industries/zed/pull/61341",
    ),
)

LONG_PROMPTS = (
    LongPrompt(
        models=_models("sonnet-4-0"),
        since=date(2025, 8, 12),
        source="https://www.anthropic.com/news/1m-context; github.com/BerriAI/litellm/pull/14639",
    ),
    LongPrompt(models=_models("sonnet-4-5"), source=f"{_PRICING_PAGE}#long-context-pricing, of 2026-02"),
    LongPrompt(
        models=_models("opus-4-6", "sonnet-4-6"),
        until=date(2026, 3, 12),
        source=f"{_PRICING_PAGE}#long-context-pricing, of 2026-02; github.com/anomalyco/models.dev/pull/1220",
    ),
)

CACHE_READS = (
    CacheReadPrice(
        of_input=Decimal("0.1"),
        models=_models("sonnet-5-5"),
        until=date(2026, 10, 6),
        source="the change logs of claudit 1.9.2 and PromptFuel",
    ),
)

BASE_PRICES = (
    BasePrice(
        models=_models("mythos-5-0"),
        sellers=frozenset({ANTHROPIC}),
        input=Decimal(10),
        output=Decimal(50),
        cache_read=Decimal(1),
        cache_write_5m=Decimal("12.5"),
        cache_write_1h=Decimal(20),
        source=f"{_PRICING_PAGE}#model-pricing",
    ),
    BasePrice(
        models=_models("mythos-5-1"),
        sellers=frozenset({ANTHROPIC}),
        input=Decimal(10),
        output=Decimal(50),
        cache_read=Decimal("0.25"),
        cache_write_5m=Decimal("12.5"),
        cache_write_1h=Decimal(20),
        source=f"{_PRICING_PAGE}#model-pricing",
    ),
)

RESIDENCY = {"us": Decimal("1.1")}
"""What every token costs by the data residency that the Claude API reports (`inference_geo`), as a multiple.
Source: the pricing page, section "Data residency pricing", looked up on 2026-11-28."""

RESIDENCY_SINCE: Version = (4, 6)
"""Older models "retain their existing pricing regardless of `inference_geo` settings", by the same page."""

REGIONS_SINCE: Version = (4, 5)
"""Since Sonnet 4.5, Haiku 4.5 and Opus 4.5 a regional endpoint of Bedrock or Vertex AI costs a tenth more than the
global one. Source: the pricing page, section "Third-party platform pricing", looked up on 2026-11-28."""


_AnyRow = TypeVar("_AnyRow", bound=_Row)


def rows_for(rows: Iterable[_AnyRow], model: ClaudeModel, day: date) -> Iterator[_AnyRow]:
    """The rows about this model on this day."""
    return (row for row in rows if row.holds(model, day))


def tier_factor(model: ClaudeModel, tier: str, day: date) -> Decimal | None:
    """The multiple of the standard price that a service tier costs; None if no row knows it."""
    return next((row.factor for row in rows_for(TIERS, model, day) if row.tier == tier), None)


def change_days(rows: Iterable[_Row], model: ClaudeModel) -> frozenset[date]:
    """The days from which a row about this model holds, or does not hold any more; whoever sells it."""
    ours = [row for row in rows if not row.models or (model.family, model.version) in row.models]
    ends = (row.until + timedelta(days=1) for row in ours if row.until)
    return frozenset((*ends, *(row.since for row in ours if row.since)))
