"""Intervals of proportions, such as success rates, and of their differences. Loads nothing more: reports use it."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""The standard normal quantile of the usual 95 % interval."""

Z_99 = 2.3263478740408408
"""That of a one-sided test with a false alarm rate of 1 %."""


def wilson(share: float, size: int, z: float = Z_99) -> tuple[float, float]:
    """The score interval of a proportion (0 to 1). It always holds the proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Amer. Statist. Assoc. 22
    (1927), 209-212."""
    middle = share + z * z / (2 * size)
    half = z * sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    scale = 1 + z * z / size
    # Rounding makes the bound of 0 or 1 miss it by a hair: 27 of 27 must not end at 99.99 %.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def rate_interval(successes: int, size: int) -> tuple[float, float]:
    """The 95 % interval of a success rate, in percent (Wilson's)."""
    low, high = wilson(successes / size, size, Z_95)
    return 100 * low, 100 * high


def newcombe(first: float, first_size: int, second: float, second_size: int, z: float = Z_99) -> tuple[float, float]:
    """The interval of the difference `first` - `second` of two proportions (0 to 1), made of their Wilson intervals.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17 (1998), 873-890: method 10."""
    (low, high), (other_low, other_high) = wilson(first, first_size, z), wilson(second, second_size, z)
    difference = first - second
    return (
        difference - sqrt((first - low) ** 2 + (other_high - second) ** 2),
        difference + sqrt((high - first) ** 2 + (second - other_low) ** 2),
    )
