"""Roll-ups: sums of executions by time and series. Sums of sums are exact.

| word   | meaning                                                                       |
|--------|-------------------------------------------------------------------------------|
| series | one combination of agent, model, project and source                           |
| level  | a length of time: an hour, a day, 32 days, 1024 days                          |
| bucket | one period of a level in UTC; its number counts such periods since the epoch  |
| bin    | a range of durations (see `histogram`)                                        |

Everything is additive, or a first and last instant. So a period is answered from the coarsest whole buckets in it and
the rows at its edges, and the order in which executions arrive does not matter.
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
from claude_force.executions.billed_steps import Share, Whole, decode_steps, model_shares
from claude_force.executions.histogram import bin_lows
from claude_force.executions.record import PROVISIONAL, ExecutionRow, columns, getter
from claude_force.executions.totals import TOTALS
from claude_force.time_windows import Window

V = TypeVar("V")

LEVELS_US = (HOUR_US, DAY_US, 32 * DAY_US, 1024 * DAY_US)
"""The length of each level; a multiple of the one before."""

HOUR, DAY, ERA = 0, 1, len(LEVELS_US) - 1
"""The finest level, the finest level with durations, and the coarsest level."""

ARCHIVED = -1
"""A separate level with the sums of archived executions, for each series: by hour, durations by day. A rebuild of the
roll-ups adds them to the sums of the rows. It has no coarser levels."""

DIGEST_BITS = 42
"""The digest of an archived execution (table `archived`) is the number of its hour and this many bits of a hash."""

ALL_SERIES, EACH_SERIES = 0, 1
"""Scopes: the sums of all executions (as series 0), and the sums of each series."""

LABELS = ("agent_name", "model", "project", "source")
"""The fields that make a series. An unknown project is "" in the database."""

Labels = tuple[str, str, str, str]

NO_ERROR_TYPE = ""
"""What the database stores for a failure without an error type."""


class Failures(NamedTuple):
    """The failures of one error type, and the instants of the first and last of them."""

    failures: int
    first_us: int
    last_us: int

    def merged(self, other: Failures) -> Failures:
        """The sum of both."""
        return Failures(
            self.failures + other.failures, min(self.first_us, other.first_us), max(self.last_us, other.last_us)
        )


@dataclass(slots=True)
class Sums:
    """The sums of some rows.

    `series` lists the series that occur, and `series_of_rows` has the index in it of each row. `aggregates` holds the
    columns of `Totals` by hour and series index, `bins` the counts by day, series index and bin, `errors` the failures
    by series index, hour and error type. The keys of `aggregates` and `bins` are packed into one integer,
    bucket << 24 | series index (<< 11 | bin): tuples would take three times as long for every row.
    """

    series: list[Labels] = field(default_factory=list)
    series_of_rows: list[int] = field(default_factory=list)
    aggregates: dict[int, tuple[int, ...]] = field(default_factory=dict)
    bins: dict[int, int] = field(default_factory=dict)
    errors: dict[tuple[int, int, str], Failures] = field(default_factory=dict)


_SERIES_BITS, _BIN_BITS = 24, 11
_SERIES, _BIN = (1 << _SERIES_BITS) - 1, (1 << _BIN_BITS) - 1


_labels_of = getter(*LABELS)
_INSTANT, _SUCCESS, _DURATION, _ERROR = columns("timestamp_us", "success", "duration_us", "error_type")
_added_of = getter(
    "success", "duration_us", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens",
    "cache_write_1h_tokens", "cost_nanousd", "reference_cost_nanousd",
)  # fmt: skip
_COST, _USAGE_BASIS, _RECORDED, _RECORDED_BASIS, _STEPS = columns(
    "cost_nanousd", "usage_basis", "recorded_cost_nanousd", "recorded_basis", "steps"
)
_NOTHING = (0,) * len(TOTALS)
_bases_of = getter("usage_basis", "recorded_basis", "steps")
_whole_of = getter(
    "model", "cost_nanousd", "reference_cost_nanousd", "recorded_cost_nanousd", "recorded_basis", "steps"
)
_SHARED = tuple(TOTALS.index(name) for name in Share._fields)
"""Where the fields of a `Share` are among those of `Totals`."""


def index_series(rows: Iterable[ExecutionRow]) -> tuple[list[Labels], list[int]]:
    """The series that occur in rows, and the index of the series of each row."""
    known: dict[Labels, int] = {}
    indexes = [known.setdefault(_labels_of(row), len(known)) for row in rows]
    return [(agent, model, project or "", source) for agent, model, project, source in known], indexes


def sum_up(rows: Sequence[ExecutionRow]) -> Sums:
    """The sums of rows."""
    sums = Sums(*index_series(rows))
    groups: dict[int, list[ExecutionRow]] = {}
    for row, index in zip(rows, sums.series_of_rows, strict=True):
        key = row[_INSTANT] // HOUR_US << _SERIES_BITS | index
        if key in groups:
            groups[key].append(row)
        else:
            groups[key] = [row]
    is_plain = set(map(_bases_of, rows)) <= {(None, None, None)}
    sums.aggregates = {
        key: (*(aggregate := _aggregate(group)), *_usage_columns(group, aggregate, is_plain))
        for key, group in groups.items()
    }
    for key, aggregate in sums.aggregates.items():
        if aggregate[1] != aggregate[0]:
            _add_failures(sums, key & _SERIES, key >> _SERIES_BITS, groups[key])
    if not is_plain:
        _add_shares(sums, rows)
    sums.bins = _bins(groups)
    return sums


def shares_of(row: ExecutionRow) -> dict[Labels, Share]:
    """What the steps of an execution add to the sums of each series (see `billed_steps.model_shares`); nothing for
    one without steps."""
    model, cost, reference, recorded, basis, text = _whole_of(row)
    steps = decode_steps(text)
    if steps is None:
        return {}
    whole = Whole(model, cost, reference, cost if basis is None else recorded, is_repriced=basis is not None)
    agent, _, project, source = _labels_of(row)
    return {(agent, name, project or "", source): share for name, share in model_shares(whole, steps).items()}


def _add_shares(sums: Sums, rows: Sequence[ExecutionRow]) -> None:
    """Add what steps move between series."""
    known = {labels: index for index, labels in enumerate(sums.series)}
    for row in rows:
        for labels, share in shares_of(row).items() if row[_STEPS] is not None else ():
            index = known.setdefault(labels, len(known))
            if index == len(sums.series):
                sums.series.append(labels)
            key = row[_INSTANT] // HOUR_US << _SERIES_BITS | index
            totals = list(sums.aggregates.get(key, _NOTHING))
            for position, value in zip(_SHARED, share, strict=True):
                totals[position] += value
            sums.aggregates[key] = tuple(totals)


def _aggregate(group: Sequence[ExecutionRow]) -> tuple[int, ...]:
    """The columns of `Totals` for some rows, without the last two (see `_usage_columns`)."""
    count = len(group)
    try:
        successes, duration, *tokens, cost, reference = map(sum, zip(*map(_added_of, group), strict=True))
    except TypeError:
        # A sum met a None.
        return _aggregate_with_unknowns(group)
    return (count, successes, count, duration, count, *tokens, count, cost, cost, reference)


def _aggregate_with_unknowns(group: Sequence[ExecutionRow]) -> tuple[int, ...]:
    """The same if some values are not known."""
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


def _usage_columns(group: Sequence[ExecutionRow], aggregate: tuple[int, ...], is_plain: bool) -> tuple[int, int]:
    """How many usages are provisional, and the cost before any repricing: the last two columns of `Totals`. `is_plain`
    says that no row is provisional or repriced, as is nearly always so."""
    if is_plain:
        return 0, aggregate[TOTALS.index("cost_nanousd")]
    recorded = (row[_COST] if row[_RECORDED_BASIS] is None else row[_RECORDED] for row in group)
    return sum(row[_USAGE_BASIS] == PROVISIONAL for row in group), sum(filter(None, recorded))


def _known(column: tuple[Any, ...]) -> tuple[int, int]:
    """How many values are known, and their sum."""
    absent = column.count(None)
    return len(column) - absent, sum(filter(None, column))


def _bins(groups: Mapping[int, Iterable[ExecutionRow]]) -> dict[int, int]:
    """The number of durations in each bin, by day and series."""
    lows, bins = bin_lows(), Counter[int]()
    for key, group in groups.items():
        day = (key >> _SERIES_BITS) * HOUR_US // DAY_US
        first = (day << _SERIES_BITS | key & _SERIES) << _BIN_BITS
        bins.update(first + bisect_right(lows, row[_DURATION]) - 1 for row in group if row[_DURATION] is not None)
    return bins


def _add_failures(sums: Sums, series: int, hour: int, group: Iterable[ExecutionRow]) -> None:
    for row in group:
        if not row[_SUCCESS]:
            key = (series, hour, row[_ERROR] or NO_ERROR_TYPE)
            one = Failures(1, row[_INSTANT], row[_INSTANT])
            sums.errors[key] = sums.errors[key].merged(one) if key in sums.errors else one


def negated(sums: Sums) -> Sums:
    """Sums that subtract these when they are added. First and last instants stay as they are."""
    return Sums(
        sums.series,
        sums.series_of_rows,
        {key: tuple(-value for value in aggregate) for key, aggregate in sums.aggregates.items()},
        {key: -count for key, count in sums.bins.items()},
        {key: found._replace(failures=-found.failures) for key, found in sums.errors.items()},
    )


def spread_aggregates(sums: Sums, ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows for `rollups`, at every level and scope. `ids` are the ids of `sums.series` in the database."""
    spread: list[tuple[int, ...]] = []
    for level, scope, found in _spread(sums.aggregates, HOUR, 0, lambda one, other: tuple(map(add, one, other))):
        series_ids = ids if scope == EACH_SERIES else (0,)
        spread += [
            (scope, level, key >> _SERIES_BITS, series_ids[key & _SERIES], *aggregate)
            for key, aggregate in found.items()
        ]
    return spread


