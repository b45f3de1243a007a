"""Costs: the list price of the day, to the nano-dollar, as the price package computes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.errors import SettingsError
from claude_force.executions.pricing import OVERRIDDEN, Modifiers, PriceTable, Usage
from claude_force.executions.record import COST_LIMIT_NANOUSD, SEARCHES_LIMIT, TOKENS_LIMIT
from claude_force.settings.claude_json import PRICE_LIMIT, ModelPrice, load_settings
from claude_force.settings.home import find_home
from tests.profiles import scaled

MODELS = (
    "claude-v1", "claude-2", "claude-2.1", "claude-3-haiku-20240307", "claude-3-5-haiku-20241022",
    "claude-3-5-haiku-latest", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-haiku-5-5",
    "claude-3-sonnet-20240229", "claude-3-5-sonnet-20241022", "claude-3-7-sonnet-20250219", "claude-sonnet-4-0",
    "claude-sonnet-4-20250514", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-6",
    "claude-sonnet-5", "claude-sonnet-5-5", "claude-3-opus-20240229", "claude-opus-4-0", "claude-opus-4-1-20250805",
    "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5",
    "claude-fable-5", "claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5-2",
)  # fmt: skip
SUPPLEMENTED = {"claude-sonnet-4-0", "claude-sonnet-4-20250514", "claude-sonnet-5-5"}
"""Models whose price of the package is not the whole truth: see test_price_modifiers.py."""
AS_PACKAGED = tuple(model for model in MODELS if model not in SUPPLEMENTED)
OTHERS = ("gpt-4o", "gpt-4o-mini", "gemini-2.5-pro", "gemini-2.5-flash", "deepseek-chat", "mistral-large-latest")
REFERENCE = "claude-sonnet-4-5"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOVEMBER_2025 = 1_762_000_000_000_000
AUTUMN_2026 = (datetime(2026, 11, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""After every model of the data began, and after every change of its prices."""
CHANGE = (datetime(2026, 3, 13, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""The day on which two models lose their long-context tier."""
DAY = 86_400_000_000

moments = st.one_of(
    st.sampled_from((CHANGE - DAY, CHANGE - 1, CHANGE, CHANGE + 1, CHANGE + DAY - 1, NOVEMBER_2025)),
    st.integers(1_704_067_200_000_000, 1_798_761_600_000_000),
)
"""Instants from 2024 to 2026."""

PROMPTS = (99_999, 100_000, 100_001, 199_999, 200_000, 200_001)


@pytest.fixture(scope="module")
def prices() -> PriceTable:
    """The table, with Sonnet as reference."""
    return PriceTable(REFERENCE)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """The tokens of a request, often with a prompt at the edge of a long-context tier, split among its kinds."""
    if draw(st.booleans()):
        counts = st.one_of(st.sampled_from((0, 1)), st.integers(0, 400_000))
        return Usage(*(draw(counts) for _ in range(5)))
    prompt = draw(st.sampled_from(PROMPTS))
    cuts = sorted(draw(st.integers(0, prompt)) for _ in range(3))
    kinds = [after - before for before, after in zip([0, *cuts], [*cuts, prompt], strict=True)]
    return Usage(kinds[0], draw(st.integers(0, 10_000)), *kinds[1:])


def list_price(model: str, usage: Usage, instant_us: int) -> int:
    """Nano-dollars as the price package computes them; its `input_tokens` include cached tokens."""
    found = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
        ),
        model,
        provider_id="anthropic" if model in MODELS else None,
        genai_request_timestamp=EPOCH + timedelta(microseconds=instant_us),
    )
    return round(found.total_price * Decimal(10**9))


@pytest.mark.parametrize("model", AS_PACKAGED)
@given(usage=usages(), moment=moments)
@settings(max_examples=scaled(15))
def test_a_cost_is_the_list_price(prices: PriceTable, model: str, usage: Usage, moment: int) -> None:
    """For every Claude model and any mix of tokens, before and after price changes."""
    assert prices.cost(model, usage, moment) == list_price(model, usage, moment)


@pytest.mark.parametrize("model", OTHERS)
@given(usage=usages(), moment=moments)
@settings(max_examples=scaled(15))
def test_a_model_of_another_maker_costs_its_list_price(
    prices: PriceTable, model: str, usage: Usage, moment: int
) -> None:
    """At every hour of the day."""
    assert prices.cost(model, usage, moment) == list_price(model, usage, moment)


def test_a_price_may_depend_on_the_hour(prices: PriceTable) -> None:
    """DeepSeek is cheaper at some hours: two requests on one day may cost differently, in any order."""
    usage = Usage(1_000_000, 1_000_000)
    midnight = (datetime(2025, 4, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    hours = [midnight + hour * 3_600_000_000 for hour in range(24)]
    found = [prices.cost("deepseek-reasoner", usage, hour) for hour in hours]
    assert found == [list_price("deepseek-reasoner", usage, hour) for hour in hours]
    assert len(set(found)) > 1


@pytest.mark.parametrize("model", AS_PACKAGED)
@pytest.mark.parametrize("moment", [CHANGE - 1, CHANGE])
def test_every_kind_of_token_has_its_price(prices: PriceTable, model: str, moment: int) -> None:
    """Each kind alone, on both sides of every tier limit and of a price change."""
    for kind, count in product(range(5), (1, *PROMPTS)):
        usage = of_one_kind(kind, count)
        cost = prices.cost(model, usage, moment)
        assert cost is not None, usage
        assert cost == list_price(model, usage, moment) > 0, usage


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("claude-3-5-haiku-20241022", Usage(1234, 567), 3_255_200),
        ("claude-3-haiku-20240307", Usage(1, 1), 1_500),
        ("claude-3-opus-20240229", Usage(1000, 1000, 1000, 1000, 1000), 140_250_000),
        ("claude-sonnet-4-5", Usage(200_000, 1000), 615_000_000),
        ("claude-sonnet-4-5", Usage(200_001, 1000), 1_222_506_000),
        ("claude-sonnet-4-5", Usage(1, 0, 100_000, 100_000, 0), 810_006_000),
        ("claude-haiku-4-5", Usage(0, 0, 3, 0, 1), 2_300),
    ],
)
def test_prices_that_were_published(prices: PriceTable, model: str, usage: Usage, expected: int) -> None:
    """Computed by hand from the published prices of November 2025, in nano-dollars."""
    assert prices.cost(model, usage, NOVEMBER_2025) == expected


@pytest.mark.parametrize(
    "model", ["unknown", "a model of ours", "claude", "claude-sonnet", "sonnet", "claude-nonsense-9", "<synthetic>", ""]
)
def test_an_unknown_model_has_no_price(prices: PriceTable, model: str) -> None:
    """None, never 0 and never another model's price."""
    assert prices.cost(model, Usage(1000, 1000), NOVEMBER_2025) is None


def test_no_tokens_cost_nothing(prices: PriceTable) -> None:
    """A known model without tokens costs 0, which is not None."""
    assert prices.cost(REFERENCE, Usage(0, 0), NOVEMBER_2025) == 0


@given(model=st.sampled_from((*MODELS, *OTHERS[:4], "unknown")), usage=usages(), moment=moments)
def test_the_reference_cost_is_sonnets(prices: PriceTable, model: str, usage: Usage, moment: int) -> None:
    """The same tokens on Sonnet. Any Sonnet, of any version, is its own reference."""
    expected = prices.cost(model if "sonnet" in model else REFERENCE, usage, moment)
    assert expected is not None
    assert prices.reference_cost(model, usage, moment) == expected


def test_another_reference_can_be_chosen() -> None:
    """With Opus as the reference, Opus saves nothing and Haiku is compared to it."""
    against_opus = PriceTable("claude-opus-4-1")
    usage = Usage(1000, 1000)
    assert against_opus.reference_cost("claude-3-opus-20240229", usage, NOVEMBER_2025) == 90_000_000
    assert against_opus.reference_cost("claude-haiku-4-5", usage, NOVEMBER_2025) == 90_000_000
    assert against_opus.reference_cost("claude-opus-4-5", usage, NOVEMBER_2025) == 30_000_000


def test_the_version_names_the_data(prices: PriceTable) -> None:
    """Every cost has the version of the price package."""
    assert prices.version == genai_prices.__version__


def test_no_model_costs_more_than_a_record_can_hold() -> None:
    """The most that a record may have, on any model that there is and at the dearest price that settings may name, in
    any tier, costs less than the most that it may cost."""
    most = Usage(*[TOKENS_LIMIT] * 5)
    dearest = PriceTable(REFERENCE, {"ours": ModelPrice(*[PRICE_LIMIT] * 5)})
    names = {model.id for provider in providers for model in provider.models} | {"ours"}
    costs = {
        (name, tier): dearest.cost(name, most, AUTUMN_2026, Modifiers(tier), searches) or 0
        for name in names
        for tier in (None, "fast")
        for searches in (0, SEARCHES_LIMIT)
    }
    assert sum(cost > 0 for cost in costs.values()) > 100
    assert {name: cost for name, cost in costs.items() if cost > COST_LIMIT_NANOUSD} == {}


# The published prices of Claude, typed in: US dollars a million tokens of input, output, cache read, cache write for
# five minutes, cache write for an hour. A kind without a price of its own is billed as input.
LISTED = {
    ("claude-2", "claude-2.1", "claude-v1"): "8 24 8 8 8",
    ("claude-3-haiku-20240307",): "0.25 1.25 0.03 0.30 0.50",
    ("claude-3-5-haiku-20241022", "claude-3-5-haiku-latest"): "0.80 4 0.08 1 1.60",
    ("claude-haiku-4-5", "claude-haiku-4-5-20251001"): "1 5 0.10 1.25 2",
    ("claude-haiku-5-5",): "0.10 0.50 0.01 0.125 0.20",
    ("claude-3-sonnet-20240229", "claude-3-5-sonnet-20241022", "claude-3-7-sonnet-20250219"): "3 15 0.30 3.75 6",
    ("claude-sonnet-4-0", "claude-sonnet-4-20250514", "claude-sonnet-4-5", "claude-sonnet-4-6"): "3 15 0.30 3.75 6",
    ("claude-sonnet-5",): "2 10 0.20 2.50 4",
    ("claude-sonnet-5-5",): "2 10 0.10 2.50 4",
    ("claude-3-opus-20240229", "claude-opus-4-0", "claude-opus-4-1-20250805"): "15 75 1.50 18.75 30",
    ("claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5"): "5 25 0.50 6.25 10",
    ("claude-opus-5-5",): "4 20 0.20 5 8",
    ("claude-fable-5",): "10 50 1 12.50 20",
    ("claude-fable-5-1",): "10 50 0.25 12.50 20",
    ("claude-fable-5-2", "claude-mythos-5-2"): "8 40 0.20 10 16",
}
LONG = [
    ("claude-haiku-5-5", 100_000, "0.10 0.50 0.01 0.125 0.20", "0.50 2.50 0.05 0.625 1"),
    ("claude-sonnet-4-5", 200_000, "3 15 0.30 3.75 6", "6 22.5 0.6 7.5 12"),
]
LONG_UNTIL_MARCH_2026 = [
    ("claude-sonnet-4-6", 200_000, "3 15 0.30 3.75 6", "6 22.5 0.6 7.5 12"),
    ("claude-opus-4-6", 200_000, "5 25 0.50 6.25 10", "10 37.5 1 12.5 20"),
]

every_kind = pytest.mark.parametrize("kind", range(5))


def of_one_kind(kind: int, count: int) -> Usage:
    """A request that has tokens of one kind only."""
    counts = [0, 0, 0, 0, 0]
    counts[kind] = count
    return Usage(*counts)


def by_model(table: dict[tuple[str, ...], str]) -> list[tuple[str, str]]:
    """Each model with its row."""
    return [(model, row) for models, row in table.items() for model in models]


def nanodollars(row: str, kind: int, count: int) -> int:
    """What tokens of a kind cost by a row that was typed in."""
    return int(Decimal(row.split()[kind]) * 1000 * count)


@every_kind
@pytest.mark.parametrize(("model", "row"), by_model(LISTED))
def test_every_published_price(prices: PriceTable, model: str, row: str, kind: int) -> None:
    """Every Claude model and kind of token, as published, in nano-dollars."""
    assert prices.cost(model, of_one_kind(kind, 8000), AUTUMN_2026) == nanodollars(row, kind, 8000)


def test_the_price_of_a_tier_is_not_used_for_another(prices: PriceTable) -> None:
    """Although prices are cached: the same model on the same day, in one tier after the other."""
    tiers = (None, "fast", "batch", None, "fast")
    costs = [prices.cost("claude-opus-5-5", Usage(1000, 0), AUTUMN_2026, Modifiers(tier)) for tier in tiers]
    assert costs == [4_000_000, 8_000_000, 2_000_000, 4_000_000, 8_000_000]


@pytest.mark.parametrize(
    ("model", "limit", "short", "long", "moment"),
    [(*case, AUTUMN_2026) for case in LONG] + [(*case, CHANGE - 1) for case in LONG_UNTIL_MARCH_2026],
)
def test_a_long_prompt_has_its_own_prices(
    prices: PriceTable, model: str, limit: int, short: str, long: str, moment: int
) -> None:
    """One prompt token above the limit, of any kind, makes every token of the request cost more."""
    for kind in (0, 2, 3, 4):
        assert prices.cost(model, of_one_kind(kind, limit), moment) == nanodollars(short, kind, limit)
        assert prices.cost(model, of_one_kind(kind, limit + 1), moment) == nanodollars(long, kind, limit + 1)
    answered = prices.cost(model, Usage(limit + 1, 1000), moment)
    assert answered == nanodollars(long, 0, limit + 1) + nanodollars(long, 1, 1000)


@every_kind
@pytest.mark.parametrize(("model", "limit", "short"), [case[:3] for case in LONG_UNTIL_MARCH_2026])
def test_two_models_lost_their_long_prices(prices: PriceTable, model: str, limit: int, short: str, kind: int) -> None:
    """From 2026-03-13 on a long prompt costs what a short one does."""
    assert prices.cost(model, of_one_kind(kind, 3 * limit), CHANGE) == nanodollars(short, kind, 3 * limit)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5-5", 14_000_000),
        # Without an entry of its own in the data.
        ("claude-3-haiku-20240307", 10_250_000),
        ("us.anthropic.claude-opus-5-5", 14_400_000),
        ("gpt-4o", 12_500_000),
        ("deepseek-chat", None),
    ],
)
def test_a_web_search_costs_a_cent(prices: PriceTable, model: str, expected: int | None) -> None:
    """$10 per thousand, in addition to the tokens. If the price of a search is not known, neither is the cost."""
    assert prices.cost(model, Usage(1000, 0), AUTUMN_2026, searches=1) == expected


