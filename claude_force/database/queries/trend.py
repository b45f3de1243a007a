"""Sums over time, by intervals of local time (see `executions.intervals`).

Each part of the period in which the offset from UTC stays the same is answered by itself. Where the offset is not whole
hours, a local hour begins within an hour of UTC:

    UTC      |   06:00   |   07:00   |
    Kolkata        |   12:00   |   13:00   |

The sums of such an hour count for the interval in which it begins. Then what the rows of its second part say is moved
to the next interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo

from claude_force import clock
from claude_force.clock import HOUR_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import (
    COUNTS,
    SHARES,
    SUMS,
    history_range,
    plan_of,
    select_aggregates,
    totals_of,
)
from claude_force.database.queries.filter import IS_ROLLED_UP, SERIES, SERIES_NAMES, STEPS_ARE_ROLLED_UP, Filter, where
from claude_force.executions import intervals
from claude_force.executions.intervals import SHIFT_US, Interval, Spans
from claude_force.executions.rollups import ALL_SERIES, EACH_SERIES, HOUR, LEVELS_US, RollupPlan
from claude_force.executions.totals import Bucket, TimeRange, Totals
from claude_force.time_windows import Window

_HOURS = (
    f"(SELECT bucket, bucket * {HOUR_US} + :into_us AS second_us FROM rollups "
    f"WHERE scope = {ALL_SERIES} AND level = {HOUR} AND bucket >= :first AND bucket < :end) AS hours"
)
"""The hours of UTC, and the instant in each at which its second part begins."""

Key = tuple[int, int]
"""The number of an interval, and its offset from UTC."""


def trend(connection: Connection, filters: Filter, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The intervals in local time of `zone` that hold executions, oldest first. A week begins on Monday."""
    history = history_within(connection, filters.window)
    if history is None:
        return []
    spans = clock.offset_spans(zone, history.first_us - HOUR_US, history.last_us)
    sums: dict[Key, Totals] = {}
    for window, offset_us in _periods(history, spans):
        _add(sums, _sums(connection, replace(filters, window=window), intervals.unit_of(interval), offset_us))
    return intervals.hours(sums, spans) if interval == "hourly" else intervals.days(sums, interval, zone)


def history_within(connection: Connection, window: Window) -> TimeRange | None:
    """The part of the history that lies in a window, where an archived execution counts from the start of its day; None
    if it has none."""
    history, _ = history_range(connection)
    if history is None:
        return None
    first = history.first_us if window.start_us is None else max(history.first_us, window.start_us)
    last = history.last_us if window.end_us is None else min(history.last_us, window.end_us - 1)
    return TimeRange(first, last) if first <= last else None


def _periods(history: TimeRange, spans: Spans) -> Iterator[tuple[Window, int]]:
    """The parts of the history in which the offset stays the same, and the offset."""
    start = history.first_us
    for until, offset_us in spans:
        end = min(until, history.last_us + 1)
        if start < end:
            yield Window(start, end), offset_us
            start = end


def _sums(connection: Connection, filters: Filter, unit_us: int, offset_us: int) -> dict[Key, Totals]:
    """The sums by interval, which is as long as a unit."""
    plan = plan_of(connection, filters, HOUR, coarsest=HOUR if offset_us % unit_us else LEVELS_US.index(unit_us))
    scope = EACH_SERIES if filters.has_labels else ALL_SERIES
    number = f"({{at}} + :shift_us) / {unit_us} AS number"
    aggregates = select_aggregates(filters, plan, scope, (number,))
    conditions, named = filters.conditions(*SERIES_NAMES)
    rows = connection.fetch(
        f"SELECT number, {SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if filters.has_labels else ''}{where(conditions)} GROUP BY number",
        aggregates.parameters | named | {"shift_us": offset_us + SHIFT_US},
    )
    sums = {(int(row[0]), offset_us): totals_of(row[1:]) for row in rows}
    if offset_us % HOUR_US == 0 or not plan.buckets:
        return sums
    for key, moved in _second_parts(connection, filters, plan, unit_us, offset_us):
        _add(sums, {key: moved, (key[0] - 1, offset_us): Totals() - moved})
    return {key: totals for key, totals in sums.items() if not totals.is_empty}


def _second_parts(
    connection: Connection, filters: Filter, plan: RollupPlan, unit_us: int, offset_us: int
) -> Iterator[tuple[Key, Totals]]:
    """What is rolled up of the second parts of the hours in which an interval begins, with this interval."""
    (_, first, end), (conditions, named) = plan.buckets[0], filters.conditions(*SERIES_NAMES)
    into_us, shift_us = -offset_us % HOUR_US, offset_us + SHIFT_US
    these = [
        f"(second_us + :shift_us) % {unit_us} = 0",
        f"timestamp_us >= second_us AND timestamp_us < (bucket + 1) * {HOUR_US}",
        *conditions,
    ]
    for table, sums, is_rolled_up in (
        ("executions", COUNTS, IS_ROLLED_UP),
        ("step_usage", SHARES, STEPS_ARE_ROLLED_UP),
    ):
        of_series = [f"series.series_id = {table}.series_id"] if filters.has_labels else []
        # They are read in order of the bucket, so grouping by it does not sort them.
        rows = connection.fetch(
            f"SELECT bucket, {sums} FROM {_HOURS} CROSS JOIN {table}{SERIES if of_series else ''}"
            f"{where([*of_series, *these, is_rolled_up])} GROUP BY bucket",
            named | {"first": first, "end": end, "into_us": into_us, "shift_us": shift_us},
        )
        for bucket, *moved in rows:
            yield ((bucket * HOUR_US + into_us + shift_us) // unit_us, offset_us), totals_of(moved)


def _add(sums: dict[Key, Totals], more: Mapping[Key, Totals]) -> None:
    for key, totals in more.items():
        sums[key] = sums[key] + totals if key in sums else totals
