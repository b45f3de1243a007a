"""Merging archives: an execution that the other store has archived is archived here, too, in a file of ours.

The file of a month is written first, with the executions of both stores; then they are listed as archived, batch by
batch. If that is interrupted, the file has more than is listed, and the next merge continues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from claude_force.clock import DAY_US, HOUR_US, month_of
from claude_force.database import queries
from claude_force.database.archive import SUFFIX, add_to_archive, read_archive
from claude_force.database.contract import Database, Progress
from claude_force.database.merge.executions import Counts, ExecutionMerge, batches, decide
from claude_force.database.queries.archives import archived_sums, iterate_tombstones
from claude_force.database.writes.archives import adopt_sums, tombstone
from claude_force.errors import ArchiveError
from claude_force.executions.record import ExecutionRow, column
from claude_force.executions.rollups import DIGEST_BITS
from claude_force.formatting import quantity

_INSTANT = column("timestamp_us")


class ArchiveLines(NamedTuple):
    """Lines about archives: the notes, and the problems, which keep the other store from being removed."""

    notes: list[str]
    problems: list[str]


def merge_archives(
    merge: ExecutionMerge, other: Database, folder: Path, counts: Counts, progress: Progress | None
) -> ArchiveLines:
    """Merge the archived executions of another store, whose archives are in `folder`. What could not be merged stays in
    the other store."""
    lines = ArchiveLines([], [])
    for file in sorted(folder.glob(f"[0-9][0-9][0-9][0-9]-[0-9][0-9]{SUFFIX}")):
        try:
            _merge_file(merge, other, file, counts, progress)
        except ArchiveError as error:
            lines.problems.append(str(error))
    if not merge.is_dry_run:
        _merge_without_files(merge, other, folder, counts, lines)
    return lines


def _merge_file(merge: ExecutionMerge, other: Database, file: Path, counts: Counts, progress: Progress | None) -> None:
    ours = merge.folder / file.name
    if not merge.is_dry_run and _lacks(ours, _rows_to_archive(merge, other, file)):
        first = next(_rows_to_archive(merge, other, file))
        add_to_archive(merge.target, merge.folder, first[_INSTANT], _rows_to_archive(merge, other, file))
    for rows in batches(_listed(other, file)):
        merge.merge(rows, counts, is_archived=True)
        if progress is not None:
            progress(len(rows))


def _lacks(file: Path, wanted: Iterator[ExecutionRow]) -> bool:
    """Whether an archive lacks any of some executions in the same order."""
    rest = read_archive(file) if file.exists() else iter(())
    found: ExecutionRow | None = None
    for row in wanted:
        place = (row[_INSTANT], row[0])
        while found is None or (found[_INSTANT], found[0]) < place:
            found = next(rest, None)
            if found is None:
                return True
        if found[0] != row[0]:
            return True
    return False


def _listed(other: Database, file: Path) -> Iterator[ExecutionRow]:
    """The executions of a file that the other store lists as archived, exactly so."""
    for rows in batches(read_archive(file)):
        with other.read() as connection:
            known = queries.tombstones(connection, [row[0] for row in rows])
        yield from (row for row in rows if known.get(row[0]) == tombstone(row))


def _rows_to_archive(merge: ExecutionMerge, other: Database, file: Path) -> Iterator[ExecutionRow]:
    """Those of them that are neither stored nor archived here, or archived exactly so, in order. Our archive may lack
    the latter, if an earlier merge did not find the file."""
    for rows in batches(_listed(other, file)):
        with merge.target.read() as connection:
            decision = decide(connection, merge.sightings, merge.matches.translated(rows), {}, is_archived=True)
        wanted = [*decision.new, *decision.archived_alike]
        yield from sorted(wanted, key=lambda row: (row[_INSTANT], row[0]))


def _merge_without_files(
    merge: ExecutionMerge, other: Database, folder: Path, counts: Counts, lines: ArchiveLines
) -> None:
    """Merge archived executions whose archive is not there. Of a day with none that is known here, the sums of the
    other store are taken over; those of other days cannot be told apart from what is here."""
    of_day, unknown = _unknown_by_day(merge, other)
    left: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for day, digests in unknown.items():
        month = month_of(day * DAY_US)[0]
        if len(digests) != of_day[day] or (folder / f"{month}{SUFFIX}").exists():
            left[month] += len(digests)
            continue
        with other.read() as connection:
            sums = archived_sums(connection, day)
        with merge.target.write() as connection:
            connection.lock_rollups()
            adopt_sums(connection, digests, sums, merge.now_us)
        taken[month] += len(digests)
    counts.added += taken.total()
    lines.notes.extend(
        f"there is no {folder / month}{SUFFIX}: {quantity(number, 'archived execution')} of it count, but cannot be "
        "restored"
        for month, number in sorted(taken.items())
    )
    lines.problems.extend(
        f"{quantity(number, 'archived execution')} of {month} could not be merged: put {folder / month}{SUFFIX} in its "
        "place, and merge again"
        for month, number in sorted(left.items())
    )


def _unknown_by_day(merge: ExecutionMerge, other: Database) -> tuple[Counter[int], dict[int, dict[bytes, int]]]:
    """How many executions of each day the other store lists as archived, and those of them that are unknown here."""
    of_day: Counter[int] = Counter()
    unknown: dict[int, dict[bytes, int]] = {}
    same, replays = merge.matches.same, merge.matches.replays
    for page in iterate_tombstones(other):
        known = queries.known_uids(merge.target, [same.get(uid, uid) for uid in page])
        for uid, digest in page.items():
            day = (digest >> DIGEST_BITS) * HOUR_US // DAY_US
            of_day[day] += 1
            if same.get(uid, uid) not in known and uid not in replays:
                unknown.setdefault(day, {})[uid] = digest
    return of_day, unknown
