"""Prices by service tier, data residency, seller, length of prompt and day: figures typed from the published pages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.executions.pricing import STANDARD, Modifiers, PriceTable, Usage
from claude_force.settings.claude_json import ModelPrice

PRICES = PriceTable("claude-sonnet-4-5")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BEDROCK_SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"

# US dollars per million tokens of input, output, cache reads, cache writes for five minutes and for an hour.
# Sources: the pricing page of platform.claude.com (read as of 2026-02, 2026-03, 2026-05 and 2026-11), its fast mode and
# data residency pages, and those of Bedrock and Vertex AI.
PUBLISHED = """
# Message batches: half, since 2024-10-08, at every seller.
claude-3-haiku-20240307                   batch      2024-10-08  0.125 0.625 0.015 0.15 0.25
claude-3-haiku-20240307                   batch      2024-10-07  unknown
claude-3-5-haiku-20241022                 batch      2025-10-10  0.4 2 0.04 0.5 0.8
claude-opus-4-1-20250805                  batch      2025-10-10  7.5 37.5 0.75 9.375 15
claude-opus-4-1-20250805                  batch      2026-11-20  7.5 37.5 0.75 9.375 15
claude-sonnet-4-5                         batch      2026-10-13  1.5 7.5 0.15 1.875 3
claude-sonnet-4-5                         batch      2026-10-14  1.5 7.5 0.15 1.875 3
claude-sonnet-4-6                         batch      2026-06-15  1.5 7.5 0.15 1.875 3
claude-sonnet-4-6                         batch      2026-11-20  1.5 7.5 0.15 1.875 3
claude-haiku-4-5                          batch      2026-11-20  0.5 2.5 0.05 0.625 1
claude-opus-4-8                           batch      2026-09-20  2.5 12.5 0.25 3.125 5
claude-sonnet-5-5                         batch      2026-11-20  1 5 0.05 1.25 2
claude-fable-5-1                          batch      2026-09-20  5 25 0.125 6.25 10
claude-fable-5-2                          batch      2026-11-20  4 20 0.1 5 8
claude-mythos-5-1                         batch      2026-09-20  5 25 0.125 6.25 10
global.anthropic.claude-sonnet-4-6        batch      2026-06-15  1.5 7.5 0.15 1.875 3
us.anthropic.claude-sonnet-4-6            batch      2026-11-20  1.65 8.25 0.165 2.0625 3.3
claude-sonnet-4-6@default                 batch      2026-11-20  1.5 7.5 0.15 1.875 3
openrouter/anthropic/claude-opus-4.6:batch -         2026-11-20  2.5 12.5 0.25 3.125 5

# Fast mode: Opus 4.6 from 2026-02, half the price until 2026-02-16, removed on 2026-06-29.
claude-opus-4-6                           fast       2026-02-10  15 75 1.5 18.75 30
claude-opus-4-6                           fast       2026-02-16  15 75 1.5 18.75 30
claude-opus-4-6                           fast       2026-02-17  30 150 3 37.5 60
claude-opus-4-6                           fast       2026-02-20  30 150 3 37.5 60
claude-opus-4-6                           fast       2026-06-28  30 150 3 37.5 60
claude-opus-4-6                           fast       2026-06-29  unknown
claude-opus-4-6                           fast       2026-11-20  unknown
anthropic/claude-opus-4.6-fast            -          2026-05-04  30 150 3 37.5 60
claude-opus-4-7                           fast       2026-05-04  30 150 3 37.5 60
claude-opus-4-7                           fast       2026-07-24  30 150 3 37.5 60
claude-opus-4-7                           fast       2026-07-25  unknown
claude-opus-4-8                           fast       2026-06-20  10 50 1 12.5 20
claude-opus-5                             fast       2026-09-20  10 50 1 12.5 20
claude-opus-5-5                           fast       2026-11-20  8 40 0.4 10 16
claude-fable-5-2                          fast       2026-11-20  16 80 0.4 20 32
claude-mythos-5-2                         fast       2026-11-20  16 80 0.4 20 32
claude-sonnet-4-6                         fast       2026-05-04  unknown
claude-haiku-4-5                          fast       2026-05-04  unknown
claude-fable-5                            fast       2026-11-20  unknown
global.anthropic.claude-opus-4-6-v1       fast       2026-05-04  unknown
claude-opus-4-7@default                   fast       2026-05-04  unknown
anthropic/claude-opus-5-fast              batch      2026-11-20  unknown

