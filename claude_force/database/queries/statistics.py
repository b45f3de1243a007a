"""Days that Claude Code's own statistics know and the store does not: those before the first transcript.

A day counts while it is over before the first execution of Claude Code, so nothing is counted twice: as soon as an
older transcript is read, its day and all later ones are the store's.
"""

from __future__ import annotations

from datetime import UTC, date

from claude_force.clock import start_of_day, to_datetime
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import known_ranges
from claude_force.database.queries.filter import Filter, where
from claude_force.database.queries.timeline import time_ranges
from claude_force.executions.record import CLAUDE_CODE, RESULT
from claude_force.executions.statistics import DailyTokens
from claude_force.time_windows import ALL_TIME


def days_before_executions(connection: Connection, filters: Filter) -> list[DailyTokens]:
    """The days of the period before the first execution of Claude Code, oldest first; none under a filter that asks for
    what the statistics do not know. Archived executions count as executions of Claude Code."""
    is_unknown = any(names for dimension, names in filters.names() if dimension not in ("model", "source"))
    if is_unknown or (filters.sources and CLAUDE_CODE not in filters.sources):
        return []
    names, parameters = filters.conditions("model")
    rows = connection.fetch(
        f"SELECT {', '.join(DailyTokens._fields)} FROM daily_statistics{where(names)} ORDER BY day, model, machine",
        parameters,
    )
    if not rows:
        return []
    first = _first_day(connection)
    days = [DailyTokens(*row) for row in rows if first is None or row[1] < first]
    start_us, end_us = filters.window.start_us, filters.window.end_us
    return [
        day
        for day, at_us in ((day, start_of_day(date.fromisoformat(day.day), UTC)) for day in days)
        if (start_us is None or start_us <= at_us) and (end_us is None or at_us < end_us)
    ]


def _first_day(connection: Connection) -> str | None:
    """The day (UTC) of the first execution of Claude Code, from a transcript or a result; None if there is none."""
    (stored,) = time_ranges(connection, Filter(sources=(CLAUDE_CODE, RESULT)), [ALL_TIME])
    _, archived = known_ranges(connection)
    firsts = [known.first_us for known in (stored, archived) if known is not None]
    return to_datetime(min(firsts), UTC).date().isoformat() if firsts else None
