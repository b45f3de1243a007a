"""Proof that the roll-ups are what the rows come to.

The finest sums are compared with sums that the database makes from the rows alone, the coarser ones with the finer, the
sums of all series with those of each. Nothing here shares code with what keeps the roll-ups, but for the bins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import Connection
from claude_force.query.cells import COUNTS
from claude_force.query.filter import OF_SERIES, OF_UNCOUNTED
from claude_force.result import TOTALS
from claude_force.rollup import ALL_SERIES, DAY, EACH_SERIES, ERA, HOUR, LEVELS_US, bin_of

_NAMES = ", ".join(TOTALS)
_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_COUNTED = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"
_ERROR = "COALESCE(error_type, '')"


def differences(connection: Connection) -> list[str]:
    """What is wrong with the roll-ups, a line for each kind of sum; empty when all are as they should be."""
    found = [
        f"roll-ups differ from the executions ({what}): claude-force db rebuild" for what in _differing(connection)
    ]
    lost = f"SELECT COUNT(*) FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE {OF_UNCOUNTED})"
    if connection.fetch(lost)[0][0]:
        found.append("the list of executions to count names some that are not there: claude-force db rebuild")
    strays = f"SELECT COUNT(*) FROM executions WHERE NOT EXISTS (SELECT 1 FROM series WHERE {OF_SERIES})"
    if connection.fetch(strays)[0][0]:
        found.append("there are executions of a series that is not there: restore a backup")
    return found


def _differing(connection: Connection) -> Iterator[str]:
    hours = f"SELECT timestamp_us / {HOUR_US}, series_id, {COUNTS} FROM executions WHERE {_COUNTED} GROUP BY 1, 2"
    kept = f"SELECT bucket, series_id, {_NAMES} FROM rollups WHERE scope = {EACH_SERIES} AND level = {HOUR}"
    if _differ(connection, hours, kept):
        yield "sums by hour"
    hours = (
        f"SELECT timestamp_us / {HOUR_US}, series_id, {_ERROR}, COUNT(*), MIN(timestamp_us), MAX(timestamp_us) "
        f"FROM executions WHERE success = 0 AND {_COUNTED} GROUP BY 1, 2, 3"
    )
    kept = f"SELECT bucket, series_id, error_type, failures, first_us, last_us FROM rollup_errors WHERE level = {HOUR}"
    if _differ(connection, hours, kept):
        yield "failures by hour"
    if not _durations_agree(connection):
        yield "durations by day"
    for level in range(HOUR + 1, ERA + 1):
        yield from _differing_from_below(connection, level)
    for table, key, names, sums in (
        ("rollups", "level, bucket", _NAMES, _SUMS),
        ("rollup_durations", "level, bucket, bin", "executions", "SUM(executions)"),
    ):
        of_each = f"SELECT {key}, {sums} FROM {table} WHERE scope = {EACH_SERIES} GROUP BY {key}"
        of_all = f"SELECT {key}, {names} FROM {table} WHERE scope = {ALL_SERIES}"
        if _differ(connection, of_each, of_all):
            yield f"{table} of all series"


def _differing_from_below(connection: Connection, level: int) -> Iterator[str]:
    """The sums of a level that are not those of the finer one."""
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
        kept = f"SELECT bucket, series_id{more}, {names} FROM {table} WHERE {scope}level = {level}"
        if _differ(connection, below, kept):
            yield f"{table} of level {level}"


def _differ(connection: Connection, one: str, other: str) -> bool:
    """Whether one of two queries gives a row that the other does not."""
    return any(
        connection.fetch(f"SELECT 1 FROM ({first} EXCEPT {second}) AS difference LIMIT 1")
        for first, second in ((one, other), (other, one))
    )


def _durations_agree(connection: Connection) -> bool:
    """Whether durations are counted in their bins, a day at a time: the database knows no bins."""
    days = connection.fetch(
        f"SELECT bucket FROM rollup_durations WHERE scope = {EACH_SERIES} AND level = {DAY} "
        f"UNION SELECT timestamp_us / {DAY_US} FROM executions"
    )
    return all(_day_agrees(connection, row[0]) for row in days)


def _day_agrees(connection: Connection, day: int) -> bool:
    kept = connection.fetch(
        f"SELECT series_id, bin, executions FROM rollup_durations WHERE scope = {EACH_SERIES} "
        f"AND level = {DAY} AND bucket = :day",
        {"day": day},
    )
    counted: Counter[tuple[int, int]] = Counter()
    for series, duration, count in connection.fetch(
        "SELECT series_id, duration_us, COUNT(*) FROM executions WHERE timestamp_us >= :start "
        f"AND timestamp_us < :stop AND duration_us IS NOT NULL AND {_COUNTED} GROUP BY 1, 2",
        {"start": day * DAY_US, "stop": (day + 1) * DAY_US},
    ):
        counted[series, bin_of(duration)] += count
    return {row[:2]: row[2] for row in kept} == counted
