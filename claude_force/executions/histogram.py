"""Histograms of durations, and percentiles from them with an error of at most 1 %.

Bins are on a log scale, each at most 2 % wide, so its middle is at most 1 % away from anything in it. Their bounds are
whole microseconds, so that every machine puts a duration into the same bin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from claude_force.executions.record import DURATION_LIMIT_US


@cache
def bin_lows() -> tuple[int, ...]:
    """The lowest duration of each bin, in microseconds. Below 50 µs every duration has its own bin."""
    lows = [0]
    while lows[-1] <= DURATION_LIMIT_US:
        lows.append(max(lows[-1] + 1, lows[-1] * 102 // 100))
    return tuple(lows)


def bin_of(duration_us: int) -> int:
    """The number of the bin of a duration."""
    return bisect_right(bin_lows(), duration_us) - 1


def bins_of(durations_us: Iterable[int]) -> Counter[int]:
    """How many durations are in each bin."""
    lows = bin_lows()
    return Counter([bisect_right(lows, duration_us) - 1 for duration_us in durations_us])


def duration_of(number: int) -> int:
    """The middle of a bin, in microseconds: at most 1 % away from every duration in it."""
    low, next_low = bin_lows()[number : number + 2]
    return (low + next_low - 1) // 2


def nearest_ranks(counts: Mapping[int, int], percents: Sequence[int]) -> list[int]:
    """The percentiles (ascending `percents`) by nearest rank, from counts by bin: the middles of their bins."""
    size = sum(counts.values())
    ranks = [(percent * size + 99) // 100 for percent in percents]
    found: list[int] = []
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(duration_of(number))
    return found
