"""The costs of whole executions: of several steps, of web searches, and with costs that came with them."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from claude_force.clock import parse_instant
from claude_force.executions.billed_steps import (
    REFUSAL,
    UNBILLED_REFUSAL,
    Share,
    Step,
    Whole,
    decode_steps,
    encode_steps,
    keep_recorded,
    model_shares,
    sum_tokens,
)
from claude_force.executions.costs import price_record, price_row
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import STEP_TOKENS, ExecutionMetrics, from_row, to_row
from claude_force.settings.claude_json import ModelPrice
from tests.builders import an_execution

OPUS, SONNET, SONNET_45, FABLE = "claude-opus-4-8", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-fable-5"
NEW_NAME = "claude-opus-9"
OCTOBER_US = parse_instant("2026-10-05T09:00:00Z", UTC)
JANUARY_US = parse_instant("2026-01-05T09:00:00Z", UTC)
PRICES = PriceTable(SONNET_45)


def an_execution_of(*steps: Step, **changes: Any) -> ExecutionMetrics:
    """An execution of October 2026 by Sonnet 4.6 that had these steps."""
    tokens = dict(zip(STEP_TOKENS, sum_tokens(steps), strict=True))
    given = {"timestamp_us": OCTOBER_US, "cost_nanousd": None, "reference_cost_nanousd": None, "model": SONNET}
    return an_execution(**given | tokens | {"steps": steps} | changes)


BILLS = {
    # 2 in and 100 out of Sonnet at $3 and $15; 100,000 in and 2,000 out of Opus at $5 and $25.
    "an advisor": ((Step("message", SONNET, 2, 100), Step("advisor_message", OPUS, 100_000, 2000)), 551_506_000),
    # 190,000 in, 4,000 out at $5 and $25.
    "a compaction": ((Step("compaction", OPUS, 170_000, 3000), Step("message", OPUS, 20_000, 1000)), 1_050_000_000),
    # 5,000 in and 400 out of Fable at $10 and $50; 5,000 in and 900 out of Opus.
    "a fallback": ((Step("message", FABLE, 5000, 400), Step("fallback_message", OPUS, 5000, 900)), 117_500_000),
    "a free refusal": ((Step(UNBILLED_REFUSAL, FABLE, 5000, 0), Step("fallback_message", OPUS, 5000, 900)), 47_500_000),
    "a refusal of unknown category": ((Step(REFUSAL, FABLE, 5000, 0),), None),
    "a model without a price": ((Step("message", SONNET, 2, 100), Step("advisor_message", NEW_NAME, 1, 1)), None),
    "half price for one of two": (
        (Step("message", OPUS, 1000, 0, service_tier="batch"), Step("message", OPUS, 1000, 0)),
        7_500_000,
    ),
}


@pytest.mark.parametrize("case", BILLS)
def test_a_bill_is_the_sum_of_its_steps(case: str) -> None:
    """Each step at its own model's price of the day; unknown where one of them is."""
    steps, cost = BILLS[case]
    assert price_record(PRICES, an_execution_of(*steps)).cost_nanousd == cost


def test_a_long_prompt_is_of_one_step() -> None:
    """Two prompts of 120,000 tokens are not one of 240,000: Sonnet 4.5 costs twice as much above 200,000."""
    half = Step("message", SONNET_45, 120_000, 0)
    found = price_record(PRICES, an_execution_of(half, half, model=SONNET_45, timestamp_us=JANUARY_US))
    assert found.cost_nanousd == 2 * 120_000 * 3000
    whole = price_record(PRICES, an_execution_of(Step("message", SONNET_45, 240_000, 0), timestamp_us=JANUARY_US))
    assert whole.cost_nanousd == 240_000 * 6000


def test_web_searches_are_paid_once() -> None:
    """They are of the whole response: $10 a thousand."""
    found = price_record(PRICES, an_execution_of(Step("message", OPUS, 1000, 0), web_searches=3))
    assert found.cost_nanousd == 1000 * 5000 + 3 * 10_000_000


