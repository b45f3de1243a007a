"""Sums over time, by intervals of local time (see `intervals`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from claude_force import clock
from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import (
    SUMS,
    Projection,
    UnionQuery,
    history_range,
    plan_of,
    select_aggregates,
    totals_of,
)
from claude_force.database.queries.filter import IS_PENDING, PENDING, SERIES_NAMES, Filter, where
from claude_force.executions import intervals
from claude_force.executions.intervals import SHIFT_US, Interval, Spans
from claude_force.executions.rollups import ALL_SERIES, DAY, EACH_SERIES, HOUR, LEVELS_US, RollupPlan, merged_windows
from claude_force.executions.totals import Bucket, TimeRange, Totals
from claude_force.windows import Window

_WINDOWS_AT_ONCE = 100
"""Periods in one statement; SQLite takes 500 selects in one."""


def trend(connection: Connection, chosen: Filter, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The intervals, in local time of `zone`, that hold executions, oldest first. A week begins on Monday."""
    reach = history_within(connection, chosen.window)
    if reach is None:
        return []
    spans = clock.offset_spans(zone, reach.first_us - HOUR_US, reach.last_us)
    reading, offsets, level = _local_time(interval, spans)
    plan = plan_of(connection, chosen, HOUR, coarsest=level)
    found: dict[tuple[int, ...], Totals] = {}
    for piece in (plan, *_divided(connection, plan, reading.whole, offsets)):
        aggregates = select_aggregates(chosen, piece, EACH_SERIES if chosen.has_labels else ALL_SERIES, reading)
        for row in _sums_over_time(connection, chosen, aggregates, offsets, len(reading.columns)):
            key, totals = tuple(map(int, row[: len(reading.columns)])), totals_of(row[len(reading.columns) :])
            found[key] = found[key] + totals if key in found else totals
    if interval == "hourly":
        return intervals.hours(found, spans)
    return intervals.days({place: totals for (place,), totals in found.items()}, interval, zone)


def history_within(connection: Connection, window: Window) -> TimeRange | None:
    """The extent of the executions, as far as it lies in a window; None where nothing does. An archived one is as early
    as its day."""
    reach, _ = history_range(connection)
    if reach is None:
        return None
    first = reach.first_us if window.start_us is None else max(reach.first_us, window.start_us)
    last = reach.last_us if window.end_us is None else min(reach.last_us, window.end_us - 1)
    return TimeRange(first, last) if first <= last else None


def _local_time(interval: Interval, spans: Spans) -> tuple[Projection, dict[str, int], int]:
    """How to read cells by intervals of local time: their columns, the parameters of these, and the coarsest level
    whose buckets are not longer than an interval. Where offsets or their changes are not whole buckets, a bucket that
    two intervals share may not be read."""
    unit = intervals.unit_of(interval)
    level = DAY if unit == LEVELS_US[DAY] and all(offset % unit == 0 for _, offset in spans) else HOUR
    size = LEVELS_US[level]
    offset, offsets = _offset_expression(spans)
    columns: tuple[str, ...] = (f"({{at}} + {offset} + {SHIFT_US}) / {unit}",)
    if interval == "hourly":
        columns += (offset,)
    is_aligned = all(offset % size == 0 for _, offset in spans) and all(until % size == 0 for until, _ in spans[:-1])
    # A clock that goes back over midnight and on again is at the end where it was at the beginning.
    changes = [
        f"{{at}} <> :until_{index} / {size} * {size}" for index, (until, _) in enumerate(spans[:-1]) if until % size
    ]
    ends = [(column, column.replace("{at}", f"({{at}} + {size - 1})")) for column in columns]
    whole = "" if is_aligned else " AND ".join([*(f"{first} = {last}" for first, last in ends), *changes])
    names = ("place", "offset_us")
    aliased = tuple(f"{column} AS {name}" for column, name in zip(columns, names, strict=False))
    return Projection(aliased, whole), offsets, level


def _offset_expression(spans: Spans) -> tuple[str, dict[str, int]]:
    """SQL for the offset from UTC of an instant {at}, and its parameters."""
    *earlier, (_, last) = spans
    if not earlier:
        return ":offset_last", {"offset_last": last}
    branches = [f"WHEN {{at}} < :until_{index} THEN :offset_{index}" for index in range(len(earlier))]
    parameters = {"offset_last": last}
    for index, (until, offset) in enumerate(earlier):
        parameters |= {f"until_{index}": until, f"offset_{index}": offset}
    return f"(CASE {' '.join(branches)} ELSE :offset_last END)", parameters


def _divided(connection: Connection, plan: RollupPlan, whole: str, offsets: dict[str, int]) -> Iterator[RollupPlan]:
    """The periods of the buckets that intervals share, whose rows must be read, a few at a time."""
    if not whole or not plan.buckets:
        return
    (level, first, end), size = plan.buckets[0], LEVELS_US[plan.buckets[0][0]]
    start, stop = plan.inside.start_us, plan.inside.end_us
    bucket = "(timestamp_us / {size} * {size})".replace("{size}", str(size))
    rows = connection.fetch(
        f"SELECT bucket FROM rollups WHERE scope = {ALL_SERIES} AND level = {level} AND bucket >= :first "
        f"AND bucket < :end AND NOT ({whole.format(at=f'bucket * {size}')}) "
        f"UNION SELECT timestamp_us / {size} FROM {PENDING} WHERE {IS_PENDING} "
        f"AND timestamp_us >= :start AND timestamp_us < :stop AND NOT ({whole.format(at=bucket)})",
        {"first": first, "end": end, "start": start, "stop": stop} | offsets,
    )
    windows = merged_windows((row[0] for row in rows), size)
    for index in range(0, len(windows), _WINDOWS_AT_ONCE):
        yield RollupPlan((), tuple(windows[index : index + _WINDOWS_AT_ONCE]), Window(0, 0), plan.archived)


def _sums_over_time(
    connection: Connection, chosen: Filter, aggregates: UnionQuery, offsets: dict[str, int], columns: int
) -> list[Row]:
    conditions, named = chosen.conditions(*SERIES_NAMES)
    names = ", ".join(("place", "offset_us")[:columns])
    return connection.fetch(
        f"SELECT {names}, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if chosen.has_labels else ''}{where(conditions)} GROUP BY {names}",
        aggregates.parameters | named | offsets,
    )
