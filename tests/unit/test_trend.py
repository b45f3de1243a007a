"""Trends of values over time, against published tables, values computed by hand, and all orders of a sample."""

from __future__ import annotations

from itertools import combinations, permutations
from random import Random
from statistics import mean

import pytest

from claude_force.analytics.trend import ALPHA, LEAST_POINTS, mann_kendall, theil_sen, trend_of

GUIDE = [145, 167, 189, 201, 178, 198, 169]
"""The executions of the guide's example, day by day."""


def ordered(size: int, score: int) -> list[int]:
    """Values from 1 to `size` whose number of rising pairs less that of falling ones is `score`."""
    return next(
        list(values)
        for values in permutations(range(size))
        if sum((b > a) - (b < a) for a, b in combinations(values, 2)) == score
    )


@pytest.mark.parametrize(
    ("size", "score", "one_sided"),
    [(4, 6, 0.042), (5, 8, 0.042), (5, 10, 0.0083), (6, 11, 0.028), (7, 13, 0.035), (8, 16, 0.031), (8, 10, 0.138)],
)
def test_the_test_has_the_probabilities_of_the_published_table(size: int, score: int, one_sided: float) -> None:
    """R. O. Gilbert, "Statistical methods for environmental pollution monitoring" (1987), table A18."""
    assert mann_kendall(ordered(size, score)) == pytest.approx(2 * one_sided, rel=0.03)
    assert mann_kendall(ordered(size, score)[::-1]) == pytest.approx(2 * one_sided, rel=0.03)


def test_with_ties_the_test_is_close_to_the_share_of_all_orders() -> None:
    """Seven values, all 5,040 orders of them."""
    values = [1, 2, 2, 3, 3, 4, 5]

    def score(order: tuple[int, ...]) -> int:
        return abs(sum((b > a) - (b < a) for a, b in combinations(order, 2)))

    for order in ((1, 2, 2, 3, 3, 4, 5), (1, 3, 2, 2, 3, 4, 5), (2, 1, 3, 2, 4, 3, 5)):
        exact = mean(score(other) >= score(order) for other in permutations(values))
        assert mann_kendall(order) == pytest.approx(exact, abs=0.02)


def test_a_long_series_is_tested_by_the_normal_distribution() -> None:
    """By hand: 12 rising values have the score 66 and the variance 12 * 11 * 29 / 18 = 212.67; 65 / 14.58 is 4.457."""
    assert mann_kendall(list(range(12))) == pytest.approx(8.3e-6, rel=0.01)


@pytest.mark.parametrize("values", [[3] * 5, [0] * 40, [1, 2, 1, 2, 1]])
def test_equal_values_have_no_trend(values: list[float]) -> None:
    """Whatever their number."""
    assert mann_kendall(values) > 0.5


def test_the_slope_is_the_median_of_all_slopes() -> None:
    """By hand: of the ten pairs of 1, 2, 3, 4, 100 six have the slope 1; one odd value changes nothing."""
    assert theil_sen(list(enumerate([1, 2, 3, 4, 100]))) == 1
    assert theil_sen([(0, 10), (1, 12), (3, 13)]) == 1.0


def test_a_trend_has_its_size_and_its_probability() -> None:
    """From 100 to 140 in five steps; the slope is 8 and the line starts at 100."""
    found = trend_of([100, 108, 116, 124, 132, 140])
    assert found is not None
    assert (found.direction, found.percent) == ("up", 40)
    assert found.p_value == pytest.approx(2 / 720)
    down = trend_of([140, 132, 124, 116, 108, 100])
    assert down is not None
    assert (down.direction, round(down.percent or 0, 1)) == ("down", -28.6)


def test_one_odd_day_makes_no_trend() -> None:
    """Neither at the end nor at the beginning."""
    for values in ([100, 101, 99, 100, 102, 98, 300], [300, 100, 101, 99, 100, 102, 98]):
        found = trend_of(values)
        assert found is not None
        assert found.direction in ("stable", "unclear")


def test_the_days_of_the_guide_have_no_clear_trend() -> None:
    """14 of 21 pairs rise. By the table for 7 values, S = 7 has a one-sided probability of 0.191."""
    found = trend_of(GUIDE)
    assert found is not None
    assert found.direction == "unclear"
    assert found.p_value == pytest.approx(2 * 0.191, rel=0.02)


def test_unknown_values_are_left_out_at_their_place() -> None:
    """The slope counts the days between."""
    found = trend_of([100, None, None, 130, 140, 150, 160])
    assert found is not None
    assert (found.percent, found.direction) == (60, "up")


def test_few_values_have_no_trend() -> None:
    """Unknown ones do not count."""
    assert trend_of([1, 2, 3, 4]) is None
    assert trend_of([1, 2, 3, 4, None, None]) is None
    assert trend_of([]) is None
    assert 2 / 24 > ALPHA > 2 / 120
    assert LEAST_POINTS == 5


def test_a_line_that_starts_at_nothing_has_no_percentage() -> None:
    """It rises all the same."""
    found = trend_of([0, 0, 1, 5, 9, 12, 15, 19])
    assert found is not None
    assert (found.percent, found.direction) == (None, "up")
    nothing = trend_of([0.0] * 8)
    assert nothing is not None
    assert nothing.direction == "unclear"


def test_noise_is_rarely_called_a_trend() -> None:
    """About one series of twenty, as ALPHA says."""
    random = Random(16)
    found = [mann_kendall([random.gauss(100, 20) for _ in range(14)]) <= ALPHA for _ in range(1000)]
    assert 0.02 < mean(found) < 0.08


def test_a_long_series_is_read_as_means_of_neighbours() -> None:
    """Ten thousand hours take no longer than three hundred days, and have the same trend."""
    found = trend_of([100 + at / 100 for at in range(10_000)])
    assert found is not None
    assert found.direction == "up"
    assert found.percent == pytest.approx(99, abs=1)


@pytest.mark.parametrize("zeros", [12, 30, 100])
def test_values_after_many_zeros_are_a_rise(zeros: int) -> None:
    """The median slope is 0 then; the pairs have a direction, and so has the mirror image."""
    values = [0.0] * zeros + [3.0, 0.0, 5.0, 4.0, 7.0]
    rise, fall = trend_of(values), trend_of(values[::-1])
    assert rise is not None
    assert fall is not None
    assert (rise.direction, fall.direction) == ("up", "down")
