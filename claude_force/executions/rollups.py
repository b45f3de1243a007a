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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import add
from typing import Any, NamedTuple, TypeVar

from claude_force.clock import DAY_US, HOUR_US
from claude_force.executions.histogram import bin_lows
from claude_force.executions.record import PROVISIONAL, ExecutionRow, columns, getter
from claude_force.executions.totals import TOTALS
from claude_force.windows import Window

V = TypeVar("V")

LEVELS_US = (HOUR_US, DAY_US, 32 * DAY_US, 1024 * DAY_US)
"""The lengths of the levels; each is a multiple of the one before."""

HOUR, DAY, ERA = 0, 1, len(LEVELS_US) - 1
"""Levels by name: the finest, the finest that counts durations, and the coarsest."""

ARCHIVED = -1
"""The level of its own that says how much of the sums is of executions that were archived, by series alone: by hour,
and durations by day. Recounting adds it to what the rows come to; no coarser level is made from it."""

DIGEST_BITS = 42
"""A digest of an archived execution (in `archived`) is the number of its hour, and so many bits of a hash."""

ALL_SERIES, EACH_SERIES = 0, 1
"""Scopes: sums over all executions (their series is 0), and sums of each series."""

LABELS = ("agent_name", "model", "project", "source")
"""What makes a series. A project that is not known is "" in the database."""

Labels = tuple[str, str, str, str]

ERROR_UNSAID = ""
"""How the database keeps the kind of a failure that did not say."""


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
    """The sums of some rows.

    `series` lists the labels that occur, and `places` gives the index in it of each row. `aggregates` holds the columns
    of `Totals` by hour and place, `bins` the counts by day, place and bin, `errors` the failures by place, hour and
    error type. The keys of `aggregates` and `bins` are packed into one integer, bucket << 24 | place (<< 11 | bin):
    tuples would take three times as long for every row.
    """

    series: list[Labels] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    aggregates: dict[int, tuple[int, ...]] = field(default_factory=dict)
    bins: dict[int, int] = field(default_factory=dict)
    errors: dict[tuple[int, int, str], Failures] = field(default_factory=dict)


_PLACE_BITS, _BIN_BITS = 24, 11
_PLACE, _BIN = (1 << _PLACE_BITS) - 1, (1 << _BIN_BITS) - 1


_labels_of = getter(*LABELS)
_INSTANT, _SUCCESS, _DURATION, _ERROR = columns("timestamp_us", "success", "duration_us", "error_type")
_added_of = getter(
    "success", "duration_us", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "cost_nanousd", "reference_cost_nanousd",
)  # fmt: skip
_COST, _USAGE_BASIS, _RECORDED, _RECORDED_BASIS = columns(
    "cost_nanousd", "usage_basis", "recorded_cost_nanousd", "recorded_basis"
)
_bases_of = getter("usage_basis", "recorded_basis")


def places_of(rows: Iterable[ExecutionRow]) -> tuple[list[Labels], list[int]]:
    """The series that occur in rows, and which of them each row is of."""
    known: dict[Labels, int] = {}
    places = [known.setdefault(_labels_of(row), len(known)) for row in rows]
    return [(agent, model, project or "", source) for agent, model, project, source in known], places


def sum_up(rows: Sequence[ExecutionRow]) -> Sums:
    """The sums of rows (see `record.to_row`)."""
    sums = Sums(*places_of(rows))
    groups: dict[int, list[ExecutionRow]] = {}
    for row, place in zip(rows, sums.places, strict=True):
        key = row[_INSTANT] // HOUR_US << _PLACE_BITS | place
        if key in groups:
            groups[key].append(row)
        else:
            groups[key] = [row]
    is_plain = set(map(_bases_of, rows)) <= {(None, None)}
    sums.aggregates = {key: (*(cell := _cell(group)), *_bases(group, cell, is_plain)) for key, group in groups.items()}
    for key, cell in sums.aggregates.items():
        if cell[1] != cell[0]:
            _note_failures(sums, key & _PLACE, key >> _PLACE_BITS, groups[key])
    sums.bins = _bins(groups)
    return sums


