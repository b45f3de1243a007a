"""Sums over time, by intervals of local time (see `executions.intervals`)."""

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
from claude_force.time_windows import Window

_WINDOWS_AT_ONCE = 100
"""Periods in one statement; SQLite allows 500 selects in one."""

_KEYS = ("place", "offset_us")
"""The columns that name an interval: its number, and for hours its offset from UTC."""


def trend(connection: Connection, filters: Filter, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The intervals in local time of `zone` that hold executions, oldest first. A week begins on Monday."""
    history = history_within(connection, filters.window)
    if history is None:
        return []
    spans = clock.offset_spans(zone, history.first_us - HOUR_US, history.last_us)
    projection, offsets, level = _local_time(interval, spans)
    keys = len(projection.columns)
    plan = plan_of(connection, filters, HOUR, coarsest=level)
    scope = EACH_SERIES if filters.has_labels else ALL_SERIES
    sums: dict[tuple[int, ...], Totals] = {}
    for piece in (plan, *_divided(connection, plan, projection.is_whole, offsets)):
        aggregates = select_aggregates(filters, piece, scope, projection)
        for row in _sums_over_time(connection, filters, aggregates, offsets, keys):
            key, totals = tuple(map(int, row[:keys])), totals_of(row[keys:])
            sums[key] = sums[key] + totals if key in sums else totals
    if interval == "hourly":
        return intervals.hours(sums, spans)
    return intervals.days({place: totals for (place,), totals in sums.items()}, interval, zone)


def history_within(connection: Connection, window: Window) -> TimeRange | None:
    """The part of the history that lies in a window, where an archived execution counts from the start of its day; None
    if it has none."""
    history, _ = history_range(connection)
    if history is None:
        return None
    first = history.first_us if window.start_us is None else max(history.first_us, window.start_us)
    last = history.last_us if window.end_us is None else min(history.last_us, window.end_us - 1)
    return TimeRange(first, last) if first <= last else None


def _local_time(interval: Interval, spans: Spans) -> tuple[Projection, dict[str, int], int]:
    """How to select aggregates by intervals of local time: the projection, its parameters, and the coarsest level whose
    buckets are not longer than an interval."""
    unit = intervals.unit_of(interval)
    level = DAY if unit == LEVELS_US[DAY] and all(offset % unit == 0 for _, offset in spans) else HOUR
    offset, offsets = _offset_expression(spans)
    columns = [f"({{at}} + {offset} + {SHIFT_US}) / {unit}"]
    if interval == "hourly":
        columns.append(offset)
    named = tuple(f"{column} AS {name}" for column, name in zip(columns, _KEYS, strict=False))
    return Projection(named, _whole_buckets(columns, spans, LEVELS_US[level])), offsets, level


def _whole_buckets(columns: list[str], spans: Spans, size: int) -> str:
    """The condition for buckets of `size` that lie in one interval: where offsets, or the instants at which they
    change, are not whole buckets, two intervals can share one. "" if none is shared."""
    changes = [until for until, _ in spans[:-1]]
    if all(offset % size == 0 for _, offset in spans) and all(until % size == 0 for until in changes):
        return ""
    ends = [f"{column} = {column.replace('{at}', f'({{at}} + {size - 1})')}" for column in columns]
    # A clock that goes back over midnight and forward again shows the same interval at both ends of a bucket.
    unchanged = [f"{{at}} <> :until_{index} / {size} * {size}" for index, until in enumerate(changes) if until % size]
    return " AND ".join([*ends, *unchanged])


def _offset_expression(spans: Spans) -> tuple[str, dict[str, int]]:
    """SQL for the offset from UTC at an instant {at}, and its parameters."""
    *earlier, (_, last) = spans
    if not earlier:
        return ":offset_last", {"offset_last": last}
    branches = [f"WHEN {{at}} < :until_{index} THEN :offset_{index}" for index in range(len(earlier))]
    parameters = {"offset_last": last}
    for index, (until, offset) in enumerate(earlier):
        parameters |= {f"until_{index}": until, f"offset_{index}": offset}
    return f"(CASE {' '.join(branches)} ELSE :offset_last END)", parameters


def _divided(connection: Connection, plan: RollupPlan, is_whole: str, offsets: dict[str, int]) -> Iterator[RollupPlan]:
    """Plans that read the rows of the buckets that intervals share, a few periods each."""
    if not is_whole or not plan.buckets:
        return
    (level, first, end), size = plan.buckets[0], LEVELS_US[plan.buckets[0][0]]
    rows = connection.fetch(
        f"SELECT bucket FROM rollups WHERE scope = {ALL_SERIES} AND level = {level} AND bucket >= :first "
        f"AND bucket < :end AND NOT ({is_whole.format(at=f'bucket * {size}')}) "
        f"UNION SELECT timestamp_us / {size} FROM {PENDING} WHERE {IS_PENDING} AND timestamp_us >= :start "
        f"AND timestamp_us < :stop AND NOT ({is_whole.format(at=f'(timestamp_us / {size} * {size})')})",
        {"first": first, "end": end, "start": plan.inside.start_us, "stop": plan.inside.end_us} | offsets,
    )
    windows = merged_windows((row[0] for row in rows), size)
    for index in range(0, len(windows), _WINDOWS_AT_ONCE):
        yield RollupPlan((), tuple(windows[index : index + _WINDOWS_AT_ONCE]), Window(0, 0), plan.archived)


def _sums_over_time(
    connection: Connection, filters: Filter, aggregates: UnionQuery, offsets: dict[str, int], keys: int
) -> list[Row]:
    conditions, named = filters.conditions(*SERIES_NAMES)
    names = ", ".join(_KEYS[:keys])
    return connection.fetch(
        f"SELECT {names}, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if filters.has_labels else ''}{where(conditions)} GROUP BY {names}",
        aggregates.parameters | named | offsets,
    )
