"""Buckets for histograms of durations, with exact counts.

The store counts durations in bins (`executions.histogram`). Each bucket starts with the bin nearest to a desired bound,
so no bin lies on both sides of a bound. `desired_s` are such bounds, in seconds, ascending.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from functools import cache

from claude_force.clock import SECOND_US
from claude_force.executions.histogram import bin_lows

Bounds = tuple[float, ...]


@cache
def _first_bins(desired_s: Bounds) -> tuple[int, ...]:
    return tuple(_nearest_bin(round(bound_s * SECOND_US)) for bound_s in desired_s)


def _nearest_bin(bound_us: int) -> int:
    lows = bin_lows()
    above = bisect_right(lows, bound_us)
    return min((above - 1, above), key=lambda number: abs(lows[number] - bound_us))


def bounds_s(desired_s: Bounds) -> Bounds:
    """The bounds of the buckets in seconds, each inclusive: the last microsecond before the first bin above it."""
    return tuple((bin_lows()[first] - 1) / SECOND_US for first in _first_bins(desired_s))


def bucket_counts(bins: Counter[int], desired_s: Bounds) -> list[int]:
    """The number of durations in each bucket, given those in each bin. The last bucket is above all bounds."""
    firsts = _first_bins(desired_s)
    counts = [0] * (len(firsts) + 1)
    for number, count in bins.items():
        counts[bisect_right(firsts, number)] += count
    return counts
