"""The days on which a price may change: between two of them it is the same."""

from __future__ import annotations

from datetime import UTC, date, timedelta

import pytest

from claude_force.clock import start_of_day
from claude_force.executions.pricing import Modifiers, PriceTable
from claude_force.settings.claude_json import ModelPrice

PRICES = PriceTable("claude-sonnet-4-5", {"house-model": ModelPrice(1, 2)})
DAYS = [date(2024, 9, 20) + timedelta(days=number) for number in range(0, 820, 9)]


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("claude-opus-4-6", "fast"), ("claude-opus-4-7", "fast"), ("claude-sonnet-4-0", None),
        ("claude-sonnet-4-6", None), ("claude-sonnet-5-5", "batch"), ("claude-3-5-haiku-latest", "batch"),
        ("gpt-4o", None),
    ],
)  # fmt: skip
def test_a_price_changes_on_no_other_day(model: str, tier: str | None) -> None:
    """The price of a day is that of the last day of change before it, in every tier; days of change say both."""
    changes = PRICES.changes(model)
    assert not changes.is_within_day
    edges = sorted(changes.days)
    around = [day + timedelta(days=step) for day in edges for step in (-1, 0, 1)]
    for day in [*DAYS, *around]:
        begin = max((edge for edge in edges if edge <= day), default=date(2023, 1, 1))
        here, there = (PRICES.rates(model, start_of_day(each, UTC), Modifiers(tier)) for each in (day, begin))
        assert here == there, day


def test_the_known_changes_are_among_them() -> None:
    """Of Opus 4.6: batches, fast mode at half its price and its end, and long prompts."""
    known = {date(2024, 10, 8), date(2026, 2, 17), date(2026, 6, 29), date(2026, 3, 13)}
    assert known <= PRICES.changes("claude-opus-4-6").days


def test_prices_by_the_time_of_day_are_known() -> None:
    """A seller may have cheaper nights. A price of the settings, or of no model, never changes."""
    assert PRICES.changes("deepseek-chat").is_within_day
    for model in ("house-model", "nothing-of-the-kind"):
        assert PRICES.changes(model) == (frozenset(), False)
