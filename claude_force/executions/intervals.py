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

NOUNS: dict[Interval, str] = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
"""An interval as a noun."""

Spans = Sequence[tuple[int, int]]
"""Offsets from UTC, and until when each holds (see `clock.offset_spans`)."""

SHIFT_US = 3 * DAY_US
"""From the Monday from which intervals are numbered to the epoch."""

_MONDAY = date(1969, 12, 29)


def unit_of(interval: Interval) -> int:
    """The length of what is numbered, in microseconds: an hour or a day."""
    return HOUR_US if interval == "hourly" else DAY_US


def hours(found: Mapping[tuple[int, int], Totals], spans: Spans) -> list[Bucket]:
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


def days(found: Mapping[tuple[int, int], Totals], interval: Interval, zone: tzinfo) -> list[Bucket]:
    """Days, weeks or months, oldest first, from sums by the number of the day and offset."""
    folded: dict[date, Totals] = {}
    for number, offset_us in sorted(found):
        first = _first_day(_MONDAY + timedelta(days=number), interval)
        folded[first] = folded.get(first, Totals()) + found[number, offset_us]
    return [_days(first, totals, interval, zone) for first, totals in folded.items()]


def days_between(first_us: int, last_us: int, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The days, weeks or months from that of one instant to that of a later one, empty, oldest first."""
    found = [_days(_first_day(clock.to_datetime(first_us, zone).date(), interval), Totals(), interval, zone)]
    while found[-1].end_us <= last_us:
        found.append(_empty(found[-1].end_us, interval, zone))
    return found


def without_gaps(buckets: Sequence[Bucket], interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The buckets, oldest first, with empty ones for the intervals between them."""
    found: list[Bucket] = []
    for bucket in buckets:
        while found and found[-1].end_us < bucket.start_us:
            found.append(_empty(found[-1].end_us, interval, zone))
        found.append(bucket)
    return found


def filled(buckets: Sequence[Bucket], first_us: int, last_us: int, interval: Interval, zone: tzinfo) -> list[Bucket]:
    """The buckets, oldest first, with empty ones for all other intervals from the one of an instant to the one of a
    later instant. Without buckets, there are none."""
    if not buckets:
        return []
    ends = [_empty(_start_of(at, interval, zone), interval, zone) for at in (first_us, last_us)]
    before = [ends[0]] if ends[0].end_us <= buckets[0].start_us else []
    after = [ends[1]] if ends[1].start_us >= buckets[-1].end_us else []
    return without_gaps([*before, *buckets, *after], interval, zone)


def _start_of(instant_us: int, interval: Interval, zone: tzinfo) -> int:
    """The start of the interval of an instant."""
    if interval == "hourly":
        local = clock.to_datetime(instant_us, zone)
        hour = local.replace(minute=0, second=0, microsecond=0)
        return instant_us - (local - hour) // timedelta(microseconds=1)
    return clock.start_of_day(_first_day(clock.to_datetime(instant_us, zone).date(), interval), zone)


def _empty(start_us: int, interval: Interval, zone: tzinfo) -> Bucket:
    """The empty interval that begins at an instant."""
    start = clock.to_datetime(start_us, zone)
    if interval != "hourly":
        return _days(start.date(), Totals(), interval, zone)
    # With this offset: after a change by half an hour, the full hour may have had another one, or none.
    fixed = start.replace(tzinfo=timezone(start.utcoffset() or timedelta()))
    hour = fixed.replace(minute=0, second=0, microsecond=0)
    end_us = start_us + HOUR_US - (fixed - hour) // timedelta(microseconds=1)
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