def test_a_given_cost_is_not_divided() -> None:
    """It stays as it is, and the steps have no cost of their own."""
    found = price_record(
        PRICES, an_execution_of(Step("message", OPUS, 1, 1), Step("message", FABLE, 1, 1), cost_nanousd=5)
    )
    assert (found.cost_nanousd, found.price_version) == (5, None)
    assert [step.cost_nanousd for step in found.steps or ()] == [None, None]
    replaced = price_record(PRICES, found, replace=True)
    assert [step.cost_nanousd for step in replaced.steps or ()] == [30_000, 60_000]
    assert replaced.cost_nanousd == 90_000


def test_the_version_names_a_price_of_the_settings() -> None:
    """If one of the steps has such a price."""
    prices = PriceTable(SONNET_45, {NEW_NAME: ModelPrice(1, 2, 0, 0, 0)})
    steps = (Step("message", SONNET, 1, 1), Step("advisor_message", NEW_NAME, 1, 1))
    found = price_record(prices, an_execution_of(*steps))
    assert (found.cost_nanousd, found.price_version) == (3000 + 15_000 + 1000 + 2000, "claude.json")


def test_a_row_is_priced_as_its_record() -> None:
    """With its steps; anew, whatever it cost before."""
    record = an_execution_of(Step("message", SONNET, 2, 100), Step("advisor_message", OPUS, 9, 9), cost_nanousd=1)
    assert from_row(price_row(PRICES, to_row(record))) == price_record(PRICES, record, replace=True)
    plain = an_execution(timestamp_us=OCTOBER_US, model=OPUS, input_tokens=10, output_tokens=0)
    assert from_row(price_row(PRICES, to_row(plain))).cost_nanousd == 50_000


def test_stored_steps_are_read_back() -> None:
    """And what is no list of steps is refused."""
    steps = (Step("message", "модель", 1, 2, 3, 4, 5, "batch", "us", 6, 7, 8), Step("x", "y", 0, 0))
    assert decode_steps(encode_steps(steps)) == steps
    assert (encode_steps(None), decode_steps(None)) == (None, None)
    for text in ("[[1]]", "[7]", "{", "[[1,2,3,4,5,6,7,8,9,10,11,12,13]]"):
        with pytest.raises(ValueError, match=r"steps|Expecting"):
            decode_steps(text)


def test_shares_move_what_is_not_of_the_own_model() -> None:
    """The row has everything; the shares take from its model what others had."""
    steps = (
        Step("message", SONNET, 2, 100, cost_nanousd=7, reference_cost_nanousd=7),
        Step("a", OPUS, 9, 9, 1, 2, 3, cost_nanousd=5),
    )
    shares = model_shares(Whole(SONNET, 12, None, 12, is_repriced=False), steps)
    assert shares == {
        SONNET: Share(-9, -9, -1, -2, -3, -5, 7, 7, -5),
        OPUS: Share(9, 9, 1, 2, 3, 5, 0, 0, 5),
    }


def test_known_parts_count_where_the_whole_is_unknown() -> None:
    """The row adds no cost then, so each known part is added to its own model."""
    steps = (Step("message", SONNET, 2, 1, cost_nanousd=7), Step("a", OPUS, 9, 9))
    shares = model_shares(Whole(SONNET, None, None, None, is_repriced=False), steps)
    assert (shares[SONNET].cost_nanousd, shares[OPUS].cost_nanousd) == (7, 0)
    assert (shares[SONNET].input_tokens, shares[OPUS].input_tokens) == (-9, 9)


def test_steps_of_the_own_model_move_nothing() -> None:
    """There is no share then."""
    steps = (Step("message", SONNET, 2, 1, cost_nanousd=7), Step("message", SONNET, 9, 9, cost_nanousd=1))
    assert model_shares(Whole(SONNET, 8, None, 8, is_repriced=False), steps) == {}


def test_repriced_steps_keep_their_first_cost() -> None:
    """The one from before the first repricing, like the execution."""
    old = (Step("message", SONNET, 1, 1, cost_nanousd=10),)
    once = keep_recorded(old, (Step("message", SONNET, 1, 1, cost_nanousd=20),), is_first=True)
    assert once == (Step("message", SONNET, 1, 1, cost_nanousd=20, recorded_cost_nanousd=10),)
    twice = keep_recorded(once, (Step("message", SONNET, 1, 1, cost_nanousd=30),), is_first=False)
    assert twice == (Step("message", SONNET, 1, 1, cost_nanousd=30, recorded_cost_nanousd=10),)
    assert keep_recorded(old, (Step("message", SONNET, 2, 1),), is_first=True) == old
