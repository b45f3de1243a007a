"""The tests that tell change from noise, against published examples and against counting every case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from math import comb
from random import Random
from statistics import NormalDist

import pytest

from claude_force.analytics.baselines.significance import (
    ALPHA,
    exceedance_test,
    is_higher,
    lowest_mean,
    mean_of,
    mean_test,
    newcombe,
    rank_test,
    wilson,
)
from claude_force.executions.histogram import bins_of, duration_of

Z95 = NormalDist().inv_cdf(0.975)


def a_sample(seed: int, size: int, factor: float = 1.0) -> list[int]:
    """Log-normal durations."""
    random = Random(seed)
    return [round(3_000_000 * factor * random.lognormvariate(0, 0.8)) for _ in range(size)]


def exact_share(before: list[int], now: list[int], statistic: Callable[[list[int], list[int]], float]) -> float:
    """The share of all ways to choose as many values whose statistic is as high as that of the observed."""
    pooled, places = before + now, range(len(before) + len(now))
    observed = statistic(before, now)
    found = [
        statistic([pooled[at] for at in places if at not in chosen], [pooled[at] for at in chosen]) >= observed
        for chosen in map(frozenset, combinations(places, len(now)))
    ]
    return sum(found) / len(found)


def u_of(before: list[int], now: list[int]) -> float:
    """Mann and Whitney's count of pairs, by its definition."""
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
    """Also with many ties; values are bins."""
    assert rank_test(Counter(before), Counter(now)) == pytest.approx(exact_share(before, now, u_of), abs=0.02)


def test_ranks_of_equal_values_tell_nothing() -> None:
    """Where all values are one the p-value is 1, not a division by zero."""
    assert rank_test({7: 50}, {7: 50}) == 1.0
    assert rank_test({7: 1}, {}) == 1.0


@pytest.mark.parametrize("outlier", [420, 480])
def test_the_p_value_of_averages_is_close_to_that_of_all_permutations(outlier: int) -> None:
    """Every division of sixteen values is counted, the highest being left out; small p-values are not cut short."""
    before = [400, 402, 404, 406, 408, 410, 412, 414]
    now = [413, 415, 417, 419, 421, 423, 425, 426]
    exact = exact_share(before, now, lambda _, mine: sum(map(duration_of, mine)))
    assert exact < ALPHA / 2
    assert mean_test(Counter(before), Counter([*now, outlier])) == pytest.approx(exact, abs=0.0015)


def test_averages_of_many_are_those_of_permutations_of_rows() -> None:
    """Where most values are summed up as a normal one, the p-value is that of shuffling the values themselves."""
    before, now = a_sample(1, 2000), sorted(a_sample(2, 151, 1.21))[:-1]
    random, pooled = Random(3), [duration_of(number) for number in bins_of(before + now).elements()]
    observed = mean_of(bins_of(now)) * len(now)
    rounds = 4000
    shuffled = sum(sum(random.sample(pooled, len(now))) >= observed for _ in range(rounds)) / rounds
    assert 0.0005 < shuffled < ALPHA / 2
    assert mean_test(bins_of(before), bins_of([*now, 10**10])) == pytest.approx(shuffled, abs=0.003)


def test_one_execution_that_took_ten_hours_is_no_regression() -> None:
    """It doubles the average of its day, and is one execution."""
    before, now = a_sample(4, 30_000), [*a_sample(5, 999), 36_000_000_000]
    assert mean_of(bins_of(now)) > 2 * mean_of(bins_of(before))
    assert not is_higher(bins_of(before), bins_of(now))[0]


def test_a_tail_that_ranks_do_not_see_is_seen_by_the_average() -> None:
    """Ten in a thousand take fifty times as long; the usual execution is as fast as before."""
    before, now = a_sample(6, 10_000), a_sample(7, 990) + a_sample(8, 10, 50)
    assert rank_test(bins_of(before), bins_of(now)) > ALPHA
    assert is_higher(bins_of(before), bins_of(now))[0]


def test_the_same_figures_give_the_same_p_value() -> None:
    """What is drawn at random is drawn from a fixed seed, whatever the order of the bins."""
    before, now = bins_of(a_sample(9, 300)), bins_of(a_sample(10, 40, 1.1))
    turned = dict(reversed(before.items())), dict(reversed(now.items()))
    assert mean_test(before, now) == mean_test(*turned)
    assert lowest_mean(now, 300) == lowest_mean(turned[1], 300)


def test_the_least_average_is_that_of_samples_of_rows() -> None:
    """The bound is close to that of drawing from the values themselves; a small baseline widens it."""
    now = bins_of(a_sample(11, 900))
    random, values = Random(12), [duration_of(number) for number in now.elements()]
    drawn = sorted(sum(random.choices(values, k=900)) / 900 for _ in range(2000))
    assert lowest_mean(now, None) == pytest.approx(drawn[20], rel=0.01)
    assert lowest_mean(now, 100) < lowest_mean(now, 10_000) < lowest_mean(now, None) < mean_of(now)


@pytest.mark.parametrize(("above", "size", "known"), [(3, 3, 4), (4, 30, 30), (9, 100, 200), (12, 60, 1000), (0, 5, 9)])
def test_the_number_above_a_percentile_has_its_exact_distribution(above: int, size: int, known: int) -> None:
    """Of all ways to arrange both sets in one order, the share with so many above the baseline's 95th percentile."""
    rank = -(-95 * known // 100)
    ways = [
        comb(number + known - rank, number) * comb(size - number + rank - 1, size - number)
        for number in range(above, size + 1)
    ]
    assert exceedance_test(above, size, known) == pytest.approx(sum(ways) / comb(size + known, size), rel=1e-9)


def test_a_baseline_of_any_size_is_taken() -> None:
    """A file may claim anything; a huge one is as good as exact."""
    binomial = sum(comb(100, k) * 0.05**k * 0.95 ** (100 - k) for k in range(12, 101))
    assert exceedance_test(12, 100, 10**15) == pytest.approx(binomial, rel=0.001)


@pytest.mark.parametrize(
    ("successes", "size", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(successes: int, size: int, low: float, high: float) -> None:
    """Examples of R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3."""
    assert wilson(successes / size, size, Z95) == pytest.approx((low, high), abs=0.00006)


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
