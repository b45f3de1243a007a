"""Archived executions: how many a period has, which months are to be archived, which uids were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from claude_force.clock import HOUR_US, month_of
from claude_force.database.contract import Connection, Database
from claude_force.database.queries.aggregates import is_known_to_rollups, known_ranges
from claude_force.database.queries.executions import uid_batches
from claude_force.database.queries.filter import SERIES_NAMES, Dimension, Filter, where
from claude_force.executions.rollups import ARCHIVED, EACH_SERIES
from claude_force.executions.totals import Archived
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
    start, end = filters.window.start_us, filters.window.end_us
    hours = {
        "first": archives.first_us // HOUR_US if start is None else -(-start // HOUR_US),
        "end": archives.last_us // HOUR_US + 1 if end is None else -(-end // HOUR_US),
    }
    names, named = filters.conditions(*SERIES_NAMES)
    joined = " JOIN series USING (series_id)" if names else ""
    conditions = [f"scope = {EACH_SERIES}", f"level = {ARCHIVED}", "bucket >= :first", "bucket < :end", *names]
    row = connection.fetch(
        f"SELECT COALESCE(SUM(executions), 0), MIN(bucket), MAX(bucket) FROM rollups{joined}{where(conditions)}",
        hours | named,
    )[0]
    executions, first, last = map(int, (row[0], row[1] or 0, row[2] or 0))
    return Archived(executions, first * HOUR_US, last * HOUR_US, is_counted)


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


def stored_uids(connection: Connection, database: Database, uids: Sequence[bytes], window: Window) -> set[bytes]:
    """The uids that are stored with an instant in a window."""
    stored: set[bytes] = set()
    period = {"start": window.start_us, "end": window.end_us}
    for condition, part in uid_batches(list(map(database.encode_uid, uids))):
        rows = connection.fetch(
            f"SELECT uid FROM executions WHERE {condition} AND timestamp_us >= :start AND timestamp_us < :end",
            part | period,
        )
        stored.update(database.decode_uid(row[0]) for row in rows)
    return stored


def tombstones(connection: Connection, database: Database, uids: Sequence[bytes]) -> dict[bytes, int]:
    """The uids that are archived, each with the digest of its execution."""
    digests: dict[bytes, int] = {}
    for condition, part in uid_batches(list(map(database.encode_uid, uids))):
        rows = connection.fetch(f"SELECT uid, digest FROM archived WHERE {condition}", part)
        digests.update((database.decode_uid(uid), int(digest)) for uid, digest in rows)
    return digests
