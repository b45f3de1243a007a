"""Merging another store into this one.

Every step adds what is missing and leaves the rest, each batch in one transaction. So a merge can be stopped at any
moment and run again, and merging twice adds nothing. How far files were read comes last: an ingestion in between reads
again, and knows what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claude_force.database import queries
from claude_force.database.contract import Database, Progress
from claude_force.database.merge.archives import merge_archives
from claude_force.database.merge.executions import Counts, ExecutionMerge, batches, delete_replays
from claude_force.database.merge.identities import find_matches, merge_identities
from claude_force.database.merge.sightings import keep_apart, sighting_merge
from claude_force.database.merge.source import OtherStore
from claude_force.database.merge.tables import NOT_MERGED, merge_tables, read_tables
from claude_force.database.queries import Filter
from claude_force.executions.sightings import Price


@dataclass(slots=True)
class MergeReport:
    """What a merge did, or in a dry run would do. `rows` has the rows that are new or better, by table; `replays` are
    executions of ours that did not count any more. `notes` are lines about archives that are elsewhere and what is not
    known, `problems` about what could not be merged."""

    executions: Counts = field(default_factory=Counts)
    archived: Counts = field(default_factory=Counts)
    replays: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {
            name: {"added": found.added, "changed": found.changed, "known": found.known}
            for name, found in (("executions", self.executions), ("archived_executions", self.archived))
        }
        return counts | {
            "rows": self.rows,
            "not_merged": list(NOT_MERGED),
            "notes": self.notes,
            "problems": self.problems,
        }


def size_of(other: OtherStore) -> int:
    """The number of executions of a store, for a progress bar: those that are stored, and those that are archived."""
    with other.database.read() as connection:
        return queries.stored(connection) + queries.archived(connection, Filter()).executions


def merge(
    target: Database,
    folder: Path,
    other: OtherStore,
    now_us: int,
    *,
    is_dry_run: bool = False,
    progress: Progress | None = None,
    price: Price | None = None,
) -> MergeReport:
    """Merge another store into `target`, whose archives are in `folder`. `price` prices what several sources saw. A dry
    run changes nothing.

    Raises DatabaseError, and ArchiveError if an archive of ours cannot be written; what was merged before that stays.
    """
    report = MergeReport()
    tables = read_tables(other.database)
    sightings = sighting_merge(target, other.database, price)
    matches = find_matches(target, other.database)
    if sightings.is_needed:
        keep_apart(target, other.database, matches)
    executions = ExecutionMerge(target, other.database, folder, matches, sightings, now_us, is_dry_run)
    if not is_dry_run:
        report.replays = delete_replays(target, matches.own_replays)
    for rows in batches(queries.iterate_rows(other.database, Filter())):
        executions.merge(rows, report.executions)
        if progress is not None:
            progress(len(rows))
    lines = merge_archives(executions, other.database, other.archive_folder, report.archived, progress)
    report.notes, report.problems = lines.notes, lines.problems
    if not is_dry_run:
        report.rows["identities"] = merge_identities(target, other.database, matches)
    merged = merge_tables(target, tables, is_dry_run=is_dry_run)
    report.rows |= merged.counts
    report.notes += merged.notes
    return report
