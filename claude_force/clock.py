"""Time: instants, lengths of time and zones.

An instant is an integer: microseconds since 1970-01-01T00:00:00Z. Input is parsed once (`parse_instant`) and output is
formatted once (`format_instant`); no code between them uses time zones. Only the command line, the tracker and the
scheduler call `now_us`; all code below them takes the time as an argument.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache

from claude_force.errors import InvalidWindow, SettingsError

Now = Callable[[], int]
"""A function that returns the current instant."""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

FIRST_YEAR, LAST_YEAR = 1970, 2099
EARLIEST_US = 0
LATEST_US = 4_102_444_800 * SECOND_US
"""Accepted instants lie in [EARLIEST_US, LATEST_US): from 1970 to the end of 2099."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (an offset is added to it)
_HOURS_REMEMBERED = 10_000
_MICROSECOND = timedelta(microseconds=1)
_LONG_FRACTION = re.compile(r"([.,]\d{6})(\d+)")
_SPAN = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_UNITS_US = {"w": 7 * DAY_US, "d": DAY_US, "h": HOUR_US, "m": 60 * SECOND_US, "s": SECOND_US}
_UNIT_NAMES = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second"}
_UTC_NAMES = ("UTC", "Etc/UTC")
_UTC_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?")


def now_us() -> int:
    """The current instant."""
    return time.time_ns() // 1000


def deadline(seconds: float) -> Callable[[], bool]:
    """A function that tells whether so many seconds are over, by a clock that nobody sets."""
    end_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= end_s


