"""Roll-ups: sums of executions by period and series, made so that sums of sums are exact.

A series is who worked on what: agent, model, project, source. A level is a length of time; a bucket is a number of that
length since the epoch, in UTC. Everything that is kept is additive (or a first and last instant), so that a period is
answered from the coarsest whole buckets in it plus the rows at its edges, and the order of arrival does not matter.

Durations are counted in bins whose bounds are whole microseconds, each at most 2 % wide: the middle of a bin is at most
1 % away from anything in it. Bounds of integers put a duration into the same bin on every machine.

Nothing here knows a database.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from operator import add, itemgetter
from typing import Any, NamedTuple, TypeVar

from claude_force.clock import DAY_US, HOUR_US, Window
from claude_force.record import DURATION_LIMIT_US, FIELDS, Row

V = TypeVar("V")

LEVELS_US = (HOUR_US, DAY_US, 32 * DAY_US, 1024 * DAY_US)
"""The lengths of the levels; each is a multiple of the one before."""

HOUR, DAY, ERA = 0, 1, len(LEVELS_US) - 1
"""Levels by name: the finest, the finest that counts durations, and the coarsest."""

ALL_SERIES, EACH_SERIES = 0, 1
"""Scopes: sums over all executions (their series is 0), and sums of each series."""

LABELS = ("agent_name", "model", "project", "source")
"""What makes a series. A project that is not known is "" in the database."""

Labels = tuple[str, str, str, str]
Key = tuple[Labels, int]
"""A series, and a bucket of the finest level that is counted."""

ERROR_UNSAID = ""
"""How the database keeps the kind of a failure that did not say."""


@cache
def bin_lows() -> tuple[int, ...]:
    """The least duration of each bin, in microseconds. Below 50 µs every duration has a bin of its own."""
    lows = [0]
    while lows[-1] <= DURATION_LIMIT_US:
        lows.append(max(lows[-1] + 1, lows[-1] * 102 // 100))
    return tuple(lows)


def bin_of(duration_us: int) -> int:
    """The bin of a duration."""
    return bisect_right(bin_lows(), duration_us) - 1


def duration_of(number: int) -> int:
    """The duration that stands for a bin, in microseconds: at most 1 % away from every duration in it."""
    low, following = bin_lows()[number : number + 2]
    return (low + following - 1) // 2


class Failures(NamedTuple):
    """Failures of one kind."""

    failures: int
    first_us: int
    last_us: int

    def merged(self, other: Failures) -> Failures:
        """Both together."""
        return Failures(
            self.failures + other.failures, min(self.first_us, other.first_us), max(self.last_us, other.last_us)
        )


@dataclass(slots=True)
class Sums:
    """What some rows come to. `cells` hold the columns of `result.Totals` by hour, `bins` counts by day and bin,
    `errors` the failures by hour and kind."""

    cells: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    bins: Counter[tuple[Labels, int, int]] = field(default_factory=Counter)
    errors: dict[tuple[Labels, int, str], Failures] = field(default_factory=dict)


_AT = {name: index for index, name in enumerate(FIELDS)}
_labels_of = itemgetter(*(_AT[name] for name in LABELS))
_INSTANT, _SUCCESS, _DURATION, _ERROR = (_AT[name] for name in ("timestamp_us", "success", "duration_us", "error_type"))
_COST, _REFERENCE, _METERED = _AT["cost_nanousd"], _AT["reference_cost_nanousd"], _AT["input_tokens"]
_TOKENS = slice(_METERED, _AT["cache_write_1h_tokens"] + 1)


def labels_of(row: Row) -> Labels:
    """The series of a row."""
    agent, model, project, source = _labels_of(row)
    return agent, model, project or "", source


def sum_up(rows: Iterable[Row]) -> Sums:
    """The sums of rows (see `record.to_row`)."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (_labels_of(row), row[_INSTANT] // HOUR_US)
        group = groups.get(key)
        if group is None:
            groups[key] = [row]
        else:
            group.append(row)
    sums = Sums()
    place = partial(bisect_right, bin_lows())
    for (_, hour), group in groups.items():
        labels = labels_of(group[0])
        columns = list(zip(*group, strict=True))
        cell = _cell(columns)
        sums.cells[labels, hour] = cell
        day = hour * HOUR_US // DAY_US
        for number, count in Counter(map(place, filter(_is_known, columns[_DURATION]))).items():
            sums.bins[labels, day, number - 1] += count
        if cell[1] != cell[0]:
            _note_failures(sums, labels, hour, group)
    return sums


def _is_known(value: object) -> bool:
    return value is not None


def _cell(columns: Sequence[tuple[Any, ...]]) -> tuple[int, ...]:
    """The columns of `Totals` over the rows that these are the columns of."""
    costs, references = columns[_COST], columns[_REFERENCE]
    priced, cost = _known(costs)
    _, reference = _known(references)
    compared = (cost, reference)
    if None in costs or None in references:
        pairs = [pair for pair in zip(costs, references, strict=True) if None not in pair]
        compared = (sum(map(itemgetter(0), pairs)), sum(map(itemgetter(1), pairs)))
    tokens = [_known(column)[1] for column in columns[_TOKENS]]
    successes = sum(columns[_SUCCESS])
    metered = len(costs) - columns[_METERED].count(None)
    return (len(costs), successes, *_known(columns[_DURATION]), metered, *tokens, priced, cost, *compared)


