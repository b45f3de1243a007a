"""Checks that the roll-ups equal what the rows add up to.

The finest sums are compared with the rows (see `verify_days`); each coarser level with the finer one; the sums of all
series with those of each; the archived sums with the list of archived executions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from claude_force.clock import HOUR_US, month_of
from claude_force.database.contract import Connection, Progress
from claude_force.database.queries.filter import IS_PENDING
from claude_force.database.queries.verify_days import differing_days
from claude_force.executions.rollups import (
    ALL_SERIES,
    ARCHIVED,
    DAY,
    DIGEST_BITS,
    EACH_SERIES,
    ERA,
    HOUR,
    LEVELS_US,
)
from claude_force.executions.totals import TOTALS

_NAMES = ", ".join(TOTALS)
_SUMS = ", ".join(f"SUM({name})" for name in TOTALS)
_OTHERS = {
    "series": "some executions have a series that does not exist: restore a backup",
    "steps": "what the steps of executions cost differs from the executions: restore a backup",
}
_ARCHIVED = f"scope = {EACH_SERIES} AND level = {ARCHIVED}"


def differences(connection: Connection, progress: Progress | None = None) -> list[str]:
    """What is wrong with the roll-ups, a line for each kind of sum; empty if all are right."""
    return differences_from_rows(connection, progress) + differences_of_sums(connection)


def differences_from_rows(connection: Connection, progress: Progress | None = None) -> list[str]:
    """Where the finest sums differ from the executions. `progress` is called with the number of executions of each day
    that was checked."""
    connection.refuse_missing_rows()
    return [_OTHERS.get(kind) or _to_rebuild(kind) for kind in differing_days(connection, progress)]


def differences_of_sums(connection: Connection) -> list[str]:
    """Where sums differ from finer ones, and archived sums from the list of archived executions."""
    problems = [_to_rebuild(what) for what in _differing(connection)]
    lost = f"SELECT COUNT(*) FROM uncounted WHERE NOT EXISTS (SELECT 1 FROM executions WHERE {IS_PENDING})"
    if connection.fetch(lost)[0][0]:
        problems.append("the list of pending executions names some that do not exist: claude-force db rebuild")
    archives = _archives_differing(connection)
    return problems + [f"the figures of archived executions differ ({what}): restore a backup" for what in archives]


def _to_rebuild(what: str) -> str:
    return f"roll-ups differ from the executions ({what}): claude-force db rebuild"


def count_differences(connection: Connection) -> list[str]:
    """`differences` for the number of executions only, which takes no time."""
    connection.refuse_missing_rows()
    summed = (
        "SELECT COALESCE(SUM(executions), 0) - "
        f"(SELECT COALESCE(SUM(executions), 0) FROM rollups WHERE {_ARCHIVED}) "
        f"FROM rollups WHERE scope = {ALL_SERIES} AND level = {ERA}"
    )
    counted = "SELECT (SELECT COUNT(*) FROM executions) - (SELECT COUNT(*) FROM uncounted)"
    if connection.fetch(summed)[0][0] == connection.fetch(counted)[0][0]:
        return []
    return ["roll-ups differ from the executions (total number): claude-force db rebuild"]


def _differing(connection: Connection) -> Iterator[str]:
    for level in range(HOUR + 1, ERA + 1):
        yield from _differing_from_below(connection, level)
    yield from _differing_of_all_series(connection)


def _differing_of_all_series(connection: Connection) -> Iterator[str]:
    each = f"scope = {EACH_SERIES} AND level >= {HOUR}"
    for table, key, names, sums in (
        ("rollups", "level, bucket", _NAMES, _SUMS),
        ("rollup_durations", "level, bucket, bin", "executions", "SUM(executions)"),
        ("rollup_seats", "level, bucket, seat_id", _NAMES, _SUMS),
    ):
        of_each = f"SELECT {key}, {sums} FROM {table} WHERE {each} GROUP BY {key}"
        of_all = f"SELECT {key}, {names} FROM {table} WHERE scope = {ALL_SERIES}"
        if _differ(connection, of_each, of_all):
            yield f"{table} of all series"


def _differing_from_below(connection: Connection, level: int) -> Iterator[str]:
    """The tables whose sums at a level differ from those of the finer level."""
    ratio = LEVELS_US[level] // LEVELS_US[level - 1]
    each = f"scope = {EACH_SERIES} AND "
    count = ("executions", "SUM(executions)")
    of_failures = ("failures, first_us, last_us", "SUM(failures), MIN(first_us), MAX(last_us)")
    tables = [
        ("rollups", "series_id", _NAMES, _SUMS, each),
        ("rollup_errors", "series_id, error_type", *of_failures, ""),
    ]
    if level > DAY:
        tables += [
            ("rollup_durations", "series_id, bin", *count, each),
            ("rollup_seats", "series_id, seat_id", _NAMES, _SUMS, each),
            ("rollup_seat_durations", "seat_id, bin", *count, ""),
        ]
    for table, key, names, sums, scope in tables:
        below = (
            f"SELECT bucket / {ratio}, {key}, {sums} FROM {table} WHERE {scope}level = {level - 1} "
            f"GROUP BY bucket / {ratio}, {key}"
        )
        stored = f"SELECT bucket, {key}, {names} FROM {table} WHERE {scope}level = {level}"
        if _differ(connection, below, stored):
            yield f"{table} of level {level}"


def _differ(connection: Connection, one: str, other: str) -> bool:
    """Whether one of two queries returns a row that the other does not. Neither returns a row twice."""
    # Each is computed once, since it has a name.
    found = connection.fetch(
        f"WITH one AS ({one}), other AS ({other}) SELECT (SELECT COUNT(*) FROM one) <> (SELECT COUNT(*) FROM other) "
        "OR EXISTS (SELECT * FROM one EXCEPT SELECT * FROM other)"
    )
    return bool(found[0][0])


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
