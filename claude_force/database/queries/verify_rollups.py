"""Proof that the roll-ups are what the rows come to.

The finest sums are compared with sums that the database makes from the rows, and what is kept of archived executions;
the coarser ones with the finer, the sums of all series with those of each. What is kept of archived executions is
compared with the list of them. Nothing here shares code with what keeps the roll-ups, but for the bins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from claude_force.clock import DAY_US, HOUR_US, month_of
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import COUNTS
from claude_force.database.queries.filter import IS_PENDING, OF_SERIES
from claude_force.executions.histogram import bin_of
from claude_force.executions.rollups import ALL_SERIES, ARCHIVED, DAY, DIGEST_BITS, EACH_SERIES, ERA, HOUR, LEVELS_US
from claude_force.executions.totals import TOTALS

_NAMES = ", ".join(TOTALS)
_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_COUNTED = "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"
_ERROR = "COALESCE(error_type, '')"
_ARCHIVED = f"scope = {EACH_SERIES} AND level = {ARCHIVED}"


def differences(connection: Connection) -> list[str]:
    """What is wrong with the roll-ups, a line for each kind of sum; empty when all are as they should be."""
    found = [
        f"roll-ups differ from the executions ({what}): claude-force db rebuild" for what in _differing(connection)
    ]
    lost = f"SELECT COUNT(*) FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE {IS_PENDING})"
    if connection.fetch(lost)[0][0]:
        found.append("the list of executions to count names some that are not there: claude-force db rebuild")
    strays = f"SELECT COUNT(*) FROM executions WHERE NOT EXISTS (SELECT 1 FROM series WHERE {OF_SERIES})"
    if connection.fetch(strays)[0][0]:
        found.append("there are executions of a series that is not there: restore a backup")
    unlike = _archives_differing(connection)
    return found + [f"archived executions do not agree ({what}): restore a backup" for what in unlike]


def count_differences(connection: Connection) -> list[str]:
    """The same of one sum, which takes no time: how many executions there are."""
    summed = (
        "SELECT COALESCE(SUM(executions), 0) - "
        f"(SELECT COALESCE(SUM(executions), 0) FROM rollups WHERE {_ARCHIVED}) "
        f"FROM rollups WHERE scope = {ALL_SERIES} AND level = {ERA}"
    )
    counted = "SELECT COUNT(*) - (SELECT COUNT(*) FROM uncounted) FROM executions"
    if connection.fetch(summed)[0][0] == connection.fetch(counted)[0][0]:
        return []
    return ["roll-ups differ from the executions (number of all): claude-force db rebuild"]


def _differing(connection: Connection) -> Iterator[str]:
    hours = (
        f"SELECT bucket, series_id, {_SUMS} FROM ("
        f"SELECT timestamp_us / {HOUR_US} AS bucket, series_id, {COUNTS} FROM executions WHERE {_COUNTED} GROUP BY 1, 2"
        f" UNION ALL SELECT bucket, series_id, {_NAMES} FROM rollups WHERE {_ARCHIVED}"
        ") AS counted GROUP BY 1, 2"
    )
    kept = f"SELECT bucket, series_id, {_NAMES} FROM rollups WHERE scope = {EACH_SERIES} AND level = {HOUR}"
    if _differ(connection, hours, kept):
        yield "sums by hour"
    hours = (
        "SELECT bucket, series_id, error_type, SUM(failures), MIN(first_us), MAX(last_us) FROM ("
        f"SELECT timestamp_us / {HOUR_US} AS bucket, series_id, {_ERROR} AS error_type, COUNT(*) AS failures, "
        "MIN(timestamp_us) AS first_us, MAX(timestamp_us) AS last_us "
        f"FROM executions WHERE success = 0 AND {_COUNTED} GROUP BY 1, 2, 3 "
        "UNION ALL SELECT bucket, series_id, error_type, failures, first_us, last_us "
        f"FROM rollup_errors WHERE level = {ARCHIVED}) AS failed GROUP BY 1, 2, 3"
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
        of_each = f"SELECT {key}, {sums} FROM {table} WHERE scope = {EACH_SERIES} AND level >= {HOUR} GROUP BY {key}"
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
        f"SELECT bucket FROM rollup_durations WHERE scope = {EACH_SERIES} AND level IN ({DAY}, {ARCHIVED}) "
        f"UNION SELECT timestamp_us / {DAY_US} FROM executions"
    )
    return all(_day_agrees(connection, row[0]) for row in days)


def _day_agrees(connection: Connection, day: int) -> bool:
    kept, counted = (
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
        f"AND timestamp_us < :stop AND duration_us IS NOT NULL AND {_COUNTED} GROUP BY 1, 2",
        {"start": day * DAY_US, "stop": (day + 1) * DAY_US},
    ):
        counted[series, bin_of(duration)] += count
    return kept == counted


def _archives_differing(connection: Connection) -> Iterator[str]:
    """What is said of archived executions in more than one place, and is not the same."""
    of_hours = f"SELECT bucket, SUM(executions) FROM rollups WHERE {_ARCHIVED} GROUP BY 1"
    of_list = f"SELECT digest / {1 << DIGEST_BITS}, COUNT(*) FROM archived GROUP BY 1"
    if _differ(connection, of_hours, of_list):
        yield "their sums and the list of them"
    months: Counter[str] = Counter()
    for hour, executions in connection.fetch(of_hours):
        months[month_of(hour * HOUR_US)[0]] += int(executions)
    if dict(connection.fetch("SELECT month, executions FROM archives")) != months:
        yield "their sums and the months"
    twice = "SELECT COUNT(*) FROM archived WHERE EXISTS (SELECT 1 FROM executions WHERE executions.uid = archived.uid)"
    if connection.fetch(twice)[0][0]:
        yield "some are stored too"
