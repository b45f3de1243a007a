"""Checks that the roll-ups equal what the rows add up to.

The finest sums are compared with sums that the database makes from the rows and the archived sums; each coarser level
with the finer one; the sums of all series with those of each; the archived sums with the list of archived executions.
Nothing here shares code with what maintains the roll-ups, except the bins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from claude_force.clock import DAY_US, HOUR_US, month_of
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import COUNTS, SHARES
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, IS_PENDING, IS_ROLLED_UP, SERIES
from claude_force.executions.billed_steps import Share
from claude_force.executions.histogram import bin_of
from claude_force.executions.rollups import (
    ALL_SERIES,
    ARCHIVED,
    DAY,
    DIGEST_BITS,
    EACH_SERIES,
    ERA,
    HOUR,
    LEVELS_US,
    shares_of,
)
from claude_force.executions.totals import TOTALS

_NAMES = ", ".join(TOTALS)
_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_ERROR = "COALESCE(error_type, '')"
_ARCHIVED = f"scope = {EACH_SERIES} AND level = {ARCHIVED}"

_HOURLY_SUMS = (
    f"SELECT bucket, series_id, {_SUMS} FROM ("
    f"SELECT timestamp_us / {HOUR_US} AS bucket, series_id, {COUNTS} "
    f"FROM executions WHERE {IS_ROLLED_UP} GROUP BY 1, 2 "
    f"UNION ALL SELECT timestamp_us / {HOUR_US}, series_id, {SHARES} FROM step_usage "
    "WHERE NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = step_usage.uid) GROUP BY 1, 2 "
    f"UNION ALL SELECT bucket, series_id, {_NAMES} FROM rollups WHERE {_ARCHIVED}"
    ") AS counted GROUP BY 1, 2"
)
_STORED_SUMS = f"SELECT bucket, series_id, {_NAMES} FROM rollups WHERE scope = {EACH_SERIES} AND level = {HOUR}"
_HOURLY_FAILURES = (
    "SELECT bucket, series_id, error_type, SUM(failures), MIN(first_us), MAX(last_us) FROM ("
    f"SELECT timestamp_us / {HOUR_US} AS bucket, series_id, {_ERROR} AS error_type, COUNT(*) AS failures, "
    "MIN(timestamp_us) AS first_us, MAX(timestamp_us) AS last_us "
    f"FROM executions WHERE success = 0 AND {IS_ROLLED_UP} GROUP BY 1, 2, 3 "
    "UNION ALL SELECT bucket, series_id, error_type, failures, first_us, last_us "
    f"FROM rollup_errors WHERE level = {ARCHIVED}"
    ") AS failed GROUP BY 1, 2, 3"
)
_STORED_FAILURES = (
    f"SELECT bucket, series_id, error_type, failures, first_us, last_us FROM rollup_errors WHERE level = {HOUR}"
)


def differences(connection: Connection) -> list[str]:
    """What is wrong with the roll-ups, a line for each kind of sum; empty if all are right."""
    problems = [
        f"roll-ups differ from the executions ({what}): claude-force db rebuild" for what in _differing(connection)
    ]
    lost = f"SELECT COUNT(*) FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE {IS_PENDING})"
    if connection.fetch(lost)[0][0]:
        problems.append("the list of pending executions names some that do not exist: claude-force db rebuild")
    strays = f"SELECT COUNT(*) FROM executions WHERE NOT EXISTS (SELECT 1 FROM series WHERE {IS_OF_SERIES})"
    if connection.fetch(strays)[0][0]:
        problems.append("some executions have a series that does not exist: restore a backup")
    if not _steps_agree(connection):
        problems.append("what the steps of executions cost differs from the executions: restore a backup")
    archives = _archives_differing(connection)
    return problems + [f"the figures of archived executions differ ({what}): restore a backup" for what in archives]


def _steps_agree(connection: Connection) -> bool:
    """Whether the table `step_usage` holds what the column `steps` says. In Python, since SQL cannot read that."""
    stored = Counter[tuple[Any, ...]](
        connection.fetch(
            f"SELECT uid, timestamp_us, agent_name, model, project, source, {', '.join(Share._fields)} "
            f"FROM step_usage{SERIES} WHERE series.series_id = step_usage.series_id"
        )
    )
    for row in connection.stream(
        f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND steps IS NOT NULL"
    ):
        stored.subtract((*row[:2], *labels, *share) for labels, share in shares_of(row).items())
    return not any(stored.values())


def count_differences(connection: Connection) -> list[str]:
    """`differences` for the number of executions only, which takes no time."""
    summed = (
        "SELECT COALESCE(SUM(executions), 0) - "
        f"(SELECT COALESCE(SUM(executions), 0) FROM rollups WHERE {_ARCHIVED}) "
        f"FROM rollups WHERE scope = {ALL_SERIES} AND level = {ERA}"
    )
    counted = "SELECT COUNT(*) - (SELECT COUNT(*) FROM uncounted) FROM executions"
    if connection.fetch(summed)[0][0] == connection.fetch(counted)[0][0]:
        return []
    return ["roll-ups differ from the executions (total number): claude-force db rebuild"]


def _differing(connection: Connection) -> Iterator[str]:
    if _differ(connection, _HOURLY_SUMS, _STORED_SUMS):
        yield "sums by hour"
    if _differ(connection, _HOURLY_FAILURES, _STORED_FAILURES):
        yield "failures by hour"
    if not _durations_agree(connection):
        yield "durations by day"
    for level in range(HOUR + 1, ERA + 1):
        yield from _differing_from_below(connection, level)
    yield from _differing_of_all_series(connection)


def _differing_of_all_series(connection: Connection) -> Iterator[str]:
    for table, key, names, sums in (
        ("rollups", "level, bucket", _NAMES, _SUMS),
        ("rollup_durations", "level, bucket, bin", "executions", "SUM(executions)"),
    ):
        of_each = f"SELECT {key}, {sums} FROM {table} WHERE scope = {EACH_SERIES} AND level >= {HOUR} GROUP BY {key}"
        of_all = f"SELECT {key}, {names} FROM {table} WHERE scope = {ALL_SERIES}"
        if _differ(connection, of_each, of_all):
            yield f"{table} of all series"


def _differing_from_below(connection: Connection, level: int) -> Iterator[str]:
    """The tables whose sums at a level differ from those of the finer level."""
    ratio = LEVELS_US[level] // LEVELS_US[level - 1]
    tables = [
        ("rollups", "", _NAMES, _SUMS, f"scope = {EACH_SERIES} AND "),
        (
            "rollup_errors",
            ", error_type",
            "failures, first_us, last_us",
            "SUM(failures), MIN(first_us), MAX(last_us)",
            "",
        ),
    ]
    if level > DAY:
        tables.append(("rollup_durations", ", bin", "executions", "SUM(executions)", f"scope = {EACH_SERIES} AND "))
    for table, more, names, sums, scope in tables:
        below = (
            f"SELECT bucket / {ratio}, series_id{more}, {sums} FROM {table} WHERE {scope}level = {level - 1} "
            f"GROUP BY bucket / {ratio}, series_id{more}"
        )
        stored = f"SELECT bucket, series_id{more}, {names} FROM {table} WHERE {scope}level = {level}"
        if _differ(connection, below, stored):
            yield f"{table} of level {level}"


def _differ(connection: Connection, one: str, other: str) -> bool:
    """Whether one of two queries returns a row that the other does not."""
    return any(
        connection.fetch(f"SELECT 1 FROM ({first} EXCEPT {second}) AS difference LIMIT 1")
        for first, second in ((one, other), (other, one))
    )


def _durations_agree(connection: Connection) -> bool:
    """Whether the bins hold the durations. A day at a time in Python, since SQL cannot compute a bin."""
    days = connection.fetch(
        f"SELECT bucket FROM rollup_durations WHERE scope = {EACH_SERIES} AND level IN ({DAY}, {ARCHIVED}) "
        f"UNION SELECT timestamp_us / {DAY_US} FROM executions"
    )
    return all(_day_agrees(connection, row[0]) for row in days)


def _day_agrees(connection: Connection, day: int) -> bool:
    stored, counted = (
        Counter[tuple[int, int]](
            {
                row[:2]: row[2]
                for row in connection.fetch(
                    f"SELECT series_id, bin, executions FROM rollup_durations WHERE scope = {EACH_SERIES} "
                    f"AND level = {level} AND bucket = :day",
                    {"day": day},
                )
            }
        )
        for level in (DAY, ARCHIVED)
    )
    for series, duration, count in connection.fetch(
        "SELECT series_id, duration_us, COUNT(*) FROM executions WHERE timestamp_us >= :start "
        f"AND timestamp_us < :stop AND duration_us IS NOT NULL AND {IS_ROLLED_UP} GROUP BY 1, 2",
        {"start": day * DAY_US, "stop": (day + 1) * DAY_US},
    ):
        counted[series, bin_of(duration)] += count
    return stored == counted


def _archives_differing(connection: Connection) -> Iterator[str]:
    """The figures of archived executions that are stored twice and differ."""
    of_hours = f"SELECT bucket, SUM(executions) FROM rollups WHERE {_ARCHIVED} GROUP BY 1"
    of_list = f"SELECT digest / {1 << DIGEST_BITS}, COUNT(*) FROM archived GROUP BY 1"
    if _differ(connection, of_hours, of_list):
        yield "sums and list"
    months: Counter[str] = Counter()
    for hour, executions in connection.fetch(of_hours):
        months[month_of(hour * HOUR_US)[0]] += int(executions)
    if dict(connection.fetch("SELECT month, executions FROM archives")) != months:
        yield "sums and months"
    twice = "SELECT COUNT(*) FROM archived WHERE EXISTS (SELECT 1 FROM executions WHERE executions.uid = archived.uid)"
    if connection.fetch(twice)[0][0]:
        yield "some are also stored"
