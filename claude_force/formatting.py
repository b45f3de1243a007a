"""Number formatting: counts, percentages, durations, ages, sizes, money. All output for people uses these functions.

An unknown value is a dash. Rounding never turns a percentage into 100 or money into 0, and a zero has no minus.
"""

from __future__ import annotations

NONE = "–"
"""An unknown value."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_LONG_MINUTES = 2 * _DAY_S // _MINUTE_S


def count(number: float | None) -> str:
    """A whole number with thousands separators; an average is rounded."""
    return NONE if number is None else f"{number:z,.0f}"


def compact(number: float | None) -> str:
    """A short count: 12,345, 1.2M, 123M."""
    if number is None or number < 999_999.5:
        return count(number)
    return f"{number / 1e6:.1f}M" if number < 99_950_000 else f"{number / 1e6:,.0f}M"


def quantity(number: int, noun: str) -> str:
    """A number and a noun: 1 line, 2 lines."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(number: float | None, digits: int = 1) -> str:
    """A percentage. 99.96 becomes 99.9%: 100.0% would claim that nothing failed."""
    if number is None:
        return NONE
    step = 10.0**-digits
    if 100 - step < number < 100:
        number = 100 - step
    return f"{number:z.{digits}f}%"


def milliseconds(number: float | None) -> str:
    """A duration in whole milliseconds, in the guide's format."""
    return NONE if number is None else f"{number:z,.0f} ms"


def size(number_bytes: int | None) -> str:
    """A file size: 640 B, 12.3 KB, 4.5 MB."""
    if number_bytes is None:
        return NONE
    number, units = float(number_bytes), ["GB", "MB", "KB"]
    if number < 999.5:
        return f"{number:.0f} B"
    while units and number >= 999.5:
        number, unit = number / 1000, units.pop()
    return f"{number:.1f} {unit}"


def duration(number_ms: float | None) -> str:
    """A duration: 350ms, 4.2s, 3m05s, 2h10m, from two days on 44d12h."""
    if number_ms is None:
        return NONE
    if 0 < number_ms < 0.5:
        return "<1ms"
    if number_ms < 999.5:
        return f"{number_ms:z.0f}ms"
    seconds = number_ms / 1000
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    minutes = round(seconds / 60)
    if minutes < _LONG_MINUTES:
        return f"{minutes // 60}h{minutes % 60:02}m"
    hours = round(seconds / 3600)
    return f"{hours // 24:,}d{hours % 24:02}h"


def hours_minutes(minutes: int) -> str:
    """Minutes: 45m, 2h 45m."""
    hours, rest = divmod(minutes, 60)
    return f"{hours}h {rest}m" if hours else f"{rest}m"


def money(amount: float | None) -> str:
    """US dollars: two decimals, or four for amounts below a cent."""
    if amount is None:
        return NONE
    sign = "-" if amount < 0 else ""
    if 0 < abs(amount) < 0.00005:
        return f"{sign}<$0.0001"
    digits = 2 if amount == 0 or abs(amount) >= 0.01 else 4
    return f"{sign}${abs(amount):,.{digits}f}"


def unit_cost(amount: float | None) -> str:
    """US dollars of a single execution: always four decimals, so that a column lines up."""
    if amount is None:
        return NONE
    digits = f"{amount:z,.4f}"
    return f"-${digits[1:]}" if digits.startswith("-") else f"${digits}"


def signed(number: float, unit: str) -> str:
    """A change with its sign and unit: +12.3%, -4.0pp."""
    return f"{number:+z.1f}{unit}"


def age(seconds: int) -> str:
    """How long ago something was: "just now", "12 s ago", "3 min ago", "5 h ago", "2 days ago"."""
    if seconds < 1:
        return "just now"
    if seconds < _MINUTE_S:
        return f"{seconds} s ago"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min ago"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S} h ago"
    return f"{seconds // _DAY_S:,} days ago"
