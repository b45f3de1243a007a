"""The forecast of a cost at the end of a calendar period: what is spent, plus the rest of the period at the rate of the
last seven days.

Seven days have each weekday once, so a quiet weekend neither raises nor lowers it. A store that is younger gives the
rate of the time since its first execution.
"""

from __future__ import annotations

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.time_windows import Window

FORECAST_FROM_US = 7 * DAY_US
"""A forecast uses the rate of this long before now."""


def recent_window(connection: Connection, now_us: int) -> Window:
    """The window whose rate a forecast continues."""
    reach = queries.time_range(connection)
    first_us = min(reach.first_us, now_us) if reach else 0
    return Window(max(now_us - FORECAST_FROM_US, first_us), now_us)


def rest_in_windows(recent: Window, now_us: int, end_us: int) -> float:
    """The rest of a period until `end_us`, counted in lengths of the recent window; that counts as an hour at least."""
    return max(end_us - now_us, 0) / span_us(recent)


def span_us(recent: Window) -> int:
    """The length of the recent window; an hour at least, since a minute says nothing of a day."""
    assert recent.start_us is not None
    assert recent.end_us is not None
    return max(recent.end_us - recent.start_us, HOUR_US)
