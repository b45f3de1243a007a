"""How many web searches a request of telemetry had: only its cost tells it."""

from __future__ import annotations

import pytest

from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import column
from claude_force.executions.signals import EVENT, ModelRequest
from claude_force.ingest.telemetry.requests import SEARCHING, observe

PRICES = PriceTable("claude-sonnet-4-5")
TOKENS_NANOUSD, SEARCH_NANOUSD = 774_000, 10_000_000
"""What 13 tokens of input and 49 of output cost, and one search."""


def searches(cost_nanousd: int | None, query_source: str = SEARCHING, model: str = "claude-sonnet-4-5") -> int:
    """The searches of a request with this cost."""
    request = ModelRequest(
        origin=EVENT, service="claude-code", at_us=1_795_943_273_797_000, model=model, request_id="req_1",
        query_source=query_source, input_tokens=13, output_tokens=49, cost_nanousd=cost_nanousd,
    )  # fmt: skip
    found = observe(request, PRICES, None).row[column("web_searches")]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("number", [0, 1, 2, 17])
def test_searches_are_what_the_cost_has_beyond_the_tokens(number: int) -> None:
    """Also where Claude Code rounds it to a micro-dollar."""
    for rounding in (-500, 0, 500):
        assert searches(TOKENS_NANOUSD + number * SEARCH_NANOUSD + rounding) == number


@pytest.mark.parametrize("cost", [None, 0, TOKENS_NANOUSD - 100_000, TOKENS_NANOUSD + SEARCH_NANOUSD // 2])
def test_another_cost_says_nothing(cost: int | None) -> None:
    """It is unknown, lower than that of the tokens, or no whole number of searches."""
    assert searches(cost) == 0


def test_only_requests_that_search_have_searches() -> None:
    """Another request, and one of a model whose price is not known, has none."""
    cost = TOKENS_NANOUSD + SEARCH_NANOUSD
    assert searches(cost, "sdk") == 0
    assert searches(cost, model="a-model-of-tomorrow") == 0