def _cell(group: Sequence[ExecutionRow]) -> tuple[int, ...]:
    """The columns of `Totals` over some rows, but for those that `_bases` tells."""
    count = len(group)
    try:
        successes, duration, *tokens, cost, reference = map(sum, zip(*map(_added_of, group), strict=True))
    except TypeError:
        return _cell_of_partly_known(group)
    return (count, successes, count, duration, count, *tokens, count, cost, cost, reference)


def _cell_of_partly_known(group: Sequence[ExecutionRow]) -> tuple[int, ...]:
    """The same where something is not known."""
    successes, durations, inputs, *tokens, costs, references = zip(*map(_added_of, group), strict=True)
    pairs = [pair for pair in zip(costs, references, strict=True) if None not in pair]
    return (
        len(group),
        sum(successes),
        *_known(durations),
        *_known(inputs),
        *(_known(column)[1] for column in tokens),
        *_known(costs),
        sum(cost for cost, _ in pairs),
        sum(reference for _, reference in pairs),
    )


def _bases(group: Sequence[ExecutionRow], cell: tuple[int, ...], is_plain: bool) -> tuple[int, int]:
    """How many usages are provisional, and the cost as it was before any repricing. `is_plain` says that no row is
    either, as nearly always."""
    if is_plain:
        return 0, cell[TOTALS.index("cost_nanousd")]
    recorded = (row[_COST] if row[_RECORDED_BASIS] is None else row[_RECORDED] for row in group)
    return sum(row[_USAGE_BASIS] == PROVISIONAL for row in group), sum(filter(None, recorded))


def _known(column: tuple[Any, ...]) -> tuple[int, int]:
    """How many values are not None, and their sum."""
    absent = column.count(None)
    return len(column) - absent, sum(filter(None, column))


def _bins(groups: Mapping[int, Iterable[ExecutionRow]]) -> dict[int, int]:
    """How many rows have a duration in each bin, by day and series."""
    lows, bins = bin_lows(), Counter[int]()
    for key, group in groups.items():
        day = (key >> _PLACE_BITS) * HOUR_US // DAY_US
        first = (day << _PLACE_BITS | key & _PLACE) << _BIN_BITS
        bins.update(first + bisect_right(lows, row[_DURATION]) - 1 for row in group if row[_DURATION] is not None)
    return bins


def _note_failures(sums: Sums, place: int, hour: int, group: Iterable[ExecutionRow]) -> None:
    for row in group:
        if not row[_SUCCESS]:
            key = (place, hour, row[_ERROR] or ERROR_UNSAID)
            one = Failures(1, row[_INSTANT], row[_INSTANT])
            sums.errors[key] = sums.errors[key].merged(one) if key in sums.errors else one


def negated(sums: Sums) -> Sums:
    """What takes sums away again when it is added; the first and last instants of failures stay."""
    return Sums(
        sums.series,
        sums.places,
        {key: tuple(-value for value in cell) for key, cell in sums.aggregates.items()},
        {key: -count for key, count in sums.bins.items()},
        {key: found._replace(failures=-found.failures) for key, found in sums.errors.items()},
    )


