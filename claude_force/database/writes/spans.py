"""Maintaining `rollup_spans`, in the caller's transaction, which holds the roll-up lock.

A span only grows while executions are added. Where some leave, or get other names, the spans of their days are made
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.filter import IS_ROLLED_UP
from claude_force.executions.rollups import SPAN_NAMES, SpanKey

_KEY = ", ".join(("day", *SPAN_NAMES))
_SPANS = f"rollup_spans ({_KEY}, first_us, last_us)"
_ADD_SPANS = f"""
ON CONFLICT ({_KEY}) DO UPDATE SET
    first_us = CASE WHEN excluded.first_us < rollup_spans.first_us
        THEN excluded.first_us ELSE rollup_spans.first_us END,
    last_us = CASE WHEN excluded.last_us > rollup_spans.last_us THEN excluded.last_us ELSE rollup_spans.last_us END
"""
_MAKE_SPANS = f"""
INSERT INTO {_SPANS}
SELECT timestamp_us / {DAY_US}, {", ".join(f"COALESCE({name}, '')" for name in SPAN_NAMES)},
    MIN(timestamp_us), MAX(timestamp_us)
FROM executions WHERE timestamp_us >= :start_us AND timestamp_us < :end_us AND {IS_ROLLED_UP}
GROUP BY {", ".join(str(column + 1) for column in range(len(SPAN_NAMES) + 1))}
"""


def add_spans(connection: Connection, spans: Mapping[SpanKey, tuple[int, int]]) -> None:
    """Extend the spans by those of executions that were added."""
    rows = [(day, *(name or "" for name in names), *found) for (day, *names), found in spans.items()]
    connection.insert_all(_SPANS, rows, _ADD_SPANS)


def rebuild_spans(connection: Connection, days: Iterable[int]) -> None:
    """Make the spans of some days (their numbers since the epoch, UTC) from the executions that are rolled up."""
    for day in sorted(days):
        delete_spans(connection, day, day + 1)
        connection.execute(_MAKE_SPANS, {"start_us": day * DAY_US, "end_us": (day + 1) * DAY_US})


def delete_spans(connection: Connection, first: int, end: int) -> None:
    """Delete the spans of the days [first, end)."""
    connection.execute("DELETE FROM rollup_spans WHERE day >= :first AND day < :end", {"first": first, "end": end})
