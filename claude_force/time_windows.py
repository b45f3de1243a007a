"""Time windows: half-open periods [start, end), and the options that name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo

from claude_force.clock import DAY_US, EARLIEST_US, HOUR_US, parse_instant, start_of_day
from claude_force.errors import InvalidWindow


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open period [start, end) of instants. None means no limit. `label` names it in reports."""

    start_us: int | None = None
    end_us: int | None = None
    label: str = "all time"


ALL_TIME = Window()


def last_window(now: int, *, days: int = 0, hours: int = 0) -> Window:
    """The rolling period of the last `days` and `hours` before `now`; not calendar days."""
    parts = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in ((days, "day"), (hours, "hour")) if count]
    start = now - days * DAY_US - hours * HOUR_US
    return Window(max(start, EARLIEST_US), now, " ".join(parts))


_ROLLING = re.compile(r"\d+ (days?|hours?)")


def heading_of(label: str) -> str:
    """A window's label as a heading: "30 days" becomes "Last 30 days"."""
    return f"Last {label}" if _ROLLING.fullmatch(label) else label[:1].upper() + label[1:]


def dated_window(start: str | None, end: str | None, zone: tzinfo) -> Window:
    """The period from `start` to `end`, each a date or a date and time in `zone`.

    An `end` that is a date includes that whole day. Raises InvalidWindow.
    """
    start_us = None if start is None else _edge(start, zone, "--start", whole_day=False)
    end_us = None if end is None else _edge(end, zone, "--end", whole_day=True)
    if start_us is not None and end_us is not None and start_us >= end_us:
        raise InvalidWindow(f"--start {start} is not before --end {end}")
    if start is None:
        return Window(None, end_us, f"until {end}" if end else "all time")
    return Window(start_us, end_us, f"{start} to {end}" if end else f"since {start}")


def _edge(text: str, zone: tzinfo, option: str, *, whole_day: bool) -> int:
    try:
        if len(text) > 10:
            return parse_instant(text, zone)
        return start_of_day(date.fromisoformat(text) + timedelta(days=1 if whole_day else 0), zone)
    except (ValueError, OverflowError):
        raise InvalidWindow(
            f"{option} {text}: give a date such as 2025-11-14, or a date and time such as 2025-11-14T09:30"
        ) from None
