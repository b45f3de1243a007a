"""Numbers as text: a zero never has a minus; ages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claude_force.formatting import age, compact, count, duration, milliseconds, money, percent, signed, unit_cost

FORMATS: tuple[Callable[[float], str], ...] = (
    count, compact, percent, lambda number: percent(number, 0), milliseconds, duration, money, unit_cost,
    lambda number: signed(number, "%"), lambda number: signed(number, "pp"),
)  # fmt: skip
_NEGATIVE_ZERO = re.compile(r"-\$?0(?:[.,]0*)?(?![.,\d])")


@given(number=st.floats(-1e6, 1e12) | st.floats(-1, 1) | st.floats(-0.001, 0.001))
@example(number=-0.0)
@example(number=-0.04)
@example(number=-0.4)
@example(number=-0.00004)
def test_a_zero_has_no_minus(number: float) -> None:
    """Whichever function rounds it."""
    for form in FORMATS:
        assert not _NEGATIVE_ZERO.search(form(number))


@pytest.mark.parametrize(
    ("number", "expected"), [(12.34, "+12.3%"), (-4.0, "-4.0%"), (0.0, "+0.0%"), (-0.04, "+0.0%"), (-0.06, "-0.1%")]
)
def test_a_change_has_its_sign(number: float, expected: str) -> None:
    """What is rounded to nothing is no decrease."""
    assert signed(number, "%") == expected


@pytest.mark.parametrize(("amount", "expected"), [(-0.25, "-$0.2500"), (-0.00004, "$0.0000"), (1234.5, "$1,234.5000")])
def test_a_negative_cost_keeps_its_sign_before_the_dollar(amount: float, expected: str) -> None:
    """A cost that is rounded to nothing has none."""
    assert unit_cost(amount) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.35, "350ms"), (4.2, "4.2s"), (185, "3m05s"), (7_800, "2h10m"), (172_769, "47h59m"), (172_770, "2d00h"),
        (180_000, "2d02h"), (3_845_460, "44d12h"), (86_400 * 1234, "1,234d00h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    """In two units at most: nobody reads 1068 hours."""
    assert duration(1000 * seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"), (1, "1 s ago"), (59, "59 s ago"), (60, "1 min ago"), (3599, "59 min ago"),
        (3600, "1 h ago"), (172_799, "47 h ago"), (172_800, "2 days ago"), (10**9, "11,574 days ago"),
    ],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    """In the largest unit of which there is at least one; two of a day."""
    assert age(seconds) == text
