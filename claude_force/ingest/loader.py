"""From parsed lines to the store: batches, progress, and the file of rejects.

The parser yields, the loader adds. What is not stored is counted and kept: each rejected line goes to `rejected.jsonl`
with its file, line, offset and reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from claude_force.database.contract import Database, Progress
from claude_force.database.queries import known_uids, tombstones
from claude_force.errors import InputError
from claude_force.executions.record import ExecutionRow, column
from claude_force.executions.rollups import Sums
from claude_force.executions.totals import Added
from claude_force.files import open_append

if TYPE_CHECKING:
    from claude_force.ingest.jsonl_source import Batch, Rejected

EXAMPLES = 5
"""Rejected lines that a report remembers."""

NOTES_LIMIT = 100
"""How many different notes are told apart; their text comes from the file."""

_INSTANT = column("timestamp_us")


@dataclass(slots=True)
class ImportReport:
    """What became of the lines of one import. `restored` were archived and are stored again. `notes` counts what a
    person should hear, by its text; `examples` are the first rejected lines."""

    read: int = 0
    added: int = 0
    restored: int = 0
    duplicates: int = 0
    repriced: int = 0
    rejected: int = 0
    cost_too_low: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, Rejected]] = field(default_factory=list)

    def __iadd__(self, other: ImportReport) -> ImportReport:
        for name in ("read", "added", "restored", "duplicates", "repriced", "rejected", "cost_too_low"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes
        self.examples = (self.examples + other.examples)[:EXAMPLES]
        return self


class Target(Protocol):
    """Where records go. A list with a counter is one, too."""

    def add_rows(self, rows: Sequence[ExecutionRow], sums: Sums | None) -> Added:
        """Take the rows, and what they come to; how many were new."""

    def restore(self, rows: Sequence[ExecutionRow]) -> int:
        """Take those of the rows back that were archived exactly so; how many."""

    def reprice(self, rows: Sequence[ExecutionRow]) -> int:
        """Replace the costs of executions that are there; how many changed."""


class DryRun:
    """A target that changes nothing: it says what a store would have done."""

    def __init__(self, database: Database) -> None:
        from claude_force.executions.jsonl.occurrences import OccurrenceCounter

        self._database = database
        self._seen = OccurrenceCounter()
        self._restored = OccurrenceCounter()

    def add_rows(self, rows: Sequence[ExecutionRow], sums: Sums | None) -> Added:  # noqa: ARG002  (the protocol's name)
        """Count the executions that are in neither the store nor an earlier call."""
        known = known_uids(self._database, [row[0] for row in rows])
        new = sum(row[0] not in known and self._seen.next(row[0]) == 0 for row in rows)
        return Added(new, len(rows) - new)

    def restore(self, rows: Sequence[ExecutionRow]) -> int:
        """Count the executions that were archived exactly so, and in no earlier call."""
        from claude_force.database.writes.archives import tombstone

        with self._database.read() as connection:
            known = tombstones(connection, self._database, [row[0] for row in rows])
        found = [row for row in rows if row[0] in known and tombstone(row) == known[row[0]]]
        return sum(self._restored.next(row[0]) == 0 for row in found)

    def close(self) -> None:
        """Forget what was counted, and the scratch file that it may have taken."""
        self._seen.clear()
        self._restored.clear()

    def reprice(self, rows: Sequence[ExecutionRow]) -> int:  # noqa: ARG002  (the protocol's name)
        """Nothing is changed, so nothing is counted."""
        return 0


@dataclass(slots=True)
class RejectLog:
    """The file of rejected lines. It is made, for the owner's eyes, when there is something to write."""

    path: Path

    def write(self, source: str, rejected: Iterable[Rejected]) -> None:
        """Append lines of `source`. Raises InputError where the file cannot be written: nothing may be dropped
        without a trace."""
        lines = [
            json.dumps(
                {
                    "file": source,
                    "line": item.line,
                    "offset": item.offset,
                    "reason": item.reason,
                    "text": item.excerpt.decode("utf-8", "backslashreplace"),
                }
            )
            for item in rejected
        ]
        if not lines:
            return
        try:
            with open(open_append(self.path), "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            raise InputError(f"rejected lines cannot be written to {self.path}: {error.strerror}") from error


def load(
    found: Iterable[Batch],
    target: Target,
    *,
    source: str,
    rejects: RejectLog | None,
    now_us: int,
    restore: bool = False,
    reprice: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Add everything that was read, batch by batch.

    `restore` brings back those that were archived, if lines say their uid; otherwise they stay so. `rejects` is None
    for a dry run. `now_us` is only for the note on executions that are dated after it. Raises DatabaseError or
    InputError; batches before that are stored, and the import can be run again.
    """
    report = ImportReport()
    for batch in found:
        result = target.add_rows(batch.rows, batch.sums)
        # A history whose lines have no uid is what executions came from, not where they went.
        restored = target.restore(batch.rows) if restore and result.duplicates and not batch.unnamed else 0
        if reprice and result.duplicates:
            report.repriced += target.reprice(batch.rows)
        if rejects is not None:
            rejects.write(source, batch.rejected)
        report += ImportReport(
            read=len(batch.rows) + len(batch.rejected),
            added=result.added,
            restored=restored,
            duplicates=result.duplicates - restored,
            rejected=len(batch.rejected),
            cost_too_low=batch.cost_too_low,
            examples=[(source, item) for item in batch.rejected[:EXAMPLES]],
        )
        _take_notes(report, batch, now_us)
        if progress is not None:
            progress(batch.position)
    return report


def _take_notes(report: ImportReport, batch: Batch, now_us: int) -> None:
    for note, count in batch.notes.items():
        known = note in report.notes or len(report.notes) < NOTES_LIMIT
        report.notes[note if known else "and other notes"] += count
    instants = [row[_INSTANT] for row in batch.rows]
    if instants and max(instants) > now_us:
        report.notes["dated after now; reports of the last days leave it out"] += sum(
            instant > now_us for instant in instants
        )