# Other tiers: a commitment of capacity has the price of its contract.
claude-opus-4-6                           priority   2026-05-04  unknown
claude-sonnet-4-5                         flex       2026-05-04  unknown
claude-opus-5                             ours       2026-11-20  unknown
claude-opus-5                             standard   2026-11-20  5 25 0.5 6.25 10
gpt-4o                                    priority   2026-11-20  4.25 17 2.125 4.25 4.25
gpt-4o                                    batch      2026-11-20  1.25 5 1.25 1.25 1.25
gpt-4o                                    ours       2026-11-20  unknown
glm-4.7                                   batch      2026-11-20  unknown

# Data residency: a tenth more since Opus 4.6, on the Claude API. Older models keep their price.
claude-opus-4-6                           @us        2026-02-05  5.5 27.5 0.55 6.875 11
claude-sonnet-4-6                         @us        2026-06-15  3.3 16.5 0.33 4.125 6.6
claude-opus-4-8                           @us        2026-10-05  5.5 27.5 0.55 6.875 11
claude-haiku-5-5                          @us        2026-11-20  0.11 0.55 0.011 0.1375 0.22
claude-mythos-5                           @us        2026-11-20  11 55 1.1 13.75 22
claude-opus-4-5                           @us        2026-10-05  5 25 0.5 6.25 10
claude-sonnet-4-5                         @us        2026-10-05  3 15 0.3 3.75 6
claude-opus-4-8                           @global    2026-10-05  5 25 0.5 6.25 10
claude-opus-4-8                           @not_available  2026-10-05  5 25 0.5 6.25 10
claude-opus-4-8                           @eu        2026-10-05  unknown
claude-sonnet-4-5                         @eu        2026-10-05  unknown
global.anthropic.claude-opus-4-8          @us        2026-10-05  unknown
gpt-4o                                    @us        2026-10-05  unknown

# Together.
claude-opus-4-8                           batch@us   2026-10-05  2.75 13.75 0.275 3.4375 5.5
claude-opus-4-6                           fast@us    2026-05-04  33 165 3.3 41.25 66
claude-opus-4-6                           fast@us    2026-02-16  16.5 82.5 1.65 20.625 33
claude-opus-4-8                           fast@us    2026-10-05  11 55 1.1 13.75 22
claude-opus-4-8                           fast@eu    2026-10-05  unknown

# Sold by Bedrock or Vertex AI under the plain name: the region is not told, and matters since Claude 4.5.
claude-sonnet-4-5                         /bedrock   2026-10-05  unknown
claude-opus-4-5                           /vertex    2026-10-05  unknown
claude-haiku-4-5-20251001                 /vertex    2026-10-05  unknown
claude-opus-5-5                           /bedrock   2026-10-05  unknown
claude-sonnet-4-20250514                  /bedrock   2026-10-05  3 15 0.3 3.75 6
claude-opus-4-1-20250805                  /vertex    2026-10-05  15 75 1.5 18.75 30
claude-opus-4-1-20250805                  batch/vertex  2025-10-05  7.5 37.5 0.75 9.375 15
claude-opus-4-1-20250805                  @us/vertex  2026-10-05  unknown
claude-opus-4-1-20250805                  /elsewhere  2026-10-05  unknown
us.anthropic.claude-opus-5-5              /bedrock   2026-10-05  4.4 22 0.22 5.5 8.8
global.anthropic.claude-opus-5-5          /bedrock   2026-10-05  4 20 0.2 5 8
claude-opus-5-5@default                   /vertex    2026-10-05  4 20 0.2 5 8

# Cache reads of Sonnet 5.5 became cheaper, at every seller.
claude-sonnet-5-5                         -          2026-10-06  2 10 0.2 2.5 4
claude-sonnet-5-5                         -          2026-10-07  2 10 0.1 2.5 4
us.anthropic.claude-sonnet-5-5            -          2026-10-06  2.2 11 0.22 2.75 4.4
us.anthropic.claude-sonnet-5-5            -          2026-10-07  2.2 11 0.11 2.75 4.4
claude-sonnet-5-5@default                 -          2026-10-06  2 10 0.2 2.5 4
claude-sonnet-5-5                         batch      2026-10-06  1 5 0.1 1.25 2

