"""The statistical tests, against published examples and against enumeration of all cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from math import exp
from random import Random
from statistics import NormalDist

import pytest

from claude_force.analytics.baselines.significance import (
    ALPHA,
    bin_at,
    count_above,
    least_increase,
    least_mean,
    mean_of,
    rank_test,
)
from claude_force.analytics.proportions import Z_95, Z_99, newcombe, wilson
from claude_force.executions.histogram import bins_of

Z95 = NormalDist().inv_cdf(0.975)


def a_sample(seed: int, size: int, factor: float = 1.0) -> list[int]:
    """Log-normal durations."""
    random = Random(seed)
    return [round(3_000_000 * factor * random.lognormvariate(0, 0.8)) for _ in range(size)]


def exact_share(before: list[int], now: list[int], statistic: Callable[[list[int], list[int]], float]) -> float:
    """The exact p-value: the share of all permutations whose statistic is at least as high as the observed one."""
    pooled, places = before + now, range(len(before) + len(now))
    observed = statistic(before, now)
    found = [
        statistic([pooled[at] for at in places if at not in chosen], [pooled[at] for at in chosen]) >= observed
        for chosen in map(frozenset, combinations(places, len(now)))
    ]
    return sum(found) / len(found)


def u_of(before: list[int], now: list[int]) -> float:
    """Mann-Whitney's count of pairs, by its definition."""
    return sum((mine > other) + (mine == other) / 2 for mine in now for other in before)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([100, 102, 104, 106, 108, 110, 112, 114], [107, 109, 111, 113, 115, 117, 119, 121]),
        ([100, 100, 100, 102, 102, 104, 104, 106], [100, 102, 102, 104, 104, 106, 106, 108]),
        ([100, 101, 102, 103, 104, 105, 106], [90, 91, 92, 93, 94, 95, 120]),
    ],
    ids=["apart", "ties", "lower"],
)
def test_the_p_value_of_ranks_is_close_to_that_of_all_permutations(before: list[int], now: list[int]) -> None:
    """Also with many ties. The values are bins."""
    assert rank_test(Counter(before), Counter(now)) == pytest.approx(exact_share(before, now, u_of), abs=0.02)


def test_equal_values_have_a_p_value_of_one() -> None:
    """Without any variance there is no division by zero."""
    assert rank_test({7: 50}, {7: 50}) == 1.0
    assert rank_test({7: 1}, {}) == 1.0


def test_ranks_see_no_tail_but_the_share_above_a_bound_does() -> None:
    """Ten of a thousand take fifty times as long; the typical execution is as fast as before."""
    before, now = bins_of(a_sample(6, 10_000)), bins_of(a_sample(7, 990) + a_sample(8, 10, 50))
    assert rank_test(before, now) > ALPHA
    bound = bin_at(before, 0.999)
    share = count_above(before, bound) / 10_000
    assert least_increase(count_above(now, bound), 1000, share, 10_000) > 0


def test_one_execution_that_hung_is_no_increase() -> None:
    """One is not counted, whatever the sizes; three among 1,000 where one in 10,000 was before are an increase."""
    assert least_increase(1, 1000, 0.0, 10_000) < 0
    assert least_increase(1, 30, 0.001, 3000) < 0
    assert least_increase(3, 1000, 0.0001, 10_000) > 0


def test_a_small_baseline_needs_a_larger_increase() -> None:
    """A share of few executions is uncertain. An unknown size counts as exact."""
    bounds = [least_increase(12, 100, 0.05, size) for size in (30, 300, 3000, 10**15, None)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(bounds[-2], abs=1e-6) == pytest.approx(wilson(0.11, 100)[0] - 0.05)


def test_the_least_mean_covers_the_mean() -> None:
    """It is above the mean of a log-normal distribution in about 1 % of samples. A small baseline lowers it."""
    true_mean, samples = 3_000_000 * exp(0.32), [bins_of(a_sample(seed, 60)) for seed in range(600)]
    too_high = sum(least_mean(sample, None) > true_mean for sample in samples)
    assert too_high <= 15
    assert least_mean(samples[0], 100) < least_mean(samples[0], 10_000) < least_mean(samples[0], None)
    assert least_mean(samples[0], None) < mean_of(samples[0])


def test_bins_at_a_share_are_nearest_ranks() -> None:
    """The bin at 0.95 holds the 95th of a hundred values, and five are above it."""
    histogram = dict.fromkeys(range(100), 1)
    assert (bin_at(histogram, 0.95), count_above(histogram, 94)) == (94, 5)
    assert bin_at({7: 30}, 0.999) == 7


@pytest.mark.parametrize(
    ("successes", "size", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(successes: int, size: int, low: float, high: float) -> None:
    """Examples of R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    assert wilson(successes / size, size, Z95) == pytest.approx((low, high), abs=0.00006)


@pytest.mark.parametrize("z", [Z_95, Z_99])
def test_wilsons_interval_holds_its_share(z: float) -> None:
    """Of all and of none, too: 27 of 27 ended at 0.9999999999999999, which was shown as 99.9 %."""
    for size in range(1, 400):
        low, high = wilson(0.0, size, z)
        assert low == 0.0 < high < 1.0
        low, high = wilson(1.0, size, z)
        assert 0.0 < low < high == 1.0


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 10), -0.2775, 0.2775),
    ],
)
def test_newcombes_interval(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    """Examples of R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10."""
    found = newcombe(first[0] / first[1], first[1], second[0] / second[1], second[1], Z95)
    assert found == pytest.approx((low, high), abs=0.00006)


def test_the_quantiles_are_those_of_the_normal_distribution() -> None:
    """Typed as numbers, so that a report does not load the distribution; the second is that of ALPHA."""
    assert pytest.approx(Z95) == Z_95
    assert pytest.approx(NormalDist().inv_cdf(1 - ALPHA)) == Z_99
