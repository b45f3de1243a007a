"""Archived executions: how many a period has, which months are to be archived, which uids were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from claude_force.clock import DAY_US, HOUR_US, month_of
from claude_force.database.contract import Connection, Database
from claude_force.database.queries.aggregates import is_known_to_rollups, known_ranges
from claude_force.database.queries.executions import PAGE, uid_batches
from claude_force.database.queries.filter import SERIES_NAMES, Dimension, Filter, where
from claude_force.executions.columns import LABELS
from claude_force.executions.rollups import ARCHIVED, EACH_SERIES, Failures, Sums, collect_sums
from claude_force.executions.totals import TOTALS, Archived, TimeRange
from claude_force.time_windows import Window


class MonthToArchive(NamedTuple):
    """A month of UTC with executions to archive: its name ("2026-07"), the part of it to archive, and how many
    executions that has."""

    name: str
    window: Window
    executions: int


def archived(connection: Connection, filters: Filter, *dimensions: Dimension) -> Archived:
    """How many of the matching executions are archived; an hour of them counts as a point at its start. Their workflow
    is not known any more, so a filter on workflows does not restrict them; the report then leaves them out, and
    `is_counted` is False."""
    is_counted = is_known_to_rollups(filters, *dimensions)
    _, archives = known_ranges(connection)
    if archives is None:
        return Archived(is_counted=is_counted)
    names, named = filters.conditions(*SERIES_NAMES)
    joined = " JOIN series USING (series_id)" if names else ""
    conditions = [f"scope = {EACH_SERIES}", f"level = {ARCHIVED}", "bucket >= :first", "bucket < :end", *names]
    row = connection.fetch(
        f"SELECT COALESCE(SUM(executions), 0), MIN(bucket), MAX(bucket) FROM rollups{joined}{where(conditions)}",
        archived_hours(archives, filters.window) | named,
    )[0]
    executions, first, last = map(int, (row[0], row[1] or 0, row[2] or 0))
    return Archived(executions, first * HOUR_US, last * HOUR_US, is_counted)


def archived_hours(archives: TimeRange, window: Window) -> dict[str, int]:
    """The hours of a window that may be archived, from `first` to `end`: an hour counts as a point at its start."""
    start, end = window.start_us, window.end_us
    return {
        "first": archives.first_us // HOUR_US if start is None else -(-start // HOUR_US),
        "end": archives.last_us // HOUR_US + 1 if end is None else -(-end // HOUR_US),
    }


def months_before(connection: Connection, until_us: int) -> Iterator[MonthToArchive]:
    """The months that have executions before an instant, oldest first."""
    after_us = 0
    while True:
        period = {"start": after_us, "end": until_us}
        first = connection.fetch(
            "SELECT MIN(timestamp_us) FROM executions WHERE timestamp_us >= :start AND timestamp_us < :end", period
        )[0][0]
        if first is None:
            return
        name, start_us, after_us = month_of(first)
        window = Window(start_us, min(after_us, until_us))
        count = connection.fetch(
            "SELECT COUNT(*) FROM executions WHERE timestamp_us >= :start AND timestamp_us < :end",
            {"start": window.start_us, "end": window.end_us},
        )[0][0]
        yield MonthToArchive(name, window, int(count))


def stored_uids(connection: Connection, uids: Sequence[bytes], window: Window) -> set[bytes]:
    """The uids that are stored with an instant in a window."""
    stored: set[bytes] = set()
    period = {"start": window.start_us, "end": window.end_us}
    for condition, part in uid_batches(uids):
        rows = connection.fetch(
            f"SELECT uid FROM executions WHERE {condition} AND timestamp_us >= :start AND timestamp_us < :end",
            part | period,
        )
        stored.update(row[0] for row in rows)
    return stored


def tombstones(connection: Connection, uids: Sequence[bytes]) -> dict[bytes, int]:
    """The uids that are archived, each with the digest of its execution."""
    digests: dict[bytes, int] = {}
    for condition, part in uid_batches(uids):
        rows = connection.fetch(f"SELECT uid, digest FROM archived WHERE {condition}", part)
        digests.update(rows)
    return digests


def archived_sums(connection: Connection, day: int) -> Sums:
    """The sums of the archived executions of a day (its number since the epoch, UTC)."""
    labels = ", ".join(LABELS)
    ours = f"level = {ARCHIVED} AND bucket >= :first AND bucket < :end"
    hours = {"first": day * DAY_US // HOUR_US, "end": (day + 1) * DAY_US // HOUR_US}
    each = f"scope = {EACH_SERIES} AND {ours}"
    aggregates = connection.fetch(
        f"SELECT {labels}, bucket, {', '.join(TOTALS)} FROM rollups JOIN series USING (series_id) WHERE {each}", hours
    )
    bins = connection.fetch(
        f"SELECT {labels}, bucket, bin, executions FROM rollup_durations JOIN series USING (series_id) WHERE {each}",
        {"first": day, "end": day + 1},
    )
    errors = connection.fetch(
        f"SELECT {labels}, bucket, error_type, failures, first_us, last_us "
        f"FROM rollup_errors JOIN series USING (series_id) WHERE {ours}",
        hours,
    )
    count = len(LABELS)
    return collect_sums(
        ((row[:count], row[count], row[count + 1 :]) for row in aggregates),
        ((row[:count], *row[count:]) for row in bins),
        ((row[:count], row[count], row[count + 1], Failures(*row[count + 2 :])) for row in errors),
    )


def iterate_tombstones(database: Database) -> Iterator[dict[bytes, int]]:
    """`tombstones` of all archived executions, page by page, in constant memory."""
    sql, after = "SELECT uid, digest FROM archived", None
    while True:
        position = "" if after is None else " WHERE uid > :after"
        with database.read() as connection:
            rows = connection.fetch(
                f"{sql}{position} ORDER BY uid LIMIT {PAGE}", {} if after is None else {"after": after}
            )
        if not rows:
            return
        after = rows[-1][0]
        yield dict(rows)