def to_instant(moment: datetime, zone: tzinfo | None = None) -> int:
    """The instant of a datetime. A naive datetime is taken in `zone` (default: local time). In an hour that a clock
    change repeats, it means the first occurrence unless `fold` is 1."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone or local_zone())
    return (moment - _EPOCH) // _MICROSECOND


def parse_instant(text: str, zone: tzinfo) -> int:
    """The instant of an ISO 8601 date and time; without an offset it is taken in `zone`.

    Digits finer than a microsecond are rounded half to even. Raises ValueError with the reason.
    """
    if len(text) == 24 and text[23] == "Z" and text[19] == ".":
        # As JavaScript writes it: half of the time of what follows, which agrees.
        try:
            instant = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        except ValueError:
            instant = -1
        if EARLIEST_US <= instant < LATEST_US:
            return instant
    carry = 0
    if len(text) > 22 and not ((len(text) == 26 or (len(text) == 24 and text[23] == "Z")) and text[19] == "."):
        text, carry = _round_fraction(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"not an ISO 8601 date and time: {text[:60]!r}") from None
    if len(text) < 13:
        raise ValueError(f"a date without a time of day: {text!r}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        instant = (moment - _EPOCH) // _MICROSECOND + carry
    except OverflowError:
        instant = -1
    if not EARLIEST_US <= instant < LATEST_US:
        raise ValueError(f"{text} is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return instant


def parse_instants(texts: Sequence[str], zone: tzinfo) -> list[int]:
    """`parse_instant` for many texts. Raises ValueError if one of them has no instant.

    Without offsets, the offset of `zone` is looked up once for each hour."""
    lengths = set(map(len, texts))
    if not (lengths == {19} or (lengths == {26} and {text[19] for text in texts} == {"."})):
        return [parse_instant(text, zone) for text in texts]
    try:
        local = [(datetime.fromisoformat(text) - _NAIVE_EPOCH) // _MICROSECOND for text in texts]
    except TypeError:
        # One of them has an offset.
        return [parse_instant(text, zone) for text in texts]
    if local and not EARLIEST_US - DAY_US <= min(local) <= max(local) < LATEST_US + DAY_US:
        raise ValueError(f"outside the years {FIRST_YEAR} to {LAST_YEAR}")
    shifts = {} if zone is UTC else {hour: _shift_of(hour, zone) for hour in {instant // HOUR_US for instant in local}}
    if None in shifts.values():
        return [parse_instant(text, zone) for text in texts]
    instants = [instant - shifts[instant // HOUR_US] for instant in local] if shifts else local  # type: ignore[operator]
    if instants and not EARLIEST_US <= min(instants) <= max(instants) < LATEST_US:
        raise ValueError(f"outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return instants


def _shift_of(local_hour: int, zone: tzinfo) -> int | None:
    """The UTC offset of an hour of local time, counted since the epoch; None if it changes within the hour."""
    start = (_NAIVE_EPOCH + timedelta(hours=local_hour)).replace(tzinfo=zone)
    offset = start.utcoffset()
    last = start + timedelta(hours=1) - _MICROSECOND
    return None if offset is None or offset != last.utcoffset() else offset // _MICROSECOND


def _round_fraction(text: str) -> tuple[str, int]:
    """Cut a fraction to six digits. The second value is the microsecond to add, 0 or 1."""
    match = _LONG_FRACTION.search(text)
    if not match:
        return text, 0
    kept, rest = match.groups()
    half = "5".ljust(len(rest), "0")
    up = rest > half or (rest == half and int(kept[-1]) % 2 == 1)
    return text[: match.start()] + kept + text[match.end() :], int(up)


def parse_span(text: str) -> int:
    """A length of time such as 30s, 15m, 1h, 7d or 2w, in microseconds. Raises ValueError with the reason."""
    match = _SPAN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:40]!r} is not a length of time such as 30s, 15m, 1h, 7d or 2w")
    return int(match[1]) * _UNITS_US[match[2]]


def span_name(span_us: int) -> str:
    """A length of time in words, in the largest unit that divides it: "1 hour", "90 minutes"."""
    unit, size = next(((unit, size) for unit, size in _UNITS_US.items() if span_us % size == 0), ("s", SECOND_US))
    number = span_us // size
    return f"{number} {_UNIT_NAMES[unit]}{'' if number == 1 else 's'}"


def month_of(instant_us: int) -> tuple[str, int, int]:
    """The UTC month of an instant: its name ("2025-01"), its start and its end."""
    first = to_datetime(instant_us, UTC).date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return f"{first:%Y-%m}", start_of_day(first, UTC), start_of_day(following, UTC)


def start_of_day(day: date, zone: tzinfo) -> int:
    """The instant at which a day starts in `zone`."""
    return to_instant(datetime.combine(day, datetime.min.time()), zone)


def to_datetime(instant_us: int, zone: tzinfo) -> datetime:
    """The datetime of an instant, in `zone`."""
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)


def format_instant(instant_us: int, zone: tzinfo) -> str:
    """ISO 8601 with six decimals and the offset of `zone`. Parsing it gives the same instant."""
    return to_datetime(instant_us, zone).isoformat(timespec="microseconds")


def instant_formatter(zone: tzinfo) -> Callable[[int], str]:
    """`format_instant` for many instants. Date, hour and offset are computed once for each hour and remembered."""
    known: dict[int, tuple[int, str] | None] = {}
    hours: dict[int, str] = {}

    def format_quickly(instant_us: int) -> str:
        hour = instant_us // HOUR_US
        if hour not in known:
            if len(known) >= _HOURS_REMEMBERED:
                known.clear()
                hours.clear()
            known[hour] = _offset_of_hour(hour, zone)
        found = known[hour]
        if found is None:
            return format_instant(instant_us, zone)
        local_us = instant_us + found[0]
        hour, rest = divmod(local_us, HOUR_US)
        if hour not in hours:
            hours[hour] = (_NAIVE_EPOCH + timedelta(hours=hour)).isoformat(timespec="hours")
        minute, rest = divmod(rest, 60 * SECOND_US)
        second, microsecond = divmod(rest, SECOND_US)
        return f"{hours[hour]}:{minute:02}:{second:02}.{microsecond:06}{found[1]}"

    return format_quickly


def _offset_of_hour(hour: int, zone: tzinfo) -> tuple[int, str] | None:
    """The UTC offset of an hour, and its text; None if it changes within the hour."""
    start = hour * HOUR_US
    offset = _offset_at(zone, start)
    if offset != _offset_at(zone, start + HOUR_US - 1):
        return None
    return offset, format_instant(start, zone)[len("2025-11-14T10:30:45.123456") :]


@lru_cache(maxsize=1)
def local_zone() -> tzinfo:
    """The time zone of this machine, with its rules for past and future instants. Raises SettingsError if TZ or the
    system names no known zone."""
    named = os.environ.get("TZ")
    zone = UTC if named == "UTC" else _linked_zone() if named is None else None
    if zone is not None:
        return zone
    # Imported where it is needed: it loads eighty modules, a tenth of the time of a report.
    import tzlocal

    try:
        return tzlocal.get_localzone()
    except (ValueError, LookupError, OSError):
        raise SettingsError(
            f"TZ={named} names no time zone such as Europe/Berlin; change it, or give --timezone"
            if named
            else "the time zone of this machine is unknown; give one with --timezone"
        ) from None


@cache
def _linked_zone() -> tzinfo | None:
    """The zone that the link /etc/localtime names, as the system has it; None if there is no such link or zone."""
    try:
        name = os.readlink("/etc/localtime").rpartition("/zoneinfo/")[2]  # noqa: PTH115  (pathlib takes long to load)
    except OSError:
        return None
    if name in _UTC_NAMES:
        # Common on servers and in containers.
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_of(name: str | None) -> tzinfo:
    """The zone of an IANA name ("Europe/Berlin"), of "UTC", or of an offset ("+05:30"); None is local time.

    Raises InvalidWindow for a name that does not exist.
    """
    if name is None or name.lower() == "local":
        return local_zone()
    if name.upper() in ("UTC", "Z"):
        return UTC
    offset = _UTC_OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes = offset.groups()
        delta = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if delta < timedelta(days=1) and int(minutes or 0) < 60:
            return timezone(-delta if sign == "-" else delta)
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidWindow(
            f"no time zone {name!r}: give an IANA name such as Europe/Berlin, UTC, or an offset such as +05:30"
        ) from None


def offset_spans(zone: tzinfo, start_us: int, end_us: int) -> list[tuple[int, int]]:
    """The UTC offsets of `zone` in [start, end]: pairs (until, offset) in microseconds, oldest first.

    Instants before the first `until` have the first offset, and so on; the last `until` lies after `end`. A tzinfo
    does not list its changes, so they are searched in steps of a day and then by bisection, to the second.
    """
    spans: list[tuple[int, int]] = []
    instant, offset = start_us, _offset_at(zone, start_us)
    while instant <= end_us:
        following = instant + DAY_US
        if _offset_at(zone, following) != offset:
            change = _first_change(zone, instant, following, offset)
            spans.append((change, offset))
            instant, offset = change, _offset_at(zone, change)
        else:
            instant = following
    spans.append((instant + DAY_US, offset))
    return spans


def _offset_at(zone: tzinfo, instant_us: int) -> int:
    offset = to_datetime(instant_us, zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


def _first_change(zone: tzinfo, before_us: int, after_us: int, offset_us: int) -> int:
    low, high = before_us // SECOND_US, after_us // SECOND_US
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(zone, middle * SECOND_US) == offset_us:
            low = middle
        else:
            high = middle
    return high * SECOND_US
