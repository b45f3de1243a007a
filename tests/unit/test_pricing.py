"""Costs: the list price of the day, to the nano-dollar, as the maintained price data computes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.pricing import PriceTable, Usage
from claude_force.record import COST_LIMIT_NANOUSD, TOKENS_LIMIT

MODELS = (
    "claude-v1", "claude-2", "claude-2.1", "claude-3-haiku-20240307", "claude-3-5-haiku-20241022",
    "claude-3-5-haiku-latest", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-haiku-5-5",
    "claude-3-sonnet-20240229", "claude-3-5-sonnet-20241022", "claude-3-7-sonnet-20250219", "claude-sonnet-4-0",
    "claude-sonnet-4-20250514", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-6",
    "claude-sonnet-5", "claude-sonnet-5-5", "claude-3-opus-20240229", "claude-opus-4-0", "claude-opus-4-1-20250805",
    "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-opus-5-5",
    "claude-fable-5", "claude-fable-5-1", "claude-fable-5-2", "claude-mythos-5-2",
)  # fmt: skip
OTHERS = ("gpt-4o", "gpt-4o-mini", "gemini-2.5-pro", "gemini-2.5-flash", "deepseek-chat", "mistral-large-latest")
REFERENCE = "claude-sonnet-4-5"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOVEMBER_2025 = 1_762_000_000_000_000
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
    """The table, against Sonnet."""
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
    """Nano-dollars by the price data's own calculation, whose `input_tokens` include what was cached."""
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


@pytest.mark.parametrize("model", MODELS)
@given(usage=usages(), moment=moments)
@settings(max_examples=15, deadline=None)
def test_a_cost_is_the_list_price(prices: PriceTable, model: str, usage: Usage, moment: int) -> None:
    """Every Claude model, any mix of tokens, before and after a price changed: equal to the nano-dollar."""
    assert prices.cost(model, usage, moment) == list_price(model, usage, moment)


@pytest.mark.parametrize("model", OTHERS)
@given(usage=usages(), moment=moments)
@settings(max_examples=15, deadline=None)
def test_a_model_of_another_maker_costs_its_list_price_too(
    prices: PriceTable, model: str, usage: Usage, moment: int
) -> None:
    """Where another maker's model has a price it is the right one, at every hour of the day."""
    assert prices.cost(model, usage, moment) == list_price(model, usage, moment)


def test_a_price_that_depends_on_the_hour_is_that_of_the_hour(prices: PriceTable) -> None:
    """DeepSeek is cheaper at some hours: two requests on one day can cost differently, whichever was priced first."""
    usage = Usage(1_000_000, 1_000_000)
    midnight = (datetime(2025, 4, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    hours = [midnight + hour * 3_600_000_000 for hour in range(24)]
    found = [prices.cost("deepseek-reasoner", usage, hour) for hour in hours]
    assert found == [list_price("deepseek-reasoner", usage, hour) for hour in hours]
    assert len(set(found)) > 1


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("moment", [CHANGE - 1, CHANGE])
def test_every_kind_of_token_has_its_price(prices: PriceTable, model: str, kind: int, moment: int) -> None:
    """One kind at a time, at both sides of every tier and of the day of a change."""
    for count in (1, *PROMPTS):
        counts = [0, 0, 0, 0, 0]
        counts[kind] = count
        usage = Usage(*counts)
        cost = prices.cost(model, usage, moment)
        assert cost is not None
        assert cost == list_price(model, usage, moment) > 0


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
    """Worked out by hand from the published prices of November 2025, in nano-dollars."""
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
@settings(deadline=None)
def test_the_reference_cost_is_sonnets(prices: PriceTable, model: str, usage: Usage, moment: int) -> None:
    """The same tokens on the reference model; a model of its family, of any version, is its own reference."""
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
    """What goes with every cost is the version of the price package."""
    assert prices.version == genai_prices.__version__


def test_no_model_costs_more_than_a_record_can_hold() -> None:
    """The most tokens that a record may have, on any model that there is, cost less than the most that it may cost."""
    most = Usage(*[TOKENS_LIMIT] * 5)
    names = {model.id for provider in providers for model in provider.models}
    costs = {name: PriceTable(REFERENCE).cost(name, most, NOVEMBER_2025) or 0 for name in names}
    assert sum(cost > 0 for cost in costs.values()) > 100
    assert {name: cost for name, cost in costs.items() if cost > COST_LIMIT_NANOUSD} == {}
