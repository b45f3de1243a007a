"""Intervals of local time: hours, days, weeks and months as a wall clock shows them.

Hours and days are numbered from a Monday before the epoch, so that numbers are never negative and weeks are whole. When
clocks go back, the repeated hour is two intervals; a day of 23 or 25 hours is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta, timezone, tzinfo
from typing import Literal

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US
from claude_force.executions.totals import Bucket, Totals

Interval = Literal["hourly", "daily", "weekly", "monthly"]

Spans = Sequence[tuple[int, int]]
"""Offsets from UTC, and until when each holds (see `clock.offset_spans`)."""

SHIFT_US = 3 * DAY_US
"""From the Monday from which intervals are numbered to the epoch."""

_MONDAY = date(1969, 12, 29)


def unit_of(interval: Interval) -> int:
    """The length of what is numbered, in microseconds: an hour or a day."""
    return HOUR_US if interval == "hourly" else DAY_US


def hours(found: Mapping[tuple[int, ...], Totals], spans: Spans) -> list[Bucket]:
    """Hours, oldest first, from sums by number and offset."""
    buckets = [_hour(number, offset_us, totals, spans) for (number, offset_us), totals in found.items()]
    return sorted(buckets, key=lambda bucket: bucket.start_us)


def _hour(number: int, offset_us: int, found: Totals, spans: Spans) -> Bucket:
    """An hour of a local clock; if the offset changes within it, the part with this offset."""
    nominal_us = number * HOUR_US - SHIFT_US - offset_us
    starts = (nominal_us, *(until for until, _ in spans))
    since_us, until_us = next(
        (since, until)
        for since, (until, offset) in zip(starts, spans, strict=False)
        if offset == offset_us and since < nominal_us + HOUR_US and nominal_us < until
    )
    label = clock.to_datetime(nominal_us, timezone(timedelta(microseconds=offset_us)))
    return Bucket(
        label.isoformat(sep=" ", timespec="minutes"),
        max(nominal_us, since_us),
        min(nominal_us + HOUR_US, until_us),
        found,
    )


def days(found: Mapping[int, Totals], interval: Interval, zone: tzinfo) -> list[Bucket]:
    """Days, weeks or months, oldest first, from sums by the number of the day."""
    folded: dict[date, Totals] = {}
    for number in sorted(found):
        first = _first_day(_MONDAY + timedelta(days=number), interval)
        folded[first] = folded.get(first, Totals()) + found[number]
    return [_days(first, totals, interval, zone) for first, totals in folded.items()]


def without_gaps(buckets: Sequence[Bucket], interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The buckets, oldest first, with empty ones for the intervals between them."""
    found: list[Bucket] = []
    for bucket in buckets:
        while found and found[-1].end_us < bucket.start_us:
            found.append(_empty(found[-1].end_us, interval, zone))
        found.append(bucket)
    return found


def _empty(start_us: int, interval: Interval, zone: tzinfo) -> Bucket:
    """The empty interval that begins at an instant."""
    start = clock.to_datetime(start_us, zone)
    if interval != "hourly":
        return _days(start.date(), Totals(), interval, zone)
    hour = start.replace(minute=0, second=0, microsecond=0)
    end_us = start_us + HOUR_US - (start - hour) // timedelta(microseconds=1)
    return Bucket(hour.isoformat(sep=" ", timespec="minutes"), start_us, end_us, Totals())


def _first_day(day: date, interval: Interval) -> date:
    if interval == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "monthly" else day


def _days(first: date, found: Totals, interval: Interval, zone: tzinfo) -> Bucket:
    if interval == "monthly":
        next_first = (first + timedelta(days=31)).replace(day=1)
    else:
        next_first = first + timedelta(days=7 if interval == "weekly" else 1)
    start, end = (clock.start_of_day(day, zone) for day in (first, next_first))
    return Bucket(first.strftime("%Y-%m" if interval == "monthly" else "%Y-%m-%d"), start, end, found)
