"""Moving executions out of the table and back, in the caller's transaction. Needs the roll-up lock.

An execution is stored or archived, never both and never neither. Of an archived one the database keeps its uid with a
digest (`archived`), its share of the sums of its hour and day (the level ARCHIVED), and its month (`archives`). All of
these are sums or bounds and change in the same transaction as the rows. The other roll-ups contain both kinds of
executions and do not change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from claude_force.clock import DAY_US, HOUR_US, LATEST_US, month_of, to_instant
from claude_force.database import queries
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.executions import uid_batches
from claude_force.database.queries.export_queue import not_sent
from claude_force.database.writes.executions import reinsert_rows
from claude_force.database.writes.rollups import (
    add_finest,
    add_named,
    add_to_rollups,
    apply_pending,
    rebuild_named,
    series_ids,
)
from claude_force.database.writes.seats import add_seats, delete_empty_seats
from claude_force.database.writes.step_usage import delete_step_usage
from claude_force.executions.billed_steps import Share
from claude_force.executions.record import ExecutionRow, column, getter
from claude_force.executions.rollup_rows import spread_aggregates
from claude_force.executions.rollups import ARCHIVED, DIGEST_BITS, EACH_SERIES, Sums, negated, sum_up
from claude_force.time_windows import Window

_instant_of = getter("timestamp_us")
_STEPS = column("steps")
_SPAN = "bucket >= :first AND bucket < :end"
_NOTHING = " AND ".join(f"{name} = 0" for name in ("executions", *Share._fields))
_SUMS = (
    ("rollups", f"scope = {EACH_SERIES} AND level = {ARCHIVED}", _NOTHING, HOUR_US),
    ("rollup_durations", f"scope = {EACH_SERIES} AND level = {ARCHIVED}", "executions = 0", DAY_US),
    ("rollup_errors", f"level = {ARCHIVED}", "failures = 0", HOUR_US),
)
"""The archived sums: the table, the condition on it, the condition for sums of nothing, the length of its buckets. A
model that was only a step of others' executions has sums without executions."""

_OF_MONTH = f"FROM rollups WHERE scope = {EACH_SERIES} AND level = {ARCHIVED} AND {_SPAN}"
_EXTEND_MONTH = """
ON CONFLICT (month) DO UPDATE SET
    executions = archives.executions + excluded.executions,
    first_us = CASE WHEN excluded.first_us < archives.first_us THEN excluded.first_us ELSE archives.first_us END,
    last_us = CASE WHEN excluded.last_us > archives.last_us THEN excluded.last_us ELSE archives.last_us END,
    archived_us = excluded.archived_us
"""
_TIGHTEN_MONTH = """
UPDATE archives SET
    executions = :executions,
    first_us = CASE WHEN first_us < :first_us THEN :first_us ELSE first_us END,
    last_us = CASE WHEN last_us > :last_us THEN :last_us ELSE last_us END
WHERE month = :month
"""


def tombstone(row: ExecutionRow) -> int:
    """The digest that identifies an archived execution: the number of its hour, then a hash of all its fields."""
    # Imported here: it loads the JSON codec, which recording does not need.
    from claude_force.executions.jsonl.codec import row_digest

    noise = int.from_bytes(row_digest(row)) >> 64 - DIGEST_BITS
    return int(_instant_of(row)) // HOUR_US << DIGEST_BITS | noise


def archive_rows(connection: Connection, rows: Sequence[ExecutionRow], digests: Sequence[int], now_us: int) -> int:
    """Archive the rows that are stored exactly so; returns how many. `digests` are their tombstones. A row that changed
    meanwhile stays, and one that an exporter still has to send."""
    current = queries.rows_of(connection, [row[0] for row in rows])
    # After reading, so that every row that was read is rolled up.
    apply_pending(connection)
    unsent = not_sent(connection, current)
    stored = {row for row in current if row[0] not in unsent}
    moved = [(row, digest) for row, digest in zip(rows, digests, strict=True) if row in stored]
    if not moved:
        return 0
    uids = [row[0] for row, _ in moved]
    for condition, part in uid_batches(uids):
        connection.execute(f"DELETE FROM executions WHERE {condition}", part)
    delete_step_usage(connection, [row[0] for row, _ in moved if row[_STEPS] is not None])
    tombstones = [(uid, digest) for uid, (_, digest) in zip(uids, moved, strict=True)]
    connection.insert_all("archived (uid, digest)", tombstones, "")
    sums = sum_up([row for row, _ in moved])
    add_finest(connection, sums, ARCHIVED, ARCHIVED)
    days = {day for day, *_ in sums.spans}
    rebuild_named(connection, days)
    _add_seats(connection, negated(sums))
    delete_empty_seats(connection, days)
    _add_months(connection, (row for row, _ in moved), now_us)
    return len(moved)


def adopt_rows(connection: Connection, rows: Sequence[ExecutionRow], digests: Sequence[int], now_us: int) -> None:
    """List rows as archived that are neither stored nor archived here, and count them. `digests` are their tombstones.
    The caller must have written them to an archive that is safely on the disk."""
    if rows:
        _adopt(connection, dict(zip((row[0] for row in rows), digests, strict=True)), sum_up(rows))
        _add_months(connection, rows, now_us)