def spread_bins(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, int, int, int, int]]:
    """Rows for `rollup_durations`, likewise; the finest level is a day."""
    spread: list[tuple[int, int, int, int, int, int]] = []
    for level, scope, found in _spread(sums.bins, DAY, _BIN_BITS, add):
        series_ids = ids if scope == EACH_SERIES else (0,)
        spread += [
            (scope, level, key >> _SERIES_BITS + _BIN_BITS, series_ids[key >> _BIN_BITS & _SERIES], key & _BIN, count)
            for key, count in found.items()
        ]
    return spread


def _spread(
    finest: Mapping[int, V], level: int, more_bits: int, merged: Callable[[V, V], V]
) -> Iterator[tuple[int, int, Mapping[int, V]]]:
    """Level, scope and sums, for every level from `level` up. The packed keys have `more_bits` below the series."""
    shift = _SERIES_BITS + more_bits
    rest, no_series = (1 << shift) - 1, ~(_SERIES << more_bits)
    current = finest
    for upper in range(level, len(LEVELS_US)):
        if upper > level:
            ratio = LEVELS_US[upper] // LEVELS_US[upper - 1]
            keys = [(key >> shift) // ratio << shift | key & rest for key in current]
            current = _merge(keys, current.values(), merged)
        yield upper, EACH_SERIES, current
        yield upper, ALL_SERIES, _merge([key & no_series for key in current], current.values(), merged)


def _merge(keys: Iterable[int], values: Iterable[V], merged: Callable[[V, V], V]) -> dict[int, V]:
    found: dict[int, V] = {}
    for key, value in zip(keys, values, strict=True):
        found[key] = merged(found[key], value) if key in found else value
    return found


def spread_errors(sums: Sums, ids: Sequence[int]) -> list[tuple[int, int, int, str, int, int, int]]:
    """Rows for `rollup_errors`, at every level, for each series."""
    spread: dict[tuple[int, int, int, str], Failures] = {}
    for (series, hour, error_type), found in sums.errors.items():
        for level, size in enumerate(LEVELS_US):
            key = (level, hour * HOUR_US // size, ids[series], error_type)
            spread[key] = spread[key].merged(found) if key in spread else found
    return [(*key, *found) for key, found in spread.items()]


class RollupPlan(NamedTuple):
    """How to answer a period: from `buckets`, each (level, first, end) without end, which do not overlap, and from the
    rows in `edges`. `inside` is the period that the buckets cover; empty if there are none. `archived` is the period
    that may have archived executions; empty if there are none, or if roll-ups cannot answer the question."""

    buckets: tuple[tuple[int, int, int], ...]
    edges: tuple[Window, ...]
    inside: Window
    archived: Window = Window(0, 0)

    def archived_buckets(self, size_us: int) -> Iterator[tuple[int, int]]:
        """The buckets [first, end) of ARCHIVED that count for the edges: those that begin in one. An archived execution
        counts at the beginning of its bucket, so of two adjacent periods exactly one contains it."""
        low, high = self.archived.start_us or 0, self.archived.end_us or 0
        for edge in self.edges if high else ():
            start, end = max(edge.start_us or 0, low), high if edge.end_us is None else min(edge.end_us, high)
            first, last = -(-start // size_us), -(-end // size_us)
            if first < last:
                yield first, last


def plan_buckets(start_us: int, end_us: int, finest: int, coarsest: int = ERA) -> RollupPlan:
    """The coarsest whole buckets in [start, end), of the levels from `finest` to `coarsest`, and the edges at both
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
    """The periods that buckets cover, ascending; adjacent buckets become one period."""
    ordered = sorted(buckets)
    starts = [bucket for before, bucket in pairwise([-2, *ordered]) if bucket != before + 1]
    ends = [bucket + 1 for bucket, after in pairwise([*ordered, -2]) if after != bucket + 1]
    return [Window(start * size_us, end * size_us) for start, end in zip(starts, ends, strict=True)]
