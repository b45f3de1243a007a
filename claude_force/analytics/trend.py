"""Whether values over time have a trend, and how large it is.

The test is that of Mann and Kendall: it counts pairs of values, so that it needs no distribution, and one odd day
changes little. The size is the slope of Theil and Sen, the median of the slopes of all pairs. Both assume that days do
not depend on each other; values with a weekly rhythm need some weeks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import comb, erfc, factorial, sqrt
from typing import Literal, NamedTuple

ALPHA = 0.05
"""A trend is significant if chance alone gives one as clear less often: two-sided."""

LEAST_POINTS = 5
"""With fewer values not even the clearest order is significant: 2 of 24 orders of four values are as clear."""

STABLE_PERCENT = 5
"""A change of at most this many percent is called stable."""

_MOST_POINTS = 300
"""A longer series is read as means of neighbours: it has 45,000 pairs then."""

_MOST_EXACT = 10
"""With more values, and with ties, the distribution of the test is taken as normal (Kendall 1975)."""

Direction = Literal["up", "down", "stable", "unclear"]

Point = tuple[int, float]
"""The number of an interval, and its value."""


class Trend(NamedTuple):
    """The trend of a series. `percent` is the change of the fitted line from the first to the last value; None if the
    line does not start above zero. `p_value` is the probability of a trend at least as clear by chance."""

    is_rising: bool
    percent: float | None
    p_value: float

    @property
    def direction(self) -> Direction:
        """Which way the values go. A small change is stable; another one that may be chance is unclear."""
        if self.percent is not None and abs(self.percent) <= STABLE_PERCENT:
            return "stable"
        if self.p_value > ALPHA:
            return "unclear"
        return "up" if self.is_rising else "down"


def trend_of(values: Sequence[float | None]) -> Trend | None:
    """The trend of values at equal distances, oldest first; None stands for an unknown one. None if fewer than
    LEAST_POINTS are known."""
    points = _thinned([(at, value) for at, value in enumerate(values) if value is not None])
    if len(points) < LEAST_POINTS:
        return None
    slope = theil_sen(points)
    length = points[-1][0] - points[0][0]
    # The intercept of a robust line is the median of what the slope leaves (Rousseeuw, Leroy 1987).
    start = _median([value - slope * (at - points[0][0]) for at, value in points])
    percent = 100 * slope * length / start if start > 0 else None
    found = [value for _, value in points]
    # Where most values are equal, as on days without executions, the line is flat; the pairs still have a direction.
    is_rising = slope > 0 if slope else _score(found) > 0
    return Trend(is_rising, percent, mann_kendall(found))


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most _MOST_POINTS points, each the mean of as many neighbours. If the newest ones are fewer, they are left
    out."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return points
    groups = (points[start : start + size] for start in range(0, len(points) - size + 1, size))
    return [(group[0][0], sum(value for _, value in group) / size) for group in groups]


def theil_sen(points: Sequence[Point]) -> float:
    """The slope: the median of the slopes of all pairs of points.

    P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Amer. Statist. Assoc. 63 (1968),
    1379-1389."""
    return _median([(later - earlier) / (to - since) for (since, earlier), (to, later) in combinations(points, 2)])


def _median(values: list[float]) -> float:
    # Not that of `statistics`, whose import takes longer than a report.
    values.sort()
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def mann_kendall(values: Sequence[float]) -> float:
    """The two-sided p-value of the hypothesis that the values are in no order of time.

    H. B. Mann, "Nonparametric tests against trend", Econometrica 13 (1945), 245-259; M. G. Kendall, "Rank correlation
    methods" (1975): exact for up to ten values without ties, else normal with corrections for ties and continuity."""
    score = _score(values)
    ties = [number for number in Counter(values).values() if number > 1]
    if not ties and len(values) <= _MOST_EXACT:
        return _exact(len(values), abs(score))
    return _normal(len(values), abs(score), ties)


def _score(values: Sequence[float]) -> int:
    """How many more pairs of values rise than fall."""
    return sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))


def _exact(size: int, score: int) -> float:
    """The share of all orders of `size` values whose score is at least as far from 0."""
    # The number of orders by their number of pairs that fall: each further value can be behind 0, 1, 2 ... others.
    falling = [1]
    for before in range(1, size):
        falling = [sum(falling[max(0, pairs - before) : pairs + 1]) for pairs in range(len(falling) + before)]
    as_clear = sum(falling[: (comb(size, 2) - score) // 2 + 1])
    return min(1.0, 2 * as_clear / factorial(size))


def _normal(size: int, score: int, ties: Sequence[int]) -> float:
    variance = (size * (size - 1) * (2 * size + 5) - sum(tie * (tie - 1) * (2 * tie + 5) for tie in ties)) / 18
    if variance <= 0 or score == 0:
        return 1.0
    return erfc((score - 1) / sqrt(2 * variance))