def adopt_sums(connection: Connection, digests: Mapping[bytes, int], sums: Sums, now_us: int) -> None:
    """The same for executions of one day of which only the tombstones, by uid, and the sums are known. Their archive is
    elsewhere."""
    hours = [digest >> DIGEST_BITS for digest in digests.values()]
    first_us, last_us = min(hours) * HOUR_US, (max(hours) + 1) * HOUR_US - 1
    _adopt(connection, digests, sums)
    _put_months(connection, [(month_of(first_us)[0], len(hours), first_us, last_us, now_us)])


def _add_seats(connection: Connection, sums: Sums) -> None:
    ids = series_ids(connection, sums.series)
    add_seats(connection, sums, ids, spread_aggregates(sums, ids))


def _adopt(connection: Connection, digests: Mapping[bytes, int], sums: Sums) -> None:
    tombstones = list(digests.items())
    connection.insert_all("archived (uid, digest)", tombstones, "")
    add_finest(connection, sums, ARCHIVED, ARCHIVED)
    # Without names: who worked is not known of archived executions.
    add_to_rollups(connection, replace(sums, spans={}, parts={}, seats=[]))


def _add_months(connection: Connection, rows: Iterable[ExecutionRow], now_us: int) -> None:
    by_month = _by_month(rows).items()
    _put_months(connection, [(month, len(instants), instants[0], instants[-1], now_us) for month, instants in by_month])


def _put_months(connection: Connection, months: Sequence[Row]) -> None:
    connection.insert_all("archives (month, executions, first_us, last_us, archived_us)", months, _EXTEND_MONTH)


def restore_rows(connection: Connection, rows: Sequence[ExecutionRow], digests: Sequence[int]) -> int:
    """Store the rows that are archived exactly so; returns how many. `digests` are their tombstones. The roll-ups
    contain them all the time."""
    known = queries.tombstones(connection, [row[0] for row in rows])
    wanted = {row[0]: row for row, digest in zip(rows, digests, strict=True) if known.get(row[0]) == digest}
    if not wanted:
        return 0
    back = list(wanted.values())
    for condition, part in uid_batches(list(wanted)):
        connection.execute(f"DELETE FROM archived WHERE {condition}", part)
    reinsert_rows(connection, back)
    sums = sum_up(back)
    add_finest(connection, negated(sums), ARCHIVED, ARCHIVED)
    add_named(connection, sums)
    _add_seats(connection, sums)
    first_us, last_us = min(map(_instant_of, back)), max(map(_instant_of, back))
    for table, condition, is_empty, size_us in _SUMS:
        connection.execute(
            f"DELETE FROM {table} WHERE {condition} AND {is_empty} AND {_SPAN}",
            {"first": first_us // size_us, "end": last_us // size_us + 1},
        )
    _tighten(connection, _by_month(back))
    return len(back)


def forget(connection: Connection, window: Window) -> int:
    """Delete what the database keeps of the archived executions in the whole days (UTC) of a window; returns how many.
    A part of a day cannot be separated. The archive files stay; importing them adds their executions as new ones."""
    first = 0 if window.start_us is None else -(-window.start_us // DAY_US)
    end = (LATEST_US if window.end_us is None else window.end_us) // DAY_US
    hours = {"first": first * DAY_US // HOUR_US, "end": end * DAY_US // HOUR_US}
    count = int(connection.fetch(f"SELECT COALESCE(SUM(executions), 0) {_OF_MONTH}", hours)[0][0])
    if not count:
        return 0
    for table, condition, _, size_us in _SUMS:
        span = {"first": first * DAY_US // size_us, "end": end * DAY_US // size_us}
        connection.execute(f"DELETE FROM {table} WHERE {condition} AND {_SPAN}", span)
    connection.execute(
        "DELETE FROM archived WHERE digest >= :first AND digest < :end",
        {name: hour << DIGEST_BITS for name, hour in hours.items()},
    )
    _tighten(connection, (row[0] for row in connection.fetch("SELECT month FROM archives")))
    return count


def _by_month(rows: Iterable[ExecutionRow]) -> dict[str, list[int]]:
    """The instants of rows by month, ascending."""
    by_month: dict[str, list[int]] = {}
    rest = sorted(map(_instant_of, rows))
    while rest:
        month, _, end_us = month_of(rest[0])
        inside = bisect_left(rest, end_us)
        by_month[month], rest = rest[:inside], rest[inside:]
    return by_month


def _tighten(connection: Connection, months: Iterable[str]) -> None:
    """Correct the counts and bounds of months after some of their executions left. A bound may stay at an execution
    that left, but lies in an hour that still has archived executions."""
    for month in months:
        _, start_us, end_us = month_of(_start_of_month(month))
        span = {"first": start_us // HOUR_US, "end": end_us // HOUR_US}
        count, first, last = connection.fetch(
            f"SELECT COALESCE(SUM(executions), 0), MIN(bucket), MAX(bucket) {_OF_MONTH}", span
        )[0]
        if count:
            left = {"executions": int(count), "first_us": first * HOUR_US, "last_us": (last + 1) * HOUR_US - 1}
            connection.execute(_TIGHTEN_MONTH, left | {"month": month})
        else:
            connection.execute("DELETE FROM archives WHERE month = :month", {"month": month})


def _start_of_month(month: str) -> int:
    year, number = map(int, month.split("-"))
    return to_instant(datetime(year, number, 1, tzinfo=UTC))
