"""Sums over time, by intervals of local time (see `executions.intervals`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import NamedTuple

from claude_force import clock
from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import (
    SUMS,
    Projection,
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

Key = tuple[int, ...]


class _LocalTime(NamedTuple):
    """The intervals of local time in SQL. `columns` name the interval of the instant {at}, with the parameters
    `offsets`; `level` is the coarsest one whose buckets are not longer than an interval. `shared` is the condition for
    a bucket that begins at {at} and belongs to several intervals; "" if there is none."""

    columns: tuple[str, ...]
    offsets: dict[str, int]
    level: int
    shared: str

    @property
    def last_columns(self) -> tuple[str, ...]:
        """The columns for the interval in which the bucket of {at} ends."""
        size = LEVELS_US[self.level]
        return tuple(column.format(at=f"({{at}} / {size} * {size} + {size - 1})") for column in self.columns)

    def named(self, *columns: str) -> tuple[str, ...]:
        """The columns with names: those of the interval, then of a second one."""
        names = [*(_KEYS[: len(self.columns)]), *(f"last_{key}" for key in _KEYS)]
        return tuple(f"{column} AS {name}" for column, name in zip(columns, names, strict=False))


def trend(connection: Connection, filters: Filter, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The intervals in local time of `zone` that hold executions, oldest first. A week begins on Monday."""
    history = history_within(connection, filters.window)
    if history is None:
        return []
    spans = clock.offset_spans(zone, history.first_us - HOUR_US, history.last_us)
    local = _local_time(interval, spans)
    sums = _sums(connection, filters, local)
    if interval == "hourly":
        return intervals.hours(sums, spans)
    return intervals.days({place: totals for (place,), totals in sums.items()}, interval, zone)


def _sums(connection: Connection, filters: Filter, local: _LocalTime) -> dict[Key, Totals]:
    """The sums by interval. A bucket that several intervals share counts for the last one; then what its rows say of
    the earlier ones is moved to these. So of an hour that two halves share, one half is read."""
    plan, columns = plan_of(connection, filters, HOUR, coarsest=local.level), local.columns
    if not local.shared or not plan.buckets:
        return _sums_of(connection, filters, plan, Projection(local.named(*columns)), local)
    sums = _sums_of(connection, filters, plan._replace(edges=()), Projection(local.named(*local.last_columns)), local)
    edges = plan._replace(buckets=(), inside=Window(0, 0))
    if edges.edges:
        _add(sums, _sums_of(connection, filters, edges, Projection(local.named(*columns)), local))
    differ = " OR ".join(f"{one} <> {last}" for one, last in zip(columns, local.last_columns, strict=True))
    projection = Projection(local.named(*columns, *local.last_columns), f"({differ})")
    for part in _shared_periods(connection, plan, local):
        for key, totals in _sums_of(connection, filters, part, projection, local).items():
            _add(sums, {key[: len(columns)]: totals})
            _add(sums, {key[len(columns) :]: Totals() - totals})
    return {key: totals for key, totals in sums.items() if not totals.is_empty}


def _add(sums: dict[Key, Totals], more: dict[Key, Totals]) -> None:
    for key, totals in more.items():
        sums[key] = sums[key] + totals if key in sums else totals


def history_within(connection: Connection, window: Window) -> TimeRange | None:
    """The part of the history that lies in a window, where an archived execution counts from the start of its day; None
    if it has none."""
    history, _ = history_range(connection)
    if history is None:
        return None
    first = history.first_us if window.start_us is None else max(history.first_us, window.start_us)
    last = history.last_us if window.end_us is None else min(history.last_us, window.end_us - 1)
    return TimeRange(first, last) if first <= last else None


def _local_time(interval: Interval, spans: Spans) -> _LocalTime:
    unit = intervals.unit_of(interval)
    level = DAY if unit == LEVELS_US[DAY] and all(offset % unit == 0 for _, offset in spans) else HOUR
    offset, offsets = _offset_expression(spans)
    columns = [f"({{at}} + {offset} + {SHIFT_US}) / {unit}"]
    if interval == "hourly":
        columns.append(offset)
    return _LocalTime(tuple(columns), offsets, level, _shared_buckets(columns, spans, LEVELS_US[level]))


def _shared_buckets(columns: list[str], spans: Spans, size: int) -> str:
    """The condition for buckets of `size` that intervals share: where offsets, or the instants at which they change,
    are not whole buckets. "" if none is shared."""
    changes = [until for until, _ in spans[:-1]]
    if all(offset % size == 0 for _, offset in spans) and all(until % size == 0 for until in changes):
        return ""
    ends = [f"{column} <> {column.replace('{at}', f'({{at}} + {size - 1})')}" for column in columns]
    # A clock that goes back over midnight and forward again shows the same interval at both ends of a bucket.
    changed = [f"{{at}} = :until_{index} / {size} * {size}" for index, until in enumerate(changes) if until % size]
    return f"({' OR '.join([*ends, *changed])})"


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


def _shared_periods(connection: Connection, plan: RollupPlan, local: _LocalTime) -> Iterator[RollupPlan]:
    """Plans that read the rows of the buckets that intervals share, a few periods each."""
    (level, first, end), size = plan.buckets[0], LEVELS_US[plan.buckets[0][0]]
    rows = connection.fetch(
        f"SELECT bucket FROM rollups WHERE scope = {ALL_SERIES} AND level = {level} AND bucket >= :first "
        f"AND bucket < :end AND {local.shared.format(at=f'bucket * {size}')} "
        f"UNION SELECT timestamp_us / {size} FROM {PENDING} WHERE {IS_PENDING} AND timestamp_us >= :start "
        f"AND timestamp_us < :stop AND {local.shared.format(at=f'(timestamp_us / {size} * {size})')}",
        {"first": first, "end": end, "start": plan.inside.start_us, "stop": plan.inside.end_us} | local.offsets,
    )
    windows = merged_windows((row[0] for row in rows), size)
    for index in range(0, len(windows), _WINDOWS_AT_ONCE):
        yield RollupPlan((), tuple(windows[index : index + _WINDOWS_AT_ONCE]), Window(0, 0), plan.archived)


def _sums_of(
    connection: Connection, filters: Filter, plan: RollupPlan, projection: Projection, local: _LocalTime
) -> dict[Key, Totals]:
    """The sums by the columns of a projection."""
    aggregates = select_aggregates(filters, plan, EACH_SERIES if filters.has_labels else ALL_SERIES, projection)
    conditions, named = filters.conditions(*SERIES_NAMES)
    keys = [column.rpartition(" AS ")[2] for column in projection.columns]
    names = ", ".join(keys)
    rows = connection.fetch(
        f"SELECT {names}, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if filters.has_labels else ''}{where(conditions)} GROUP BY {names}",
        aggregates.parameters | named | local.offsets,
    )
    return {tuple(map(int, row[: len(keys)])): totals_of(row[len(keys) :]) for row in rows}
