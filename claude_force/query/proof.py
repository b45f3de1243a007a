"""Proof that the roll-ups are what the rows come to.

The finest sums are compared with sums that the database makes from the rows alone, the coarser ones with the finer, the
sums of all series with those of each. Nothing here shares code with what keeps the roll-ups, but for the bins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import Connection
from claude_force.query.cells import COUNTS, extent
from claude_force.query.filter import OF_PENDING, PENDING
from claude_force.result import TOTALS
from claude_force.rollup import ALL_SERIES, DAY, EACH_SERIES, ERA, HOUR, LEVELS_US, bin_of

_NAMES = ", ".join(TOTALS)
_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_COUNTED = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"
_ERROR = "COALESCE(error_type, '')"
_DAYS_AT_ONCE = 32


def differences(connection: Connection) -> list[str]:
    """What is wrong with the roll-ups, a line for each kind of sum; empty when all are as they should be."""
    found = [
        f"roll-ups differ from the executions ({what}): claude-force db rebuild" for what in _differing(connection)
    ]
    lost = f"SELECT COUNT(*) FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE {OF_PENDING})"
    if connection.fetch(lost)[0][0]:
        found.append("the list of executions to count names some that are not there: claude-force db rebuild")
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
    """Whether durations are counted in their bins, some days at a time: the database knows no bins."""
    bounds = [
        edge
        for edge in connection.fetch(
            f"SELECT MIN(bucket), MAX(bucket) FROM rollup_durations WHERE scope = {EACH_SERIES} AND level = {DAY}"
        )[0]
        if edge is not None
    ]
    reach = extent(connection)
    bounds += [edge // DAY_US for edge in (reach.first_us, reach.last_us)] if reach else []
    days = range(min(bounds), max(bounds) + 1, _DAYS_AT_ONCE) if bounds else range(0)
    return all(_days_agree(connection, first, first + _DAYS_AT_ONCE) for first in days)


def _days_agree(connection: Connection, first: int, end: int) -> bool:
    kept = connection.fetch(
        f"SELECT bucket, series_id, bin, executions FROM rollup_durations WHERE scope = {EACH_SERIES} "
        f"AND level = {DAY} AND bucket >= :first AND bucket < :end",
        {"first": first, "end": end},
    )
    edges = {"start": first * DAY_US, "stop": end * DAY_US}
    known = "timestamp_us >= :start AND timestamp_us < :stop AND duration_us IS NOT NULL"
    counted: Counter[tuple[int, int, int]] = Counter()
    for tables, condition, sign in (("executions", known, 1), (PENDING, f"{OF_PENDING} AND {known}", -1)):
        for instant, series, duration in connection.fetch(
            f"SELECT timestamp_us, series_id, duration_us FROM {tables} WHERE {condition}", edges
        ):
            counted[instant // DAY_US, series, bin_of(duration)] += sign
    return {row[:3]: row[3] for row in kept} == {key: count for key, count in counted.items() if count}