def test_a_batch_does_not_halve_the_price_of_searches(prices: PriceTable) -> None:
    """Only the tokens cost half, also on the reference model."""
    asked = ("claude-opus-5-5", Usage(1000, 0), AUTUMN_2026, Modifiers("batch"), 3)
    assert (prices.cost(*asked), prices.reference_cost(*asked)) == (32_000_000, 31_500_000)


OURS = ModelPrice(input=1.5, output=7.5, cache_read=0.15, cache_write_5m=1.875, cache_write_1h=3)


def test_an_override_comes_first() -> None:
    """A price of the settings is taken for the name as it stands, on every day, in every tier and for any prompt, and
    gives the cost its version; every other name keeps its list price."""
    ours = PriceTable(REFERENCE, {"claude-opus-5-5": OURS, "house-model": OURS})
    usage = Usage(300_000, 1000, 1000, 1000, 1000)
    cost = 450_000_000 + 7_500_000 + 150_000 + 1_875_000 + 3_000_000
    for model in ("claude-opus-5-5", "house-model"):
        for tier in (None, "fast", "batch"):
            assert (
                ours.cost(model, usage, AUTUMN_2026, Modifiers(tier))
                == ours.cost(model, usage, NOVEMBER_2025, Modifiers(tier))
                == cost
            )
        assert ours.complete(model, usage, AUTUMN_2026, (None, None, None))[2] == OVERRIDDEN
    assert ours.cost("claude-opus-5-5[1m]", Usage(1000, 0), AUTUMN_2026) == 4_000_000
    assert ours.cost("house-model", Usage(0, 0), AUTUMN_2026, searches=1) == 10_000_000


