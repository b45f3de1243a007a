"""The bill of an execution by kind, and rounding that keeps sums."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.executions.bill_lines import BillLine, apportion, bill_lines
from claude_force.executions.billed_steps import UNBILLED_REFUSAL, Step
from claude_force.executions.costs import Billed, billed_record, price_record
from claude_force.executions.pricing import STANDARD, Modifiers, PriceTable, Usage
from claude_force.settings.claude_json import ModelPrice
from tests.builders import NOON_US, an_execution

SONNET, HAIKU, HOUSE = "claude-sonnet-4-5", "claude-haiku-4-5", "house"
PRICES = PriceTable(SONNET, {HOUSE: ModelPrice(0.0003, 0.0011)})


def lines(model: str, usage: Usage, cost: int | None, searches: int = 0, **fields: object) -> list[tuple[object, ...]]:
    """The kinds, prices, quantities and costs of a bill whose cost was computed."""
    modifiers, steps = fields.get("modifiers", STANDARD), fields.get("steps")
    billed = Billed(model, NOON_US, usage, modifiers, searches, steps)  # type: ignore[arg-type]
    return [tuple(line)[1:] for line in bill_lines(PRICES, billed, cost, "1")]


def test_a_priced_execution_is_divided() -> None:
    """Each kind has its price of the tier: the standard one, that of a long prompt, that of a batch."""
    usage = Usage(1000, 100, 2000, 300, 40)
    assert lines(SONNET, usage, 6_465_000 + 20_000_000, 2) == [
        ("input", 3000, 1000, 3_000_000),
        ("output", 15_000, 100, 1_500_000),
        ("cache read", 300, 2000, 600_000),
        ("cache write 5m", 3750, 300, 1_125_000),
        ("cache write 1h", 6000, 40, 240_000),
        ("web searches", 10_000_000, 2, 20_000_000),
    ]
    assert lines(SONNET, Usage(200_001, 2), 200_001 * 6000 + 2 * 22_500) == [
        ("input", 6000, 200_001, 1_200_006_000),
        ("output", 22_500, 2, 45_000),
    ]
    assert lines(HAIKU, Usage(10, 2), 10_000, modifiers=Modifiers("batch")) == [
        ("input", 500, 10, 5000),
        ("output", 2500, 2, 5000),
    ]


@pytest.mark.parametrize("cost", [0, 1, 5_000_001])
def test_a_cost_that_prices_do_not_explain_is_one_line(cost: int) -> None:
    """An older price or a price of the settings that is gone: the whole cost, with all tokens and no price."""
    assert lines(SONNET, Usage(1000, 100, 10), cost) == [("other", None, 1110, cost)]
    assert lines("nobody-prices-it", Usage(1000, 100), cost) == [("other", None, 1100, cost)]


def test_what_came_with_the_record_and_what_has_no_price() -> None:
    """A given cost is not divided, even if it is that of the list; tokens without a cost have none."""
    billed = Billed(SONNET, NOON_US, Usage(1000, 100), STANDARD, 0)
    assert list(bill_lines(PRICES, billed, 4_500_000, None)) == [BillLine(SONNET, "other", None, 1100, 4_500_000)]
    assert list(bill_lines(PRICES, billed, None, None)) == [BillLine(SONNET, "unpriced", None, 1100, None)]


def test_steps_are_billed_to_their_models() -> None:
    """A step that is free, one of another model, one without a price; and searches, which are of the whole."""
    steps = (
        Step("message", SONNET, 10, 1, cost_nanousd=45_000),
        Step("advisor_message", HAIKU, 20, 2, cost_nanousd=30_000),
        Step(UNBILLED_REFUSAL, SONNET, 5, 0, cost_nanousd=0),
    )
    billed = Billed(SONNET, NOON_US, Usage(35, 3), STANDARD, 1, steps)
    assert [
        (line.model, line.kind, line.quantity, line.cost) for line in bill_lines(PRICES, billed, 10_075_000, "1")
    ] == [
        (SONNET, "input", 10, 30_000),
        (SONNET, "output", 1, 15_000),
        (HAIKU, "input", 20, 20_000),
        (HAIKU, "output", 2, 10_000),
        (SONNET, "other", 5, 0),
        (SONNET, "web searches", 1, 10_000_000),
    ]
    unknown = billed._replace(steps=(*steps[:2], steps[2]._replace(cost_nanousd=None)), searches=0)
    assert [line[3:] for line in bill_lines(PRICES, unknown, None, None) if line.kind == "unpriced"] == [(5, None)]
    assert sum(line.cost or 0 for line in bill_lines(PRICES, unknown, 99_000, None)) == 99_000


counts = st.integers(0, 300_000)


@given(
    st.sampled_from([SONNET, HAIKU, HOUSE, "unknown"]),
    st.tuples(counts, counts, counts, counts, counts),
    st.integers(0, 3),
    st.sampled_from([None, "batch", "fast"]),
    st.sampled_from([None, 7, 10**9]),
)
def test_lines_add_up_to_the_cost(
    model: str, tokens: tuple[int, ...], searches: int, tier: str | None, given_cost: int | None
) -> None:
    """To the nano-dollar, at prices of whole and of broken nano-dollars; the tokens as well."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    record = price_record(PRICES, an_execution(
        model=model, service_tier=tier, web_searches=searches, cost_nanousd=given_cost, reference_cost_nanousd=None,
        **dict(zip(names, tokens, strict=True)),
    ))  # fmt: skip
    found = list(bill_lines(PRICES, billed_record(record), record.cost_nanousd, record.price_version))
    assert sum(line.cost or 0 for line in found) == (record.cost_nanousd or 0)
    assert sum(line.quantity for line in found if line.kind != "web searches") == sum(tokens)
    assert all((line.cost is None) == (record.cost_nanousd is None) for line in found)
    if record.price_version is not None:
        assert {line.kind for line in found}.isdisjoint({"other", "unpriced"})
        assert all(abs(line.cost - line.quantity * line.price) < 1 for line in found)  # type: ignore[operator]


amounts = st.lists(st.integers(0, 10**12), max_size=40)


@given(amounts, st.sampled_from([1, 7, 10_000_000]))
def test_rounded_amounts_add_up(parts: list[int], unit: int) -> None:
    """To the rounded sum; each is less than a unit from what it was, and equal amounts differ by a unit at most."""
    total = round(Decimal(sum(parts)) / unit)
    found = apportion(parts, unit, total)
    assert sum(found) == total
    assert all(abs(whole * unit - part) < unit for whole, part in zip(found, parts, strict=True))
