"""Change or noise: the tests that accompany the limits of a check.

Two standard tests answer: Mann-Whitney's U for "the typical execution is slower", and Wilson's score interval for "a
larger share of executions is over a bound", or fails. They ask whether both periods could be alike; the limits judge
the size of a change. Each test is one-sided, with a false alarm rate of at most ALPHA. Values come as histograms (bins
of `executions.histogram`), never as rows, so a test costs the same for a hundred executions and for a million.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist

from claude_force.analytics.proportions import Z_95, newcombe, wilson
from claude_force.executions.histogram import duration_of

ALPHA = 0.01
"""The false alarm rate of one metric. The four of a baseline are at most 4 % together, the seven of two labels 7 %
(Bonferroni)."""

Histogram = Mapping[int, int]


def rank_test(baseline: Histogram, current: Histogram) -> float:
    """The one-sided p-value of Mann-Whitney's U for values that are higher than in the baseline: normal approximation,
    corrected for ties and continuity. It is 1.0 where all values are equal.

    H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the
    other", Ann. Math. Statist. 18 (1947), 50-60; for ties E. L. Lehmann, "Nonparametrics" (1975), section 1.4."""
    before, now = sum(baseline.values()), sum(current.values())
    both, below, u, ties = before + now, 0, 0.0, 0
    for number in sorted({*baseline, *current}):
        here, mine = baseline.get(number, 0), current.get(number, 0)
        u += mine * (below + here / 2)
        ties += (here + mine) ** 3 - (here + mine)
        below += here
    variance = before * now / 12 * (both + 1 - ties / (both * (both - 1))) if both > 1 else 0.0
    if variance <= 0:
        return 1.0
    return NormalDist().cdf((before * now / 2 - u + 0.5) / sqrt(variance))


def least_increase(above: int, size: int, share: float, baseline_size: int | None, alpha: float = ALPHA) -> float:
    """The lower bound of the increase of a share (0 to 1): now `above` of `size` executions are over a bound, in the
    baseline it was `share` of `baseline_size` (None: unknown, `share` counts as exact). Positive means significant.

    One execution less is counted: a single one that hung is no change."""
    now = max(0, above - 1) / size
    z = NormalDist().inv_cdf(1 - alpha)
    if baseline_size is None:
        return wilson(now, size, z)[0] - share
    return newcombe(now, size, share, baseline_size, z)[0]


def least_mean(current: Histogram, baseline_size: int | None) -> float:
    """The lower bound of the average (at least two values), by its standard error. It is for a baseline of which only
    the average is known, whose own error counts as if its values spread like these; None means that it has none."""
    size, mean = sum(current.values()), mean_of(current)
    variance = sum(count * (duration_of(number) - mean) ** 2 for number, count in current.items()) / (size - 1)
    # For values that are skewed to the right, as times and costs are, this is too high in about 1 % of samples, not in
    # 2.5 % (measured by benchmarks/regressions.py).
    return mean - Z_95 * sqrt(variance * (1 / size + (1 / baseline_size if baseline_size else 0)))


def mean_of(histogram: Histogram) -> float:
    """The average of the values in a histogram, at most 1 % off."""
    return sum(duration_of(number) * count for number, count in histogram.items()) / sum(histogram.values())


def count_above(histogram: Histogram, bound: int) -> int:
    """The number of values in bins above the bin `bound`."""
    return sum(count for number, count in histogram.items() if number > bound)


def bin_at(histogram: Histogram, share: float) -> int:
    """The bin of the nearest rank of a share (0 to 1): 0.999 for P99.9."""
    wanted, seen, number = share * sum(histogram.values()), 0, 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= wanted:
            break
    return number
