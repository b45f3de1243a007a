"""The options that choose a period, and the window that they mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, TypeVar

import click

from claude_force import time_windows
from claude_force.time_windows import Edge, Window

F = TypeVar("F", bound=Callable[..., Any])

_DAYS = click.IntRange(1, time_windows.MOST_DAYS)
_HOURS = click.IntRange(1, 24 * time_windows.MOST_DAYS)
_NAMES = ("days", "hours", "last", "since", "until", "start", "end")
_ROLLING = ("days", "hours", "last")
_SIDES = (("since", "start"), ("until", "end"))
"""The options for each side of a period, of which only one can be given."""

PERIOD_OPTIONS = (
    click.option("--days", type=_DAYS, metavar="N", help="Only the last N days."),
    click.option("--hours", type=_HOURS, metavar="N", help="Only the last N hours."),
    click.option("--last", metavar="PERIOD", help="Only 7d, 24h, 2w, today, yesterday, week or month."),
    click.option("--since", metavar="WHEN", help="From this date or time, yesterday, or 7d (ago)."),
    click.option("--until", metavar="WHEN", help="Up to this date (included) or time, or 7d (ago)."),
    click.option("--start", metavar="DATE", help="From this date, or date and time."),
    click.option("--end", metavar="DATE", help="Up to this date (included), or date and time."),
)


def period_options(function: F) -> F:
    """Add the options of a period. The command gives its keyword arguments to `take_period`."""
    for option in reversed(PERIOD_OPTIONS):
        function = option(function)
    return function


def take_period(options: dict[str, Any], zone: tzinfo, now_us: int) -> Window:
    """The window of the period options, which are taken out of `options`. Raises UsageError for options that contradict
    each other, and InvalidWindow."""
    given = {name: value for name in _NAMES if (value := options.pop(name)) is not None}
    _refuse_contradiction(list(given))
    if "last" in given:
        return time_windows.named_window(given["last"], zone, now_us)
    if "days" in given or "hours" in given:
        return time_windows.last_window(now_us, days=given.get("days", 0), hours=given.get("hours", 0))
    start, end = (_edge(given, names, zone, now_us) for names in _SIDES)
    return time_windows.window_between(start, end)


def _refuse_contradiction(given: list[str]) -> None:
    """Refuse two options that say the same, a rolling period first."""
    rolling = [name for name in given if name in _ROLLING]
    clashes = [given if rolling else [], *([name for name in given if name in side] for side in _SIDES)]
    for clash in clashes:
        if len(clash) > 1:
            raise click.UsageError(f"--{clash[0]} and --{clash[1]} cannot be combined")


def _edge(given: dict[str, str], names: tuple[str, str], zone: tzinfo, now_us: int) -> Edge | None:
    spoken, dated = names
    is_end = names == _SIDES[1]
    if spoken in given:
        return time_windows.spoken_edge(given[spoken], zone, f"--{spoken}", now_us, is_end=is_end)
    return time_windows.dated_edge(given[dated], zone, f"--{dated}", is_end=is_end) if dated in given else None
