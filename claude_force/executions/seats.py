"""Seats: one combination of host and user each, and what they have of the sums. Pure.

| day   | series           | seat           | executions |
|-------|------------------|----------------|------------|
| 20421 | reviewer, sonnet | laptop, ada    | 10         |
| 20421 | reviewer, sonnet | ci-1, no user  | 3          |

A program sees one machine and one person, as a rule. Then the sums of its only seat are those of all series, and
nothing is added up twice. Only stored executions count: who worked is not known of archived ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from claude_force.executions.columns import Columns
from claude_force.executions.record import ExecutionRow, getter
from claude_force.executions.rollup_rows import spread
from claude_force.executions.rollups import (
    BIN_BITS,
    DAY,
    EACH_SERIES,
    SERIES_BITS,
    SERIES_MASK,
    Sums,
    bins_by,
    day_of,
    merged,
    sums_by,
    unpacked,
)

Seat = tuple[str, str]
"""A host and a user, "" for one that is not known."""

SEAT_NAMES = ("host", "user_name")
"""The fields that make a seat."""

_SEAT_BITS = 20
_SEAT = (1 << _SEAT_BITS) - 1
_names_of = getter(*SEAT_NAMES)


def add_seats(sums: Sums, block: Columns, keys: Sequence[int], measures: Sequence[list[int]]) -> None:
    """Add what the seats of a block have, before the block is added to the other sums. `keys` are the hours and series
    of its executions, `measures` their columns of `Totals`."""
    pairs = _pairs(block)
    known = {seat: number for number, seat in enumerate(sums.seats)}
    for pair in dict.fromkeys(pairs):
        known.setdefault(_seat(*pair), len(known))
    before, sums.seats = len(sums.seats), list(known)
    if len(known) < 2:
        return
    if before == 1:
        sums.of_seats, sums.seat_bins = _of_all(sums.aggregates), Counter(_bins_of_all(sums.bins))
    if len(pairs) == 1:
        pairs = pairs * len(keys)
    numbers = [known[_seat(*pair)] for pair in pairs]
    days = {key: (day_of(key) << SERIES_BITS | key & SERIES_MASK) << _SEAT_BITS for key in set(keys)}
    cells = sums_by([days[key] | number for key, number in zip(keys, numbers, strict=True)], measures)
    for key, cell in cells.items():
        sums.of_seats[key] = sums.of_seats.get(key, 0) + cell
    hours = [key & ~SERIES_MASK | number for key, number in zip(keys, numbers, strict=True)]
    sums.seat_bins.update(bins_by(hours, block.values("duration_us")))


def add_share(sums: Sums, row: ExecutionRow, key: int, moved: int) -> None:
    """Add what steps of an execution move to the packed sums of an hour and a series, the key."""
    if len(sums.seats) > 1:
        place = (day_of(key) << SERIES_BITS | key & SERIES_MASK) << _SEAT_BITS | sums.seats.index(
            _seat(*_names_of(row))
        )
        sums.of_seats[place] = sums.of_seats.get(place, 0) + moved


def spread_seats(
    sums: Sums, series_ids: Sequence[int], seat_ids: Sequence[int], of_all: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Rows for `rollup_seats`, at every level from the day, of all series and of each. The ids are those of
    `sums.series` and `sums.seats` in the database; `of_all` are the rows for `rollups`."""
    if len(sums.seats) < 2:
        return [(*row[:4], seat_id, *row[4:]) for seat_id in seat_ids for row in of_all if row[1] >= DAY]
    rows: list[tuple[int, ...]] = []
    for level, scope, found in spread(sums.of_seats, DAY, _SEAT_BITS):
        ids = series_ids if scope == EACH_SERIES else (0,)
        rows += [
            (
                scope,
                level,
                key >> SERIES_BITS + _SEAT_BITS,
                ids[key >> _SEAT_BITS & SERIES_MASK],
                seat_ids[key & _SEAT],
                *unpacked(cell),
            )
            for key, cell in sorted(found.items())
        ]
    return rows


def spread_seat_bins(sums: Sums, seat_ids: Sequence[int]) -> list[tuple[int, list[tuple[int, int]]]]:
    """Level, and the counts of bins for `rollup_seat_durations`, whose keys are those of `Sums.bins` with the id of a
    seat in place of the series."""
    if not sums.seats:
        return []
    finest = sums.seat_bins if len(sums.seats) > 1 else _bins_of_all(sums.bins)
    shifts = [seat_id - number << BIN_BITS for number, seat_id in enumerate(seat_ids)]
    of_ids = {key + shifts[key >> BIN_BITS & SERIES_MASK]: count for key, count in finest.items()}
    levels = spread(of_ids, DAY, BIN_BITS)
    return [(level, sorted(found.items())) for level, scope, found in levels if scope == EACH_SERIES]


def _pairs(block: Columns) -> list[tuple[str | None, str | None]]:
    """The host and user of each execution; one pair if all have the same."""
    if any(name in block.each for name in SEAT_NAMES):
        return list(zip(*map(block.values, SEAT_NAMES), strict=True))
    host, user = map(block.same.get, SEAT_NAMES)
    return [(host, user)]


def _seat(host: str | None, user: str | None) -> Seat:
    return host or "", user or ""


def _of_all(aggregates: Mapping[int, int]) -> dict[int, int]:
    """Sums by day and series of the first seat, from those by hour and series of all."""
    keys = [(day_of(key) << SERIES_BITS | key & SERIES_MASK) << _SEAT_BITS for key in aggregates]
    return merged(keys, aggregates.values())


def _bins_of_all(bins: Mapping[int, int]) -> dict[int, int]:
    """Bins of the first seat, from those of all series."""
    no_series = ~(SERIES_MASK << BIN_BITS)
    return merged([key & no_series for key in bins], bins.values())
