"""Time windows: half-open periods [start, end), and the words that name them.

| words | period |
|---|---|
| 7d, 24h, 2w | the last 168 hours, 24 hours, 336 hours; until now, whatever the calendar says |
| today, yesterday | that calendar day of the zone, of 23, 24 or 25 hours |
| week | the calendar week of today, from Monday to Sunday |
| month | the calendar month of today |
"""

from __future__ import annotations

import re
from datetime import date, timedelta, tzinfo
from typing import NamedTuple

from claude_force.clock import (
    DAY_US,
    EARLIEST_US,
    FIRST_YEAR,
    HOUR_US,
    LAST_YEAR,
    parse_instant,
    start_of_day,
    to_datetime,
)
from claude_force.errors import InvalidWindow

MOST_DAYS = 36_500
"""The longest rolling period, about a century."""


class Window(NamedTuple):
    """A half-open period [start, end) of instants. None means no limit. `label` names it in reports."""

    start_us: int | None = None
    end_us: int | None = None
    label: str = "all time"


ALL_TIME = Window()


class Edge(NamedTuple):
    """One side of a period: its instant, its name in a label, and the option that gave it."""

    at_us: int
    name: str
    given: str


_ROLLING = r"\d+ (days?|hours?|weeks?|months)"
_COUNT = r"([0-9]{1,9})([hdw])"
_UNITS = {"h": ("hour", HOUR_US), "d": ("day", DAY_US), "w": ("week", 7 * DAY_US)}
_DAYS_AGO = {"today": 0, "yesterday": 1}


def last_window(now: int, *, days: int = 0, hours: int = 0) -> Window:
    """The rolling period of the last `days` and `hours` before `now`; not calendar days."""
    parts = [_count(count, unit) for count, unit in ((days, "day"), (hours, "hour")) if count]
    start = now - days * DAY_US - hours * HOUR_US
    return Window(max(start, EARLIEST_US), now, " ".join(parts))


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def heading_of(label: str) -> str:
    """A window's label as a heading: "30 days" becomes "Last 30 days"."""
    return f"Last {label}" if re.fullmatch(_ROLLING, label) else label[:1].upper() + label[1:]


def named_window(name: str, zone: tzinfo, now: int) -> Window:
    """The period that `--last` names: 7d, 24h, 2w, today, yesterday, week or month. Raises InvalidWindow."""
    word = name.lower()
    if word in _DAYS_AGO:
        day = to_datetime(now, zone).date() - timedelta(days=_DAYS_AGO[word])
        return _calendar(day, day + timedelta(days=1), zone, word)
    if word in ("week", "month"):
        return calendar_window(word, zone, now)
    span = _span_of(word)
    if span is None:
        raise InvalidWindow(
            f"--last {name[:40]}: give 7d, 24h or 2w (at most {MOST_DAYS:,} days), today, yesterday, week or month"
        )
    return Window(max(now - span[0], EARLIEST_US), now, span[1])


def calendar_window(unit: str, zone: tzinfo, now: int) -> Window:
    """The whole calendar "day", "week" (from Monday) or "month" of an instant."""
    first = to_datetime(now, zone).date()
    if unit == "day":
        return _calendar(first, first + timedelta(days=1), zone, "today")
    if unit == "week":
        first -= timedelta(days=first.weekday())
        return _calendar(first, first + timedelta(days=7), zone, "this week")
    first = first.replace(day=1)
    return _calendar(first, (first + timedelta(days=31)).replace(day=1), zone, "this month")


def _calendar(first: date, following: date, zone: tzinfo, label: str) -> Window:
    return Window(start_of_day(first, zone), start_of_day(following, zone), label)


def _span_of(text: str) -> tuple[int, str] | None:
    """The length of 7d, 36h or 2w, and its name; None for another text, and for one that is empty or too long."""
    match = re.fullmatch(_COUNT, text)
    if not match:
        return None
    number, (unit, size_us) = int(match[1]), _UNITS[match[2]]
    return (number * size_us, _count(number, unit)) if 0 < number * size_us <= MOST_DAYS * DAY_US else None


def last_day(end_us: int, zone: tzinfo) -> date:
    """The last day of a period that ends before `end_us`: for midnight the day before, which the user gave."""
    return to_datetime(end_us - 1, zone).date()


def dated_window(start: str | None, end: str | None, zone: tzinfo) -> Window:
    """The period from `start` to `end`, each a date or a date and time in `zone`.

    An `end` that is a date includes that whole day. Raises InvalidWindow.
    """
    return window_between(
        None if start is None else dated_edge(start, zone, "--start", is_end=False),
        None if end is None else dated_edge(end, zone, "--end", is_end=True),
    )


def window_between(start: Edge | None, end: Edge | None) -> Window:
    """The period between two edges; None is no limit. Raises InvalidWindow if it does not start before it ends."""
    if start and end and start.at_us >= end.at_us:
        raise InvalidWindow(f"{start.given} is not before {end.given}")
    if start and end:
        # "yesterday to yesterday" is a day.
        is_one_day = start.name == end.name and start.name in _DAYS_AGO
        return Window(start.at_us, end.at_us, start.name if is_one_day else f"{start.name} to {end.name}")
    if start:
        return Window(start.at_us, None, f"since {start.name}")
    return Window(None, end.at_us, f"until {end.name}") if end else ALL_TIME


def dated_edge(text: str, zone: tzinfo, option: str, *, is_end: bool) -> Edge:
    """The edge that a date, or a date and time, means in `zone`. An end that is a date includes that whole day. Raises
    InvalidWindow, whose message names the option."""
    edge = _dated_edge(text, zone, option, is_end=is_end)
    if edge is None:
        raise InvalidWindow(f"{option} {text}: give {_DATES}, between {FIRST_YEAR} and {LAST_YEAR}")
    return edge


_DATES = "a date such as 2025-11-14, or a date and time such as 2025-11-14T09:30"


def spoken_edge(text: str, zone: tzinfo, option: str, now: int, *, is_end: bool) -> Edge:
    """The edge that a date means, or a date and time; `today` or `yesterday`, of which an end includes the whole day;
    or 7d, 2w or 36h before `now`. Raises InvalidWindow, whose message names the option."""
    word, given = text.lower(), f"{option} {text}"
    if word in _DAYS_AGO:
        day = to_datetime(now, zone).date() - timedelta(days=_DAYS_AGO[word])
        return Edge(start_of_day(day + timedelta(days=is_end), zone), word, given)
    if span := _span_of(word):
        return Edge(max(now - span[0], EARLIEST_US), f"{span[1]} ago", given)
    edge = _dated_edge(text, zone, option, is_end=is_end)
    if edge is None:
        raise InvalidWindow(
            f"{given[:80]}: give {_DATES}, between {FIRST_YEAR} and {LAST_YEAR}; today, yesterday; or 7d, 2w, 36h for "
            f"so long ago (at most {MOST_DAYS:,} days)"
        )
    return edge


def _dated_edge(text: str, zone: tzinfo, option: str, *, is_end: bool) -> Edge | None:
    try:
        if len(text) > 10:
            return Edge(parse_instant(text, zone), text, f"{option} {text}")
        day = date.fromisoformat(text)
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            return None
        at_us = start_of_day(day + timedelta(days=is_end), zone)
    except (ValueError, OverflowError):
        return None
    return Edge(at_us, day.isoformat(), f"{option} {text}")