# Of limited availability.
claude-mythos-5                           -          2026-11-20  10 50 1 12.5 20
claude-mythos-5-1                         -          2026-11-20  10 50 0.25 12.5 20
claude-mythos-5-2                         -          2026-11-20  8 40 0.2 10 16
claude-mythos-5-3                         -          2026-11-20  unknown
"""

# The same for requests above a number of prompt tokens.
PUBLISHED_LONG = """
claude-sonnet-4-20250514                  -          2025-08-11  200000  3 15 0.3 3.75 6
claude-sonnet-4-20250514                  -          2025-08-12  200000  6 22.5 0.6 7.5 12
claude-sonnet-4-0                         -          2025-10-10  200000  6 22.5 0.6 7.5 12
claude-sonnet-4                           -          2026-04-01  200000  6 22.5 0.6 7.5 12
claude-4-sonnet-20250514                  -          2025-10-10  200000  6 22.5 0.6 7.5 12
us.anthropic.claude-sonnet-4-20250514-v1:0  -        2025-10-10  200000  6 22.5 0.6 7.5 7.5
global.anthropic.claude-sonnet-4-20250514-v1:0  -    2025-10-10  200000  6 22.5 0.6 7.5 7.5
claude-sonnet-4@20250514                  -          2025-10-10  200000  6 22.5 0.6 7.5 7.5
claude-sonnet-4-20250514                  /bedrock   2025-10-10  200000  6 22.5 0.6 7.5 12
claude-sonnet-4-5-20250929                -          2025-10-10  200000  6 22.5 0.6 7.5 12
global.anthropic.claude-sonnet-4-5-20250929-v1:0  -  2025-10-10  200000  6 22.5 0.6 7.5 12
us.anthropic.claude-sonnet-4-5-20250929-v1:0  -      2025-10-10  200000  6.6 24.75 0.66 8.25 13.2
claude-sonnet-4-5@20250929                -          2025-10-10  200000  6 22.5 0.6 7.5 12
claude-sonnet-4-5                         batch      2025-10-10  200000  3 11.25 0.3 3.75 6
claude-sonnet-4-5                         batch      2026-11-20  200000  3 11.25 0.3 3.75 6
claude-sonnet-4-20250514                  batch      2025-10-10  200000  3 11.25 0.3 3.75 6
claude-opus-4-6                           -          2026-03-12  200000  10 37.5 1 12.5 20
claude-opus-4-6                           -          2026-03-13  200000  5 25 0.5 6.25 10
claude-opus-4-6                           fast       2026-03-12  200000  60 225 6 75 120
claude-opus-4-6                           fast       2026-03-13  200000  30 150 3 37.5 60
claude-opus-4-6                           @us        2026-03-12  200000  11 41.25 1.1 13.75 22
claude-opus-4-6                           batch@us   2026-03-12  200000  5.5 20.625 0.55 6.875 11
global.anthropic.claude-opus-4-6-v1       -          2026-03-12  200000  10 37.5 1 12.5 20
global.anthropic.claude-opus-4-6-v1       -          2026-03-13  200000  5 25 0.5 6.25 10
claude-sonnet-4-6@default                 -          2026-03-12  200000  6 22.5 0.6 7.5 12
claude-sonnet-4-6@default                 -          2026-03-13  200000  3 15 0.3 3.75 6
claude-opus-4-5                           -          2026-01-10  200000  5 25 0.5 6.25 10
claude-opus-4-7                           -          2026-05-04  200000  5 25 0.5 6.25 10
claude-haiku-5-5                          batch      2026-11-20  100000  0.25 1.25 0.025 0.3125 0.5
"""

KINDS = 5


def instant_of(day: date) -> int:
    """Noon of a day."""
    return (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def modifiers_of(text: str) -> Modifiers:
    """From "batch@us/bedrock" to the modifiers; "-" is none."""
    text, _, provider = text.removeprefix("-").partition("/")
    tier, _, geo = text.partition("@")
    return Modifiers(tier or None, geo or None, provider or None)


def rows_of(table: str) -> list[tuple[str, Modifiers, date, list[str]]]:
    """Each row of a table that was typed in."""
    rows = [line.split() for line in table.splitlines() if line and not line.startswith("#")]
    return [
        (model, modifiers_of(modifiers), date.fromisoformat(day), figures) for model, modifiers, day, *figures in rows
    ]


def usage_of(kind: int, count: int) -> Usage:
    """A request that has tokens of one kind only."""
    counts = [0] * KINDS
    counts[kind] = count
    return Usage(*counts)


@pytest.mark.parametrize(("model", "modifiers", "day", "figures"), rows_of(PUBLISHED))
def test_every_published_price(model: str, modifiers: Modifiers, day: date, figures: list[str]) -> None:
    """Each kind of token costs what the page says, or there is no cost but a reason."""
    found = [PRICES.cost(model, usage_of(kind, 8000), instant_of(day), modifiers) for kind in range(KINDS)]
    if figures == ["unknown"]:
        assert found == [None] * KINDS
        assert PRICES.unpriced_reason(model, instant_of(day), modifiers)
    else:
        assert found == [Decimal(figure) * 8_000_000 for figure in figures]
        assert PRICES.unpriced_reason(model, instant_of(day), modifiers) is None


@pytest.mark.parametrize(("model", "modifiers", "day", "figures"), rows_of(PUBLISHED_LONG))
def test_every_published_price_of_a_long_prompt(
    model: str, modifiers: Modifiers, day: date, figures: list[str]
) -> None:
    """One prompt token above the limit, of any kind, and every token of the request costs more, output too."""
    limit, *prices = (Decimal(figure) for figure in figures)
    above = int(limit) + 1
    for kind in (0, 2, 3, 4):
        assert PRICES.cost(model, usage_of(kind, above), instant_of(day), modifiers) == round(
            prices[kind] * 1000 * above
        )
    answered = PRICES.cost(model, Usage(above, 1000), instant_of(day), modifiers)
    assert answered == round(prices[0] * 1000 * above + prices[1] * 1_000_000)


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "claude-sonnet-4-5", BEDROCK_SONNET_4])
def test_a_prompt_at_the_limit_is_not_long(model: str) -> None:
    """Two hundred thousand tokens, also if half of them are cached, cost the standard price."""
    assert PRICES.cost(model, Usage(100_000, 0, 100_000), instant_of(date(2025, 10, 10))) == 100_000 * (3000 + 300)


@pytest.mark.parametrize(
    ("model", "modifiers", "searches", "reason"),
    [
        ("ours", STANDARD, 0, "no published price for this model"),
        ("claude-opus-4-10", STANDARD, 0, "no published price for this model"),
        ("deepseek-v4-pro-max", Modifiers("batch"), 0, "no published price for this model"),
        (
            "claude-opus-4-6",
            Modifiers("priority"),
            0,
            'no published price in service tier "priority" on that day',
        ),
        (
            "anthropic/claude-opus-5-fast",
            Modifiers("batch"),
            0,
            'no published price in service tier "fast and batch" on that day',
        ),
        ("claude-opus-5", Modifiers(geo="eu"), 0, 'no published price with data residency "eu"'),
        (
            "claude-opus-5",
            Modifiers(provider="bedrock"),
            0,
            "region not told by Amazon Bedrock; set performance.prices for this model",
        ),
        (
            "claude-opus-5",
            Modifiers("fast", "us", "vertex"),
            3,
            "region not told by Google Vertex AI; set performance.prices for this model",
        ),
        ("deepseek-chat", STANDARD, 1, "no published price for web searches of this model"),
        ("deepseek-chat", STANDARD, 0, None),
        ("claude-opus-5", Modifiers("batch", "us"), 2, None),
    ],
)
def test_the_reason_for_a_missing_cost(model: str, modifiers: Modifiers, searches: int, reason: str | None) -> None:
    """It is the same for the same cause, and None exactly where there is a cost."""
    instant = instant_of(date(2026, 11, 20))
    assert PRICES.unpriced_reason(model, instant, modifiers, searches) == reason
    assert (PRICES.cost(model, Usage(1, 1), instant, modifiers, searches) is None) == (reason is not None)


def test_a_price_of_the_settings_is_the_remedy_for_an_unknown_region() -> None:
    """It holds for the exact name in every tier, at every place and for every seller."""
    ours = PriceTable("claude-sonnet-4-5", {"claude-opus-5": ModelPrice(5.5, 27.5)})
    for tier in (None, "fast", "batch", "priority"):
        for geo in (None, "us", "eu"):
            for provider in (None, "bedrock", "vertex"):
                modifiers = Modifiers(tier, geo, provider)
                assert ours.cost("claude-opus-5", Usage(1000, 1000), 0, modifiers) == 33_000_000
                assert ours.unpriced_reason("claude-opus-5", 0, modifiers) is None


@pytest.mark.parametrize(
    ("model", "modifiers", "expected"),
    [
        # The reference model has batches, but no fast mode, priority tier or data residency.
        ("claude-opus-5", Modifiers("batch"), 1_500_000),
        ("claude-opus-5", Modifiers("fast"), 3_000_000),
        ("claude-opus-5", Modifiers("priority"), 3_000_000),
        ("claude-opus-5", Modifiers(geo="us"), 3_000_000),
        ("claude-opus-5", Modifiers(geo="eu"), 3_000_000),
        ("claude-opus-5", Modifiers("batch", None, "bedrock"), 1_500_000),
        ("ours", Modifiers("ours"), 3_000_000),
        # A model of its own family is compared with itself.
        ("claude-sonnet-4-6", Modifiers(geo="us"), 3_300_000),
        ("claude-sonnet-4-6", Modifiers("priority"), None),
        ("claude-sonnet-4-6", Modifiers(provider="bedrock"), None),
        ("claude-sonnet-4", Modifiers(provider="bedrock"), 3_000_000),
    ],
)
def test_the_reference_cost_is_the_nearest_that_is_published(
    model: str, modifiers: Modifiers, expected: int | None
) -> None:
    """In the same tier and place where the reference model has a price there, else at the standard price."""
    instant = instant_of(date(2026, 11, 20))
    assert PRICES.reference_cost(model, Usage(1000, 0), instant, modifiers) == expected


MIXES = [
    *(
        (model, Modifiers(tier, geo))
        for model in ("claude-opus-4-8", "claude-fable-5-2")
        for tier in (None, "fast", "batch")
        for geo in (None, "us")
    ),
    ("claude-sonnet-4-20250514", STANDARD),
    ("claude-sonnet-4-20250514", Modifiers("batch", None, "bedrock")),
    (BEDROCK_SONNET_4, Modifiers("batch")),
    ("us.anthropic.claude-haiku-4-5-20251001-v1:0", STANDARD),
    ("claude-haiku-5-5", Modifiers("batch", "us")),
]


@given(
    mix=st.sampled_from(MIXES),
    kinds=st.lists(st.integers(0, 15_000), min_size=KINDS, max_size=KINDS),
    times=st.integers(1, 5),
    searches=st.integers(0, 9),
)
def test_the_whole_is_the_sum_of_its_parts(
    mix: tuple[str, Modifiers], kinds: list[int], times: int, searches: int
) -> None:
    """Thousands of tokens cost the sum over their kinds and searches, to the nano-dollar, in every tier and place."""
    model, modifiers = mix
    instant = instant_of(date(2026, 11, 20))

    def cost(usage: Usage, searches: int = 0) -> int:
        found = PRICES.cost(model, usage, instant, modifiers, searches)
        assert found is not None
        return found

    # Multiples of 80, for which no rate leaves a fraction of a nano-dollar.
    counts = [80 * (count // 80) for count in kinds]
    parts = [cost(usage_of(kind, count)) for kind, count in enumerate(counts)]
    assert cost(Usage(*counts), searches) == sum(parts) + cost(Usage(0, 0), searches)
    assert cost(Usage(0, 0), searches) == searches * 10_000_000
    assert cost(Usage(counts[0], counts[1])) * times == sum(cost(Usage(counts[0], counts[1])) for _ in range(times))


def test_factors_are_exact() -> None:
    """One cache read of Haiku 5.5 in a batch with residency costs 5.5 nano-dollars: two cost exactly 11."""
    instant = instant_of(date(2026, 11, 20))
    costs = [
        PRICES.cost("claude-haiku-5-5", Usage(0, 0, count), instant, Modifiers("batch", "us")) for count in (2, 4, 2000)
    ]
    assert costs == [11, 22, 11_000]
