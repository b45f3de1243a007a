"""Change or noise: the tests that stand beside the thresholds of a check.

Every test is one-sided, looks for a change to the worse, and takes a wrong alarm in one of a hundred (`ALPHA`) at most,
so that the four of a check stay under one in twenty together. Values come as histograms (bins of `rollup`), never as
rows. What is drawn at random is drawn from a fixed seed: the same figures give the same verdict.

What is tested is whether two sets of executions could be one: the size of a change is judged by the thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import exp, lgamma, log, log1p, sqrt
from random import Random
from statistics import NormalDist

from claude_force.executions.histogram import duration_of

ALPHA = 0.01
"""The rate of wrong alarms that one test takes."""

ROUNDS = 2000
SEED = 20
TAIL = 200
"""So many of the largest values are drawn one by one; the sum of the others is as good as normal."""

_Z = NormalDist().inv_cdf(1 - ALPHA)
_FEW = 100
_LARGEST_BASELINE = 10**7
"""A baseline of more executions is as good as exact; and `lgamma` would lose its digits."""

Histogram = Mapping[int, int]


def is_higher(baseline: Histogram, current: Histogram) -> tuple[bool, float]:
    """Whether values are higher than in the baseline, and the p-value.

    Two tests at half of ALPHA each (Bonferroni), since each is blind to something: the ranks see that the usual
    execution became slower, even in small samples, and nothing of a tail; the average sees the tail."""
    by_ranks = rank_test(baseline, current)
    p = 2 * (by_ranks if 2 * by_ranks <= ALPHA else min(by_ranks, mean_test(baseline, current)))
    return p <= ALPHA, min(p, 1.0)


def rank_test(baseline: Histogram, current: Histogram) -> float:
    """The p-value of Mann and Whitney's U for values that are higher than in the baseline: normal approximation with
    correction for ties and continuity.

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


def mean_test(baseline: Histogram, current: Histogram) -> float:
    """The p-value of an average that is higher than the baseline's: of all ways to take as many executions from both
    together, the share whose average is as high, from ROUNDS of them taken at random. Where it is surely no small one
    it stops early, and p is an estimate.

    The highest value of the period is left out on both sides: what rests on one execution that hung is no change.

    E. J. G. Pitman, "Significance tests which may be applied to samples from any populations", J. R. Statist. Soc.
    Suppl. 4 (1937), 119-130; the early end: J. Besag, P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78
    (1991), 301-304."""
    mine = Counter(current)
    mine[max(mine)] -= 1
    size = mine.total()
    # As high to the last bit, whatever the order of the sum.
    observed, enough = _sum(mine) * (1 - 1e-12), int(ALPHA / 2 * (ROUNDS + 1))
    pooled = Counter(baseline) + mine
    drawings = as_high = 0
    for drawn in _parts(pooled, size):
        drawings += 1
        as_high += drawn >= observed
        if as_high >= enough:
            break
    return (as_high + 1) / (drawings + 1)


def _parts(histogram: Histogram, size: int) -> Iterator[float]:
    """Sums over so many of the values, taken at random. The cost of one does not grow with the size."""
    random = Random(SEED)  # noqa: S311  (a simulation, not a secret)
    tail, body = _split(histogram)
    total, (mean, variance) = sum(histogram.values()), _moments(body)
    values = [duration_of(number) for number, count in tail.items() for _ in range(count)]
    for _ in range(ROUNDS):
        left, wanted, found = total, size, 0.0
        for value in values:
            if random.random() * left < wanted:
                found += value
                wanted -= 1
            left -= 1
        if wanted:
            spread = wanted * variance * (left - wanted) / (left - 1) if left > 1 else 0.0
            found += random.gauss(wanted * mean, sqrt(spread))
        yield found


def lowest_mean(current: Histogram, baseline_size: int | None) -> float:
    """The least that the average of such executions may be, with a confidence of 1 - ALPHA, for a baseline of which
    only the average is known: the percentile method of the bootstrap (Efron and Tibshirani, chapter 13).

    An average of few executions is uncertain itself: the bound is wider by as much as if they spread like these."""
    size, observed = sum(current.values()), mean_of(current)
    bound = sorted(_samples(current, size))[int(ALPHA * ROUNDS)] / size
    return observed - (observed - bound) * sqrt(1 + size / baseline_size if baseline_size else 1)