def spread_aggregates(sums: Sums, ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows of `rollups`: the cells of every level and scope. `ids` are the numbers of the series in the database."""
    spread: list[tuple[int, ...]] = []
    for level, scope, found in _spread(sums.aggregates, HOUR, 0, lambda one, other: tuple(map(add, one, other))):
        numbers = ids if scope == EACH_SERIES else (0,)
        spread += [(scope, level, key >> _PLACE_BITS, numbers[key & _PLACE], *cell) for key, cell in found.items()]
    return spread


def spread_bins(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, int, int, int, int]]:
    """Rows of `rollup_durations`, likewise; the finest level is a day."""
    spread: list[tuple[int, int, int, int, int, int]] = []
    for level, scope, found in _spread(sums.bins, DAY, _BIN_BITS, add):
        numbers = ids if scope == EACH_SERIES else (0,)
        spread += [
            (scope, level, key >> _PLACE_BITS + _BIN_BITS, numbers[key >> _BIN_BITS & _PLACE], key & _BIN, count)
            for key, count in found.items()
        ]
    return spread


def _spread(
    finest: Mapping[int, V], level: int, more_bits: int, merged: Callable[[V, V], V]
) -> Iterator[tuple[int, int, Mapping[int, V]]]:
    """Level, scope and sums, for every level from `level` up. Keys are packed, with `more_bits` of further key."""
    shift = _PLACE_BITS + more_bits
    rest, no_place = (1 << shift) - 1, ~(_PLACE << more_bits)
    current = finest
    for upper in range(level, len(LEVELS_US)):
        if upper > level:
            ratio = LEVELS_US[upper] // LEVELS_US[upper - 1]
            keys = [(key >> shift) // ratio << shift | key & rest for key in current]
            current = _merge(keys, current.values(), merged)
        yield upper, EACH_SERIES, current
        yield upper, ALL_SERIES, _merge([key & no_place for key in current], current.values(), merged)


def _merge(keys: Iterable[int], values: Iterable[V], merged: Callable[[V, V], V]) -> dict[int, V]:
    found: dict[int, V] = {}
    for key, value in zip(keys, values, strict=True):
        found[key] = merged(found[key], value) if key in found else value
    return found


def spread_errors(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, int, str, int, int, int]]:
    """Rows of `rollup_errors`: the failures of every level, by series."""
    spread: dict[tuple[int, int, int, str], Failures] = {}
    for (place, hour, kind), found in sums.errors.items():
        for level, size in enumerate(LEVELS_US):
            key = (level, hour * HOUR_US // size, ids[place], kind)
            spread[key] = spread[key].merged(found) if key in spread else found
    return [(*key, *found) for key, found in spread.items()]


class RollupPlan(NamedTuple):
    """A period taken apart: buckets [first, end) of levels, in no overlap, and the rows at the edges. `inside` is the
    period that the buckets cover; empty where none fits. `archived` is the period in which executions may be archived;
    empty where none is, or where roll-ups do not know what is asked."""

    buckets: tuple[tuple[int, int, int], ...]
    edges: tuple[Window, ...]
    inside: Window
    archived: Window = Window(0, 0)

    def points(self, size_us: int) -> Iterator[tuple[int, int]]:
        """The buckets [first, end) of a length that begin in an edge, as far as something is archived. What is archived
        has no instant but the beginning of its bucket, so that it lies in one of two periods that meet, whatever
        instant divides them."""
        low, high = self.archived.start_us or 0, self.archived.end_us or 0
        for edge in self.edges if high else ():
            start, end = max(edge.start_us or 0, low), high if edge.end_us is None else min(edge.end_us, high)
            first, last = -(-start // size_us), -(-end // size_us)
            if first < last:
                yield first, last


def plan_buckets(start_us: int, end_us: int, finest: int, coarsest: int = ERA) -> RollupPlan:
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
        return RollupPlan((), (Window(start_us, end_us),), Window(start_us, start_us))
    edges = ((start_us, low), (high, end_us))
    return RollupPlan(tuple(buckets), tuple(Window(*edge) for edge in edges if edge[0] < edge[1]), Window(low, high))


def merged_windows(buckets: Iterable[int], size_us: int) -> list[Window]:
    """The periods that buckets cover, neighbours as one; ascending."""
    ordered = sorted(buckets)
    starts = [bucket for before, bucket in pairwise([-2, *ordered]) if bucket != before + 1]
    ends = [bucket + 1 for bucket, after in pairwise([*ordered, -2]) if after != bucket + 1]
    return [Window(start * size_us, end * size_us) for start, end in zip(starts, ends, strict=True)]
