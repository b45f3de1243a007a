"""The rows that sums add to the roll-ups, at every level. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from claude_force.clock import HOUR_US
from claude_force.executions.rollups import (
    ALL_SERIES,
    BIN_BITS,
    DAY,
    EACH_SERIES,
    HOUR,
    LEVELS_US,
    SERIES_BITS,
    SERIES_MASK,
    Failures,
    Sums,
    merged,
    unpacked,
)


def spread_aggregates(sums: Sums, ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows for `rollups`, at every level and scope. `ids` are the ids of `sums.series` in the database.

    About in the order of the table, in which it takes them two thirds of the time."""
    rows: list[tuple[int, ...]] = []
    for level, scope, found in spread(sums.aggregates, HOUR, 0):
        series_ids = ids if scope == EACH_SERIES else (0,)
        rows += [
            (scope, level, key >> SERIES_BITS, series_ids[key & SERIES_MASK], *unpacked(aggregate))
            for key, aggregate in sorted(found.items())
        ]
    return rows


def spread_bins(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Scope, level, and the counts of bins for `rollup_durations`, likewise; the finest level is a day. Their keys are
    those of `Sums.bins`, with the ids of series in place of their indexes."""
    shifts = [series_id - index << BIN_BITS for index, series_id in enumerate(ids)]
    finest = {key + shifts[key >> BIN_BITS & SERIES_MASK]: count for key, count in sums.bins.items()}
    return [(scope, level, sorted(found.items())) for level, scope, found in spread(finest, DAY, BIN_BITS)]


def spread(finest: Mapping[int, int], level: int, more_bits: int) -> Iterator[tuple[int, int, Mapping[int, int]]]:
    """Level, scope and sums, for every level from `level` up. The packed keys have `more_bits` below the series."""
    shift = SERIES_BITS + more_bits
    rest, no_series = (1 << shift) - 1, ~(SERIES_MASK << more_bits)
    current = finest
    for upper in range(level, len(LEVELS_US)):
        if upper > level:
            ratio = LEVELS_US[upper] // LEVELS_US[upper - 1]
            current = merged([(key >> shift) // ratio << shift | key & rest for key in current], current.values())
        yield upper, EACH_SERIES, current
        yield upper, ALL_SERIES, merged([key & no_series for key in current], current.values())


def spread_errors(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, int, str, int, int, int]]:
    """Rows for `rollup_errors`, at every level, for each series."""
    rows: dict[tuple[int, int, int, str], Failures] = {}
    for (series, hour, error_type), found in sums.errors.items():
        for level, size in enumerate(LEVELS_US):
            key = (level, hour * HOUR_US // size, ids[series], error_type)
            rows[key] = rows[key].merged(found) if key in rows else found
    return [(*key, *found) for key, found in rows.items()]