def test_an_override_without_cache_prices_uses_the_general_ones() -> None:
    """Cached tokens cost as much as input, a one-hour cache write as much as one for five minutes."""
    ours = PriceTable(REFERENCE, {"a": ModelPrice(2, 4), "b": ModelPrice(2, 4, cache_write_5m=3)})
    assert ours.cost("a", Usage(1, 10, 100, 1000, 10_000), NOVEMBER_2025) == 2000 * 11_101 + 40_000
    assert ours.cost("b", Usage(1, 10, 100, 1000, 10_000), NOVEMBER_2025) == 2000 * 101 + 40_000 + 3000 * 11_000


def test_an_override_of_the_reference_model_changes_reference_costs() -> None:
    """Other models are compared with the price in the settings."""
    ours = PriceTable(REFERENCE, {REFERENCE: OURS})
    assert ours.reference_cost("claude-haiku-4-5", Usage(1000, 0), AUTUMN_2026) == 1_500_000
    assert ours.complete("claude-haiku-4-5", Usage(1000, 0), AUTUMN_2026, (None, None, None))[2] == ours.version


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "performance.prices must be an object, not an array"),
        ({"m": 3}, "the price of 'm' must be an object, not a number"),
        ({"m": {"input": 1}}, "the price of 'm': output is missing; prices are in US dollars for a million tokens"),
        ({"m": {"input": 1, "output": None}}, "not null"),
        ({"m": {"input": 1, "output": "3"}}, "not text"),
        ({"m": {"input": True, "output": 3}}, "input must be a number from 0 to 1000, not true; prices are in"),
        ({"m": {"input": -1, "output": 3}}, "not -1"),
        ({"m": {"input": 1, "output": 1001}}, "not 1001"),
        ({"m": {"input": 1, "output": float("nan")}}, "not nan"),
        ({"m": {"input": 1, "output": 3, "cache_write": 4}}, "has no 'cache_write'; there are: input, output, cache_"),
    ],
)
def test_a_wrong_price_is_one_line(home: Path, value: object, said: str) -> None:
    """The message names the file, the model and the key, and says what is valid."""
    path = home / ".claude" / "claude.json"
    path.write_text(json.dumps({"performance": {"prices": value}}))
    with pytest.raises(SettingsError) as caught:
        load_settings(find_home())
    assert str(caught.value).startswith(f"{path}: performance.prices")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