def mean_of(histogram: Histogram) -> float:
    """The average of what a histogram holds, at most 1 % away from that of the values themselves."""
    return _sum(histogram) / sum(histogram.values())


def _sum(histogram: Histogram) -> int:
    return sum(duration_of(number) * count for number, count in histogram.items())


def _samples(histogram: Histogram, size: int) -> Iterator[float]:
    """Sums over samples of some size, drawn with replacement, likewise."""
    random = Random(SEED)  # noqa: S311  (a simulation, not a secret)
    tail, body = _split(histogram)
    total, (mean, variance) = sum(histogram.values()), _moments(body)
    values, weights = [duration_of(number) for number in tail], list(accumulate(tail.values()))
    for _ in range(ROUNDS):
        drawn = _binomial(random, size, weights[-1] / total)
        found = float(sum(random.choices(values, cum_weights=weights, k=drawn)))
        rest = size - drawn
        yield found + (random.gauss(rest * mean, sqrt(rest * variance)) if rest else 0.0)


def _split(histogram: Histogram) -> tuple[dict[int, int], dict[int, int]]:
    """The TAIL largest values, and all others."""
    tail: dict[int, int] = {}
    body: dict[int, int] = {}
    left = TAIL
    for number in sorted(histogram, reverse=True):
        taken = min(left, histogram[number])
        left -= taken
        if taken:
            tail[number] = taken
        if histogram[number] > taken:
            body[number] = histogram[number] - taken
    return tail, body


def _moments(histogram: Histogram) -> tuple[float, float]:
    """Average and variance; 0 of nothing."""
    if not histogram:
        return 0.0, 0.0
    mean, size = mean_of(histogram), sum(histogram.values())
    return mean, sum(count * (duration_of(number) - mean) ** 2 for number, count in histogram.items()) / size


def _binomial(random: Random, size: int, share: float) -> int:
    """How many of `size` fall into a share: by the gaps between them where they are few, else normal."""
    if share >= 1:
        return size
    if size * share > _FEW:
        return min(size, max(0, round(random.gauss(size * share, sqrt(size * share * (1 - share))))))
    found, place, scale = -1, 0, log1p(-share)
    while place <= size:
        found += 1
        place += int(log(1 - random.random()) / scale) + 1
    return found


def exceedance_test(above: int, size: int, baseline_size: int) -> float:
    """The p-value of `above` of `size` executions over the 95th percentile of a baseline, whose own uncertainty counts:
    the part of all that lies above the r-th of m values has a Beta(m - r + 1, r) distribution whatever the values are,
    so the number above has a beta-binomial one.

    E. J. Gumbel, H. von Schelling, "The distribution of the number of exceedances", Ann. Math. Statist. 21 (1950),
    247-262."""
    known = min(baseline_size, _LARGEST_BASELINE)
    rank = (95 * known + 99) // 100
    first, second = known - rank + 1, rank
    tail = 0.0
    for number in range(above, size + 1):
        term = exp(
            lgamma(size + 1) - lgamma(number + 1) - lgamma(size - number + 1)
            + lgamma(number + first) + lgamma(size - number + second) - lgamma(size + first + second)
            + lgamma(first + second) - lgamma(first) - lgamma(second)
        )  # fmt: skip
        tail += term
        if number * second > size * first and term < tail * 1e-12:
            break
    return min(tail, 1.0)


def wilson(share: float, size: int, z: float = _Z) -> tuple[float, float]:
    """The score interval of a proportion (0 to 1).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Amer. Statist. Assoc. 22
    (1927), 209-212."""
    middle = share + z * z / (2 * size)
    half = z * sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    scale = 1 + z * z / size
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def newcombe(first: float, first_size: int, second: float, second_size: int, z: float = _Z) -> tuple[float, float]:
    """The hybrid score interval of the difference `first` - `second` of two proportions (0 to 1).

    R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17 (1998), 873-890: method 10."""
    (low, high), (other_low, other_high) = wilson(first, first_size, z), wilson(second, second_size, z)
    difference = first - second
    return (
        difference - sqrt((first - low) ** 2 + (other_high - second) ** 2),
        difference + sqrt((high - first) ** 2 + (second - other_low) ** 2),
    )