def _known(column: tuple[Any, ...]) -> tuple[int, int]:
    """How many values are not None, and their sum."""
    absent = column.count(None)
    return len(column) - absent, sum(filter(None, column)) if absent else sum(column)


def _note_failures(sums: Sums, labels: Labels, hour: int, group: Iterable[Row]) -> None:
    for row in group:
        if not row[_SUCCESS]:
            key = (labels, hour, row[_ERROR] or ERROR_UNSAID)
            one = Failures(1, row[_INSTANT], row[_INSTANT])
            sums.errors[key] = sums.errors[key].merged(one) if key in sums.errors else one


Place = tuple[int, int, int, int]
"""Scope, level, bucket, series: where a sum is kept."""


def spread_cells(cells: Mapping[Key, tuple[int, ...]], ids: Mapping[Labels, int]) -> list[tuple[int, ...]]:
    """Rows of `rollups` for the sums of each level and scope, in the order of their places."""
    finest = {(bucket, ids[labels], None): sums for (labels, bucket), sums in cells.items()}
    spread = _spread(finest, HOUR, lambda one, other: tuple(map(add, one, other)))
    return sorted((*place, *sums) for (*place, _), sums in spread.items())


def spread_bins(
    bins: Mapping[tuple[Labels, int, int], int], ids: Mapping[Labels, int]
) -> list[tuple[int, int, int, int, int, int]]:
    """Rows of `rollup_durations`, likewise; the finest level is a day."""
    finest = {(bucket, ids[labels], number): count for (labels, bucket, number), count in bins.items()}
    return sorted((*place, count) for place, count in _spread(finest, DAY, add).items())


def spread_errors(
    errors: Mapping[tuple[Labels, int, str], Failures], ids: Mapping[Labels, int]
) -> list[tuple[int, int, int, str, int, int, int]]:
    """Rows of `rollup_errors`, likewise, of each series alone."""
    finest = {(bucket, ids[labels], kind): found for (labels, bucket, kind), found in errors.items()}
    spread = _spread(finest, HOUR, Failures.merged)
    return sorted((*place[1:], *found) for place, found in spread.items() if place[0] == EACH_SERIES)


def _spread(
    finest: Mapping[tuple[int, int, Any], V], level: int, merged: Callable[[V, V], V]
) -> dict[tuple[int, int, int, int, Any], V]:
    """What finest sums, by bucket, series and a further key, come to at every level from `level` up, in both scopes."""
    spread: dict[tuple[int, int, int, int, Any], V] = {}
    current = dict(finest)
    for upper in range(level, len(LEVELS_US)):
        if upper > level:
            ratio = LEVELS_US[upper] // LEVELS_US[upper - 1]
            current = _merge((((bucket // ratio, *rest), value) for (bucket, *rest), value in current.items()), merged)
        total = _merge((((bucket, 0, more), value) for (bucket, _, more), value in current.items()), merged)
        for scope, found in ((EACH_SERIES, current), (ALL_SERIES, total)):
            for key, value in found.items():
                spread[scope, upper, *key] = value
    return spread


def _merge(items: Iterable[tuple[Any, V]], merged: Callable[[V, V], V]) -> dict[Any, V]:
    found: dict[Any, V] = {}
    for key, value in items:
        found[key] = merged(found[key], value) if key in found else value
    return found


@dataclass(frozen=True, slots=True)
class Parts:
    """A period taken apart: buckets [first, end) of levels, in no overlap, and the rows at the edges. `inside` is the
    period that the buckets cover; empty where none fits."""

    buckets: tuple[tuple[int, int, int], ...]
    edges: tuple[Window, ...]
    inside: Window


def take_apart(start_us: int, end_us: int, finest: int, coarsest: int = ERA) -> Parts:
    """The coarsest whole buckets in [start, end), of the levels from `finest` to `coarsest`, and what is left at both
    ends."""
    buckets: list[tuple[int, int, int]] = []
    low = high = None
    for level in range(coarsest, finest - 1, -1):
        size = LEVELS_US[level]
        if low is None or high is None:
            first, end = -(-start_us // size), end_us // size
            if first < end:
                buckets.append((level, first, end))
                low, high = first * size, end * size
            continue
        first, end = -(-start_us // size), end_us // size
        buckets += [(level, *span) for span in ((first, low // size), (high // size, end)) if span[0] < span[1]]
        low, high = first * size, end * size
    if low is None or high is None:
        return Parts((), (Window(start_us, end_us),), Window(start_us, start_us))
    edges = ((start_us, low), (high, end_us))
    return Parts(tuple(buckets), tuple(Window(*edge) for edge in edges if edge[0] < edge[1]), Window(low, high))


def nearest_ranks(counts: Mapping[int, int], percents: Sequence[int]) -> list[int]:
    """The durations that stand for the bins of the nearest ranks, from counts by bin; `percents` ascending."""
    size = sum(counts.values())
    ranks = [(percent * size + 99) // 100 for percent in percents]
    found: list[int] = []
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(duration_of(number))
    return found


def merged_windows(buckets: Iterable[int], size_us: int) -> list[Window]:
    """The periods that buckets cover, neighbours as one; ascending."""
    ordered = sorted(buckets)
    starts = [bucket for before, bucket in pairwise([-2, *ordered]) if bucket != before + 1]
    ends = [bucket + 1 for bucket, after in pairwise([*ordered, -2]) if after != bucket + 1]
    return [Window(start * size_us, end * size_us) for start, end in zip(starts, ends, strict=True)]
