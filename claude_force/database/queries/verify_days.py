"""Checks day by day that the finest sums equal what the rows of the day add up to. The rows of a day are few enough to
stay in memory, so they are read from the disk once.

Nothing here shares code with what maintains the roll-ups, except the bins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from operator import add
from typing import Any

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Connection, Progress, Row
from claude_force.database.queries.aggregates import COUNT_OF, COUNTS, SHARES
from claude_force.database.queries.filter import (
    COLUMNS,
    IS_OF_SERIES,
    IS_PENDING,
    IS_ROLLED_UP,
    PENDING,
    SERIES,
    SESSION,
    STEPS_ARE_ROLLED_UP,
)
from claude_force.executions.billed_steps import Share
from claude_force.executions.histogram import bin_lows
from claude_force.executions.rollups import ARCHIVED, DAY, EACH_SERIES, HOUR, SPAN_NAMES, shares_of
from claude_force.executions.run_parts import PART_TOTALS
from claude_force.executions.totals import TOTALS

_NAMES = ", ".join(TOTALS)
_HOURS = DAY_US // HOUR_US
_HOUR = f"timestamp_us / {HOUR_US}"
_ERROR = "COALESCE(error_type, '')"

_OF_DAY = "timestamp_us >= :start_us AND timestamp_us < :end_us"
_ROWS = f"FROM executions WHERE {_OF_DAY} AND {IS_ROLLED_UP}"
_BUCKETS = "bucket >= :hour AND bucket < :end_hour"

_COUNTED_SUMS = f"SELECT {_HOUR}, series_id, {COUNTS}, COUNT(steps) {_ROWS} GROUP BY 1, 2"
_SHARED_SUMS = (
    f"SELECT {_HOUR}, series_id, {SHARES} FROM step_usage WHERE {_OF_DAY} AND {STEPS_ARE_ROLLED_UP} GROUP BY 1, 2"
)
_SUMS = f"SELECT bucket, series_id, {_NAMES} FROM rollups WHERE scope = {EACH_SERIES} AND level = :level AND {_BUCKETS}"
_COUNTED_FAILURES = (
    f"SELECT {_HOUR}, series_id, {_ERROR}, COUNT(*), MIN(timestamp_us), MAX(timestamp_us) {_ROWS} AND success = 0 "
    "GROUP BY 1, 2, 3"
)
_FAILURES = (
    "SELECT bucket, series_id, error_type, failures, first_us, last_us FROM rollup_errors "
    f"WHERE level = :level AND {_BUCKETS}"
)
_SPAN_KEY = ", ".join(f"COALESCE({name}, '')" for name in SPAN_NAMES)
_SPAN_COLUMNS = ", ".join(str(place + 1) for place in range(len(SPAN_NAMES)))
_COUNTED_SPANS = f"SELECT {_SPAN_KEY}, MIN(timestamp_us), MAX(timestamp_us) {_ROWS} GROUP BY {_SPAN_COLUMNS}"
_SPANS = f"SELECT {', '.join(SPAN_NAMES)}, first_us, last_us FROM rollup_spans WHERE day = :day"
_RUN = "COALESCE(run_id, workflow_id, session_id)"
_OF_RUN = f"COALESCE(session_id, workflow_id, ''), {_RUN}, COALESCE(workflow_id, ''), series_id"
# The codes are numbers here, and not those of `run_parts`: a proof by the same text would not find its mistake.
_FAILED_COST = "COALESCE(SUM(CASE WHEN success = 0 THEN cost_nanousd END), 0)"
_COUNTED_PARTS = (
    f"SELECT {_OF_RUN}, {', '.join(f'COALESCE({COUNT_OF[name]}, 0)' for name in PART_TOTALS)}, {_FAILED_COST}, "
    "SUM(CASE WHEN success = 0 AND cost_nanousd IS NULL THEN 1 ELSE 0 END), "
    "MIN(timestamp_us - COALESCE(duration_us, 0)), MAX(timestamp_us * 4 + CASE WHEN success = 1 THEN 3 "
    "WHEN error_type = 'refusal' THEN 1 WHEN error_type = 'unfinished' THEN 0 ELSE 2 END) "
    f"{_ROWS} AND {_RUN} IS NOT NULL GROUP BY 1, 2, 3, 4"
)
_SHARED_PARTS = (
    f"SELECT {_OF_RUN}, {', '.join(f'SUM({name})' if name in Share._fields else '0' for name in PART_TOTALS)}, "
    f"{_FAILED_COST}, 0 FROM (SELECT step_usage.*, session_id, workflow_id, run_id, success "
    "FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid) AS step_usage "
    f"WHERE {_OF_DAY} AND {STEPS_ARE_ROLLED_UP} AND {_RUN} IS NOT NULL GROUP BY 1, 2, 3, 4"
)
_PARTS = (
    f"SELECT session_id, name, workflow_id, series_id, {', '.join(PART_TOTALS)}, failed_nanousd, failed_unpriced, "
    "began_us, code FROM rollup_runs WHERE day = :day"
)
_UNLISTED_RUN = (
    f"SELECT 1 FROM (SELECT DISTINCT run_id, COALESCE({SESSION}, '') AS session_id "
    f"FROM executions WHERE {_OF_DAY} AND run_id IS NOT NULL) AS named WHERE NOT EXISTS (SELECT 1 FROM run_parents "
    "WHERE run_parents.run_id = named.run_id AND run_parents.session_id = named.session_id) LIMIT 1"
)
_SEAT = "COALESCE(host, ''), COALESCE(user_name, '')"
_COUNTED_SEATS = f"SELECT {_SEAT}, series_id, {COUNTS} {_ROWS} GROUP BY 1, 2, 3"
_SHARED_SEATS = (
    f"SELECT {_SEAT}, series_id, {SHARES} FROM (SELECT step_usage.*, host, user_name "
    "FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid) AS step_usage "
    f"WHERE {_OF_DAY} AND {STEPS_ARE_ROLLED_UP} GROUP BY 1, 2, 3"
)
_SEATS = (
    f"SELECT host, user_name, series_id, {_NAMES} FROM rollup_seats JOIN seats USING (seat_id) "
    f"WHERE scope = {EACH_SERIES} AND level = {DAY} AND bucket = :day"
)
_COUNTED_SEAT_DURATIONS = f"SELECT {_SEAT}, duration_us {_ROWS} AND duration_us IS NOT NULL"
_SEAT_DURATIONS = (
    "SELECT host, user_name, bin, executions FROM rollup_seat_durations JOIN seats USING (seat_id) "
    f"WHERE level = {DAY} AND bucket = :day"
)
_COUNTED_DURATIONS = f"SELECT series_id, duration_us {_ROWS} AND duration_us IS NOT NULL"
_DURATIONS = (
    "SELECT series_id, bin, executions FROM rollup_durations "
    f"WHERE scope = {EACH_SERIES} AND level = :level AND bucket = :day"
)
_STORED_SHARES = (
    f"SELECT uid, timestamp_us, agent_name, model, project, source, {', '.join(Share._fields)} "
    f"FROM step_usage{SERIES} WHERE series.series_id = step_usage.series_id AND {_OF_DAY}"
)
_PENDING_STEPS = f"SELECT 1 FROM {PENDING} WHERE {IS_PENDING} AND {_OF_DAY} AND steps IS NOT NULL LIMIT 1"
_WITH_STEPS = f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND {_OF_DAY} AND steps IS NOT NULL"

_NEXT_DAY = " UNION ALL ".join(
    [
        *(f"SELECT MIN(timestamp_us) / {DAY_US} FROM {table} WHERE timestamp_us >= :start_us"
          for table in ("executions", "step_usage")),
        *(f"SELECT MIN(bucket) / {_HOURS} FROM {table} level = {level} AND bucket >= :hour"
          for table in (f"rollups WHERE scope = {EACH_SERIES} AND", "rollup_errors WHERE")
          for level in (HOUR, ARCHIVED)),
        *(f"SELECT MIN(bucket) FROM rollup_durations WHERE scope = {EACH_SERIES} AND level = {level} AND bucket >= :day"
          for level in (DAY, ARCHIVED)),
        f"SELECT MIN(bucket) FROM rollup_seats WHERE scope = {EACH_SERIES} AND level = {DAY} AND bucket >= :day",
        f"SELECT MIN(bucket) FROM rollup_seat_durations WHERE level = {DAY} AND bucket >= :day",
        *(f"SELECT MIN(day) FROM {table} WHERE day >= :day" for table in ("rollup_spans", "rollup_runs")),
    ]
)  # fmt: skip
"""The first day from :day on of which each table has something: one step in an index each."""

_FIRST_DAY = -(1 << 26)
"""No instant that 64 bits hold is much earlier: a damaged row may have any."""

Period = dict[str, Any]


def differing_days(connection: Connection, progress: Progress | None) -> Iterator[str]:
    """Each kind of sum by hour or day that differs from the rows, once; "series" if a series does not exist, "steps" if
    the table of steps differs. `progress` is called with the number of rolled-up executions of each day."""
    found: set[str] = set()
    series = {row[0] for row in connection.fetch(f"SELECT series_id FROM {PENDING} WHERE {IS_PENDING}")}
    for period in _days(connection):
        sums = connection.fetch(_COUNTED_SUMS, period)
        series.update(row[1] for row in sums)
        for kind, agrees in _KINDS.items():
            if kind not in found and not agrees(connection, period, sums):
                found.add(kind)
                yield kind
        if progress is not None:
            progress(sum(row[2] for row in sums))
    if series - {row[0] for row in connection.fetch("SELECT series_id FROM series")}:
        yield "series"


def _days(connection: Connection) -> Iterator[Period]:
    """The days of which the roll-ups or the rows have something, as parameters."""
    day = _FIRST_DAY
    while True:
        known = [row[0] for row in connection.fetch(_NEXT_DAY, _period(day)) if row[0] is not None]
        if not known:
            return
        day = min(known)
        yield _period(day)
        day += 1


def _period(day: int) -> Period:
    start_us, hour = day * DAY_US, day * _HOURS
    return {"day": day, "start_us": start_us, "end_us": start_us + DAY_US, "hour": hour, "end_hour": hour + _HOURS}


def _sums_agree(connection: Connection, period: Period, sums: list[Row]) -> bool:
    counted = {row[:2]: row[2:-1] for row in sums}
    shared = connection.fetch(_SHARED_SUMS, period)
    for row in chain(shared, connection.fetch(_SUMS, period | {"level": ARCHIVED})):
        known = counted.get(row[:2])
        counted[row[:2]] = row[2:] if known is None else tuple(map(add, known, row[2:]))
    return counted == {row[:2]: row[2:] for row in connection.fetch(_SUMS, period | {"level": HOUR})}


def _failures_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    counted = {row[:3]: row[3:] for row in connection.fetch(_COUNTED_FAILURES, period)}
    for row in connection.fetch(_FAILURES, period | {"level": ARCHIVED}):
        number, first_us, last_us = counted.get(row[:3], (0, row[4], row[5]))
        counted[row[:3]] = (number + row[3], min(first_us, row[4]), max(last_us, row[5]))
    return counted == {row[:3]: row[3:] for row in connection.fetch(_FAILURES, period | {"level": HOUR})}


def _spans_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    return set(connection.fetch(_COUNTED_SPANS, period)) == set(connection.fetch(_SPANS, period))


def _parts_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    counted = {row[:4]: row[4:] for row in connection.fetch(_COUNTED_PARTS, period)}
    nothing = (0,) * (len(PART_TOTALS) + 2)
    for row in connection.fetch(_SHARED_PARTS, period):
        *sums, began_us, code = counted.get(row[:4], (*nothing, None, None))
        counted[row[:4]] = (*map(add, sums, row[4:]), began_us, code)
    return counted == {row[:4]: row[4:] for row in connection.fetch(_PARTS, period)}


def _runs_are_listed(connection: Connection, period: Period, _: list[Row]) -> bool:
    return not connection.fetch(_UNLISTED_RUN, period)


def _durations_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    """In Python, since SQL cannot compute a bin."""
    lows = bin_lows()
    counted = Counter(
        (series, bisect_right(lows, duration) - 1) for series, duration in connection.fetch(_COUNTED_DURATIONS, period)
    )
    stored, archived = (
        Counter({row[:2]: row[2] for row in connection.fetch(_DURATIONS, period | {"level": level})})
        for level in (DAY, ARCHIVED)
    )
    counted.update(archived)
    return stored == counted


def _seats_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    counted = {row[:3]: row[3:] for row in connection.fetch(_COUNTED_SEATS, period)}
    for row in connection.fetch(_SHARED_SEATS, period):
        counted[row[:3]] = tuple(map(add, counted.get(row[:3], (0,) * len(TOTALS)), row[3:]))
    stored = {row[:3]: row[3:] for row in connection.fetch(_SEATS, period)}
    # An archived execution may leave sums of nothing.
    return {key: sums for key, sums in counted.items() if any(sums)} == {
        key: sums for key, sums in stored.items() if any(sums)
    }


def _seat_durations_agree(connection: Connection, period: Period, _: list[Row]) -> bool:
    lows = bin_lows()
    counted = Counter(
        (*seat, bisect_right(lows, duration) - 1)
        for *seat, duration in connection.fetch(_COUNTED_SEAT_DURATIONS, period)
    )
    return counted == Counter({row[:3]: row[3] for row in connection.fetch(_SEAT_DURATIONS, period)})


def _steps_agree(connection: Connection, period: Period, sums: list[Row]) -> bool:
    """Whether the table `step_usage` holds what the column `steps` says. In Python, since SQL cannot read that."""
    stored = Counter[Row](connection.fetch(_STORED_SHARES, period))
    if not stored and not any(row[-1] for row in sums) and not connection.fetch(_PENDING_STEPS, period):
        return True
    for row in connection.fetch(_WITH_STEPS, period):
        stored.subtract((*row[:2], *labels, *share) for labels, share in shares_of(row).items())
    return not any(stored.values())


_KINDS: dict[str, Callable[[Connection, Period, list[Row]], bool]] = {
    "sums by hour": _sums_agree,
    "failures by hour": _failures_agree,
    "durations by day": _durations_agree,
    "spans by day": _spans_agree,
    "runs by day": _parts_agree,
    "runs": _runs_are_listed,
    "hosts and users by day": _seats_agree,
    "durations of hosts and users by day": _seat_durations_agree,
    "steps": _steps_agree,
}
