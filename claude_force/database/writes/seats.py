"""Maintaining `rollup_seats` and `rollup_seat_durations`, in the caller's transaction, which holds the roll-up lock.

They have no sums of archived executions: these are subtracted as they leave, and added as they come back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.writes.numbered import Numbered
from claude_force.executions.billed_steps import Share
from claude_force.executions.rollup_rows import spread_aggregates
from claude_force.executions.rollups import ALL_SERIES, BIN_BITS, DAY, EACH_SERIES, ERA, LEVELS_US, SERIES_BITS, Sums
from claude_force.executions.seats import SEAT_NAMES, spread_seat_bins, spread_seats
from claude_force.executions.totals import TOTALS

_SEATS = Numbered("seats", "seat_id", SEAT_NAMES)
_SUMS = f"rollup_seats (scope, level, bucket, series_id, seat_id, {', '.join(TOTALS)})"
_ADD_SUMS = "ON CONFLICT (scope, level, bucket, series_id, seat_id) DO UPDATE SET " + ", ".join(
    f"{name} = rollup_seats.{name} + excluded.{name}" for name in TOTALS
)
_BINS = "rollup_seat_durations (level, bucket, seat_id, bin, executions)"
_ADD_BINS = (
    "ON CONFLICT (level, bucket, seat_id, bin) "
    "DO UPDATE SET executions = rollup_seat_durations.executions + excluded.executions"
)
BIN_VALUES = (
    f"CAST({{0}} AS BIGINT) >> {SERIES_BITS + BIN_BITS}, "
    f"(CAST({{0}} AS BIGINT) >> {BIN_BITS}) & {(1 << SERIES_BITS) - 1}, "
    f"CAST({{0}} AS BIGINT) & {(1 << BIN_BITS) - 1}, {{1}}"
)
"""Bucket, series or seat, bin and count, of a key of `Sums.bins` and its count."""

_TOTALS = ", ".join(f"SUM({name})" for name in TOTALS)
_BELOW = "level = :below AND bucket >= :below_first AND bucket < :below_end"
FOLD_SEATS = (
    f"INSERT INTO {_SUMS} SELECT {EACH_SERIES}, :level, bucket / :ratio, series_id, seat_id, {_TOTALS} "
    f"FROM rollup_seats WHERE scope = {EACH_SERIES} AND {_BELOW} GROUP BY 3, 4, 5"
)
FOLD_SEAT_BINS = (
    f"INSERT INTO {_BINS} SELECT :level, bucket / :ratio, seat_id, bin, SUM(executions) "
    f"FROM rollup_seat_durations WHERE {_BELOW} GROUP BY 2, 3, 4"
)
SUM_SEATS = (
    f"INSERT INTO {_SUMS} SELECT {ALL_SERIES}, level, bucket, 0, seat_id, {_TOTALS} FROM rollup_seats "
    f"WHERE scope = {EACH_SERIES} AND level = :level AND bucket >= :first AND bucket < :end "
    "GROUP BY level, bucket, seat_id"
)
_BUCKETS = "level = :level AND bucket >= :first AND bucket < :end"
_TABLES = (
    f"rollup_seats WHERE scope = {ALL_SERIES} AND {_BUCKETS}",
    f"rollup_seats WHERE scope = {EACH_SERIES} AND {_BUCKETS}",
    f"rollup_seat_durations WHERE {_BUCKETS}",
)
"""The rows of some buckets. With the scope, so that the primary key, whose first column it is, serves the search."""

_NOTHING = " AND ".join(f"{name} = 0" for name in ("executions", *Share._fields))
_ARE_EMPTY = (_NOTHING, _NOTHING, "executions = 0")


def add_seats(connection: Connection, sums: Sums, series_ids: Sequence[int], of_all: Sequence[tuple[int, ...]]) -> None:
    """Add what seats have to every level. `of_all` are the rows of the sums for `rollups`."""
    seat_ids = _SEATS.ids(connection, sums.seats)
    connection.insert_all(_SUMS, spread_seats(sums, series_ids, seat_ids, of_all), _ADD_SUMS)
    for level, counts in spread_seat_bins(sums, seat_ids):
        connection.insert_all(_BINS, counts, _ADD_BINS, f"{level}, {BIN_VALUES}")


def add_finest_seats(connection: Connection, sums: Sums, series_ids: Sequence[int]) -> None:
    """Add what seats have to the finest level, by series."""
    seat_ids, of_all = _SEATS.ids(connection, sums.seats), spread_aggregates(sums, series_ids)
    rows = [row for row in spread_seats(sums, series_ids, seat_ids, of_all) if row[:2] == (EACH_SERIES, DAY)]
    connection.insert_all(_SUMS, rows, _ADD_SUMS)
    for level, counts in spread_seat_bins(sums, seat_ids):
        if level == DAY:
            connection.insert_all(_BINS, counts, _ADD_BINS, f"{level}, {BIN_VALUES}")


def delete_seats(connection: Connection, buckets: dict[str, int]) -> None:
    """Delete what seats have in the buckets :first to :end of a :level."""
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}", buckets)


def delete_empty_seats(connection: Connection, days: Collection[int]) -> None:
    """Delete the sums of nothing that a subtraction left in the buckets of some days."""
    for level in range(DAY, ERA + 1):
        ratio = LEVELS_US[level] // DAY_US
        buckets = {"level": level, "first": min(days) // ratio, "end": max(days) // ratio + 1}
        for table, is_empty in zip(_TABLES, _ARE_EMPTY, strict=True):
            connection.execute(f"DELETE FROM {table} AND {is_empty}", buckets)
