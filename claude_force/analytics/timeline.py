"""Executions over time: every interval of a period, also those without executions, and the trend in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from claude_force.analytics.report_types import Change
from claude_force.analytics.trend import trend_of
from claude_force.clock import DAY_US, HOUR_US
from claude_force.errors import InvalidWindow
from claude_force.executions.intervals import Interval, filled
from claude_force.executions.totals import Bucket, TimeRange
from claude_force.time_windows import Window

MOST_INTERVALS = 100_000
"""Eleven years of hours. A record of 1990 by a wrong clock would else make a report of nothing but zeros."""

_LENGTHS: dict[Interval, int] = {"hourly": HOUR_US, "daily": DAY_US, "weekly": 7 * DAY_US, "monthly": 28 * DAY_US}


def every_interval(
    buckets: Sequence[Bucket],
    window: Window,
    history: TimeRange | None,
    interval: Interval,
    zone: tzinfo,
    now_us: int | None,
    most: int = MOST_INTERVALS,
) -> list[Bucket]:
    """The buckets of a period, oldest first, with empty ones for the intervals without executions.

    They begin with the period or the history of the store, and end with the period or now (None: not known); a period
    without an end ends with the last execution of the store. Without executions there are none. Raises InvalidWindow if
    there are more than `most`."""
    if not buckets or history is None:
        return []
    first_us = max(history.first_us, window.start_us or 0)
    last_us = max(last_of(window, history, now_us), buckets[-1].start_us)
    number = (last_us - first_us) // _LENGTHS[interval]
    if number > most:
        raise InvalidWindow(
            f"{number:,} {interval} intervals are more than a report can show ({most:,}); "
            "choose a longer --interval or a shorter period"
        )
    return filled(buckets, first_us, last_us, interval, zone)


def last_of(window: Window, history: TimeRange, now_us: int | None) -> int:
    """The last instant of a period that has passed. A period without an end ends with the last execution of the
    store: what is after it may not have been read yet."""
    if window.end_us is None:
        return history.last_us
    return min(window.end_us, now_us if now_us is not None else window.end_us) - 1


def change_of(
    buckets: Sequence[Bucket], window: Window, history: TimeRange | None, now_us: int | None
) -> Change | None:
    """The trends over the whole intervals; None without any. An interval is whole if it is over, and starts neither
    before the period nor before the history."""
    starts = [edge for edge in (window.start_us, history.first_us if history else None) if edge is not None]
    ends = [edge for edge in (window.end_us, now_us) if edge is not None]
    whole = [
        bucket
        for bucket in buckets
        if all(bucket.start_us >= edge for edge in starts) and all(bucket.end_us <= edge for edge in ends)
    ]
    if not whole:
        return None
    return Change(
        whole[0].label,
        whole[-1].label,
        len(whole),
        trend_of([bucket.totals.executions for bucket in whole]),
        trend_of([bucket.totals.average_ms for bucket in whole]),
        trend_of([bucket.totals.cost for bucket in whole]),
    )
