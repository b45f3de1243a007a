"""Roll-ups: sums of executions by time and series. Sums of sums are exact.

| word   | meaning                                                                       |
|--------|-------------------------------------------------------------------------------|
| series | one combination of agent, model, project and source                           |
| span   | the first and last instant of a workflow, session, branch, host and user in a day |
| part   | what a run has in one day, workflow and series (see `run_parts`)               |
| seat   | one combination of host and user (see `seats`)                                |
| level  | a length of time: an hour, a day, 32 days, 1024 days                          |
| bucket | one period of a level in UTC; its number counts such periods since the epoch  |
| bin    | a range of durations (see `histogram`)                                        |

Everything is additive, or a first and last instant. So a period is answered from the coarsest whole buckets in it and
the rows at its edges, and the order in which executions arrive does not matter.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from operator import add, mul
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from claude_force.clock import DAY_US, HOUR_US
from claude_force.errors import DatabaseError
from claude_force.executions.billed_steps import Share, Whole, decode_steps, model_shares
from claude_force.executions.columns import RUN_NAMES, Columns, Labels, Rows, blocks_of, labels_of
from claude_force.executions.histogram import bin_lows
from claude_force.executions.record import PROVISIONAL, STEP_TOKENS, ExecutionRow, columns, getter
from claude_force.executions.totals import TOTALS
from claude_force.time_windows import Window

if TYPE_CHECKING:
    from claude_force.executions.run_parts import PartKey, RunPart
    from claude_force.executions.seats import Seat

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

SpanKey = tuple[int, str | None, str | None, str | None]
"""A day since the epoch (UTC), and the workflow, session and branch as an execution stores them."""

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
    """The sums of some executions.

    `series` lists the series that occur. `aggregates` holds the columns of `Totals` by hour and series index, as one
    integer (see `packed`), `bins` the counts by day, series index and bin, `errors` the failures by series index, hour
    and error type, `spans` the first and last instants by day and names, `parts` the parts of runs by series index. The
    keys of `aggregates` and `bins` are packed into one integer, bucket << 24 | series index (<< 11 | bin): tuples would
    take three times as long. `seats` lists the seats that occur; `of_seats` and `seat_bins` hold what each of them has
    (see `executions.seats`), and nothing as long as one seat has all. No column of any cell, and no sum of cells, is
    larger than `most`.
    """

    series: list[Labels] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    aggregates: dict[int, int] = field(default_factory=dict)
    bins: Counter[int] = field(default_factory=Counter)
    errors: dict[tuple[int, int, str], Failures] = field(default_factory=dict)
    spans: dict[SpanKey, tuple[int, int]] = field(default_factory=dict)
    parts: dict[PartKey, RunPart] = field(default_factory=dict)
    of_seats: dict[int, int] = field(default_factory=dict)
    seat_bins: Counter[int] = field(default_factory=Counter)
    most: int = 0

    def grow(self, largest: int) -> None:
        """Note that the columns grow by so much at most. Raises DatabaseError where one could leave its 64 bits."""
        self.most += largest
        if self.most > _LARGEST_SUM:
            raise DatabaseError("what these executions cost, or their tokens, add up to more than a database can hold")

    def add_parts(self, parts: Iterable[tuple[PartKey, RunPart]]) -> None:
        """Add parts of runs."""
        for key, part in parts:
            self.parts[key] = self.parts[key].merged(part) if key in self.parts else part


SPAN_NAMES = ("workflow_id", "session_id", "git_branch", "host", "user_name")
"""The fields of executions that a span is of."""

SERIES_BITS, BIN_BITS = 24, 11
"""The width of a series and of a bin in a key of `Sums`."""

SERIES_MASK = (1 << SERIES_BITS) - 1

_CELL = struct.Struct(f"<{len(TOTALS)}q")
_BIAS = sum(1 << 64 * position + 63 for position in range(len(TOTALS)))
_LARGEST_SUM = (1 << 63) - 1
"""What a column of a database holds."""

_INSTANT, _STEPS = columns("timestamp_us", "steps")
_whole_of = getter(
    "model", "cost_nanousd", "reference_cost_nanousd", "recorded_cost_nanousd", "recorded_basis", "steps"
)
_SHARED = tuple(TOTALS.index(name) for name in Share._fields)
"""Where the fields of a `Share` are among those of `Totals`."""


def packed(totals: Iterable[int]) -> int:
    """The columns of `Totals` as one integer, 64 bits for each. Adding two of them adds every column."""
    return sum(value << 64 * position for position, value in enumerate(totals))


def unpacked(cell: int) -> tuple[int, ...]:
    """The columns of `Totals` in such an integer. They may be negative."""
    return _CELL.unpack(((cell + _BIAS) ^ _BIAS).to_bytes(_CELL.size, "little"))


def sum_up(rows: Rows) -> Sums:
    """The sums of executions. Raises DatabaseError if they are larger than a database can hold."""
    sums = Sums()
    for block in blocks_of(rows):
        add_block(sums, block)
    return sums


def add_block(sums: Sums, block: Columns) -> None:
    """Add executions to sums. Raises DatabaseError if their sums are larger than a database can hold."""
    if not block:
        return
    known = {labels: index for index, labels in enumerate(sums.series)}
    indexes = [known.setdefault(labels, len(known)) for labels in block.series]
    sums.series = list(known)
    instants, places = block.values("timestamp_us"), block.places
    keys = [instant // HOUR_US << SERIES_BITS | indexes[place] for instant, place in zip(instants, places, strict=True)]
    # Imported here: a report, which plans by this module, adds nothing up.
    from claude_force.executions.seats import add_seats

    measures = _measures(block)
    sums.grow(max(map(sum, {id(column): column for column in measures}.values())))
    add_seats(sums, block, keys, measures)
    _add_aggregates(sums, keys, block, measures)
    sums.bins.update(bins_by(keys, block.values("duration_us")))
    _add_spans(sums.spans, block)
    if block.same.get("success") != 1:
        _add_failures(sums, keys, block)
    if block.has("steps"):
        _add_shares(sums, block)


def _measures(found: Columns) -> list[list[int]]:
    """What each execution adds to the columns of `Totals`. Equal columns are one list, and so are those of zeros."""
    size = len(found)
    ones, zeros = [1] * size, [0] * size

    def known(name: str) -> tuple[list[int], list[int]]:
        """Which values are known (1 or 0), and the values with 0 for the others."""
        if found.same.get(name, ...) in (None, 0):
            return (zeros if found.same[name] is None else ones), zeros
        values = found.values(name)
        if None not in values:
            return ones, values
        return [int(value is not None) for value in values], [value or 0 for value in values]

    timed, durations = known("duration_us")
    metered, inputs = known("input_tokens")
    priced, costs = known("cost_nanousd")
    compared, references = known("reference_cost_nanousd")
    compared_costs = costs
    if priced is not ones or compared is not ones:
        both = [one & other for one, other in zip(priced, compared, strict=True)]
        compared_costs, references = list(map(mul, costs, both)), list(map(mul, references, both))
    provisional, recorded = zeros, costs
    if found.has("usage_basis"):
        provisional = [int(basis == PROVISIONAL) for basis in found.values("usage_basis")]
    if found.has("recorded_basis"):
        before = zip(costs, known("recorded_cost_nanousd")[1], found.values("recorded_basis"), strict=True)
        recorded = [cost if basis is None else old for cost, old, basis in before]
    tokens = [known(name)[1] for name in STEP_TOKENS[1:]]
    return [
        ones, known("success")[1], timed, durations, metered, inputs, *tokens, priced, costs, compared_costs,
        references, provisional, recorded,
    ]  # fmt: skip


def _add_aggregates(sums: Sums, keys: Sequence[int], block: Columns, measures: Sequence[list[int]]) -> None:
    """Add the sums of a block by key, and those of the parts of its runs."""
    if any(map(block.has, RUN_NAMES)):
        from claude_force.executions.run_parts import block_parts, key_of, numbered

        # By hour and run at once: a run has few hours, so that little is left to add up by either.
        numbers, runs = numbered(block, keys)
        cells = list(sums_by(numbers, measures).values())
        found = merged([key for key, *_ in runs], cells)
        parts = [key_of(day_of(key), key & SERIES_MASK, *names) for key, *names in runs]
        sums.add_parts(block_parts(block, numbers, parts, cells))
    else:
        found = sums_by(keys, measures)
    for key, cell in found.items():
        sums.aggregates[key] = sums.aggregates.get(key, 0) + cell


_Key = TypeVar("_Key")


def sums_by(keys: Sequence[_Key], measures: Sequence[list[int]]) -> dict[_Key, int]:
    """The packed sums of measures (columns of `Totals`) by key."""
    # Few of the columns differ; only those are added up.
    differing = {id(column): column for column in measures if any(column)}
    count, width = len(differing), 8 * len(differing)
    values = _pack(differing.values())
    narrow: dict[_Key, int] = {}
    # A cell is one integer with 64 bits for each column: adding two cells is one addition.
    get, number = narrow.get, int.from_bytes
    for key, (value,) in zip(keys, struct.iter_unpack(f"{width}s", values), strict=True):
        narrow[key] = get(key, 0) + number(value, "little")
    totals = struct.unpack(
        f"<{len(narrow) * count}q", b"".join(cell.to_bytes(width, "little") for cell in narrow.values())
    )
    column_of = {column: totals[place::count] for place, column in enumerate(differing)}
    wide = _pack([column_of.get(id(column), [0] * len(narrow)) for column in measures])
    cells = struct.iter_unpack(f"{_CELL.size}s", wide)
    return {key: number(cell, "little") for key, (cell,) in zip(narrow, cells, strict=True)}


def merged(keys: Iterable[int], values: Iterable[int]) -> dict[int, int]:
    """The sums of values by key."""
    found: dict[int, int] = {}
    get = found.get
    for key, value in zip(keys, values, strict=True):
        found[key] = get(key, 0) + value
    return found


def _pack(columns: Iterable[Sequence[int]]) -> bytes:
    """The values of columns, row by row, in eight bytes each."""
    values = list(chain.from_iterable(zip(*columns, strict=True)))
    return struct.pack(f"<{len(values)}q", *values)


def collect_sums(
    aggregates: Iterable[tuple[Labels, int, tuple[int, ...]]],
    bins: Iterable[tuple[Labels, int, int, int]],
    errors: Iterable[tuple[Labels, int, str, Failures]],
) -> Sums:
    """The sums of stored ones: of each series the totals of hours, the executions of bins by day, and the failures of
    error types by hour."""
    known: dict[Labels, int] = {}
    sums = Sums()
    for labels, hour, totals in aggregates:
        sums.aggregates[hour << SERIES_BITS | known.setdefault(labels, len(known))] = packed(totals)
    for labels, day, number, count in bins:
        series = day << SERIES_BITS | known.setdefault(labels, len(known))
        sums.bins[series << BIN_BITS | number] = count
    for labels, hour, error_type, failures in errors:
        sums.errors[known.setdefault(labels, len(known)), hour, error_type] = failures
    sums.series = list(known)
    return sums


def shares_of(row: ExecutionRow) -> dict[Labels, Share]:
    """What the steps of an execution add to the sums of each series (see `billed_steps.model_shares`); nothing for
    one without steps."""
    model, cost, reference, recorded, basis, text = _whole_of(row)
    steps = decode_steps(text)
    if steps is None:
        return {}
    whole = Whole(model, cost, reference, cost if basis is None else recorded, is_repriced=basis is not None)
    agent, _, project, source = labels_of(row)
    return {(agent, name, project, source): share for name, share in model_shares(whole, steps).items()}


def _add_shares(sums: Sums, rows: Iterable[ExecutionRow]) -> None:
    """Add what steps move between series."""
    from claude_force.executions.run_parts import part_key, share_part
    from claude_force.executions.seats import add_share

    known = {labels: index for index, labels in enumerate(sums.series)}
    for row in rows:
        for labels, share in shares_of(row).items() if row[_STEPS] is not None else ():
            index = known.setdefault(labels, len(known))
            if index == len(sums.series):
                sums.series.append(labels)
            key = row[_INSTANT] // HOUR_US << SERIES_BITS | index
            sums.grow(max(map(abs, share)))
            moved = sum(value << 64 * position for position, value in zip(_SHARED, share, strict=True))
            sums.aggregates[key] = sums.aggregates.get(key, 0) + moved
            add_share(sums, row, key, moved)
            if of_run := part_key(row, index):
                sums.add_parts([(of_run, share_part(row, moved, share))])


def day_of(key: int) -> int:
    """The day of an hour and series."""
    return (key >> SERIES_BITS) // (DAY_US // HOUR_US)


def bins_by(keys: Sequence[int], durations: Sequence[int | None]) -> Iterable[int]:
    """The bin of each known duration, with its day and series. `keys` are hours and series."""
    # A bin is the number of the lows that are not above the duration, less one.
    bases = {key: ((day_of(key) << SERIES_BITS | key & SERIES_MASK) << BIN_BITS) - 1 for key in set(keys)}
    timed = [duration for duration in durations if duration is not None]
    if len(timed) < len(keys):
        keys = [key for key, duration in zip(keys, durations, strict=True) if duration is not None]
    return map(add, map(bases.__getitem__, keys), map(partial(bisect_right, bin_lows()), timed))


def _add_spans(spans: dict[SpanKey, tuple[int, int]], block: Columns) -> None:
    """Extend the spans by the instants of a block."""
    instants = block.values("timestamp_us")
    keys = list(zip([instant // DAY_US for instant in instants], *map(block.values, SPAN_NAMES), strict=True))
    ascending = sorted(instants)
    if instants != ascending:
        keys = [keys[index] for index in sorted(range(len(keys)), key=instants.__getitem__)]
    # Of equal keys a dictionary keeps the last value.
    last = dict(zip(keys, ascending, strict=True))
    first = dict(zip(reversed(keys), reversed(ascending), strict=True))
    for key, instant in last.items():
        known = spans.get(key, (instant, instant))
        spans[key] = min(known[0], first[key]), max(known[1], instant)


def _add_failures(sums: Sums, keys: Sequence[int], found: Columns) -> None:
    names = ("success", "error_type", "timestamp_us")
    for key, success, error, instant in zip(keys, *map(found.values, names), strict=True):
        if not success:
            place = (key & SERIES_MASK, key >> SERIES_BITS, error or NO_ERROR_TYPE)
            one = Failures(1, instant, instant)
            sums.errors[place] = sums.errors[place].merged(one) if place in sums.errors else one


def negated(sums: Sums) -> Sums:
    """Sums that subtract these when they are added. First and last instants stay as they are."""
    return Sums(
        series=sums.series,
        aggregates={key: -aggregate for key, aggregate in sums.aggregates.items()},
        bins=Counter({key: -count for key, count in sums.bins.items()}),
        errors={key: found._replace(failures=-found.failures) for key, found in sums.errors.items()},
        parts={key: part.negated() for key, part in sums.parts.items()},
        seats=sums.seats,
        of_seats={key: -cell for key, cell in sums.of_seats.items()},
        seat_bins=Counter({key: -count for key, count in sums.seat_bins.items()}),
    )


class RollupPlan(NamedTuple):
    """How to answer a period: from `buckets`, each (level, first, end) without end, which do not overlap, and from the
    rows in `edges`. `inside` is the period that the buckets cover; empty if there are none. `archived` is the period
    that may have archived executions; empty if there are none, or if roll-ups cannot answer the question. `is_by_seat`:
    the buckets are those of hosts and users."""

    buckets: tuple[tuple[int, int, int], ...]
    edges: tuple[Window, ...]
    inside: Window
    archived: Window = Window(0, 0)
    is_by_seat: bool = False

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
        first, end = -(-start_us // size), end_us // size
        if low is None or high is None:
            if first < end:
                buckets.append((level, first, end))
                low, high = first * size, end * size
            continue
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
