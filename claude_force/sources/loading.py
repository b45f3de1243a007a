"""From parsed lines to the store: batches, progress, and the file of rejects.

The parser yields, the loader adds. What is not stored is counted and kept: each rejected line goes to `rejected.jsonl`
with its file, line, offset and reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from claude_force.database import Database
from claude_force.errors import InputError
from claude_force.private_files import open_append
from claude_force.query import known_uids
from claude_force.record import ExecutionMetrics, identity_bytes
from claude_force.result import Added
from claude_force.sources.jsonl import Parsed, Rejected

BATCH = 5000
"""Records in one transaction."""

EXAMPLES = 5
"""Rejected lines that a report remembers."""

NOTES_LIMIT = 100
"""How many different notes are told apart; their text comes from the file."""

Progress = Callable[[], None]
"""Called after each batch."""


@dataclass(slots=True)
class ImportReport:
    """What became of the lines of one import. `notes` counts what a person should hear, by its text;
    `examples` are the first rejected lines."""

    read: int = 0
    added: int = 0
    duplicates: int = 0
    repriced: int = 0
    rejected: int = 0
    cost_too_low: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, Rejected]] = field(default_factory=list)

    def __iadd__(self, other: ImportReport) -> ImportReport:
        for name in ("read", "added", "duplicates", "repriced", "rejected", "cost_too_low"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes
        self.examples = (self.examples + other.examples)[:EXAMPLES]
        return self


class Target(Protocol):
    """Where records go. A list with a counter is one, too."""

    def add(self, records: Iterable[ExecutionMetrics]) -> Added:
        """Take the records; how many were new."""

    def reprice(self, records: Iterable[ExecutionMetrics]) -> int:
        """Replace the costs of records that are there; how many changed."""


class DryRun:
    """A target that changes nothing: it says what a store would have done."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: set[bytes] = set()

    def add(self, records: Iterable[ExecutionMetrics]) -> Added:
        """Count the records that are in neither the store nor an earlier call."""
        uids = [identity_bytes(record.uid) for record in records]
        new = set(uids) - known_uids(self._database, uids) - self._seen
        self._seen |= new
        return Added(len(new), len(uids) - len(new))

    def reprice(self, records: Iterable[ExecutionMetrics]) -> int:  # noqa: ARG002  (the protocol's name)
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
    parsed: Iterable[Parsed | Rejected],
    target: Target,
    *,
    source: str,
    rejects: RejectLog | None,
    now_us: int,
    reprice: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Add everything that was parsed, batch by batch.

    `rejects` is None for a dry run. `now_us` is only for the note on executions that are dated after it. Raises
    DatabaseError or InputError; batches before that are stored, and the import can be run again.
    """
    report = ImportReport()
    for batch in batches(parsed):
        records = [item.record for item in batch if isinstance(item, Parsed)]
        refused = [item for item in batch if isinstance(item, Rejected)]
        result = target.add(records)
        if reprice and result.duplicates:
            report.repriced += target.reprice(records)
        if rejects is not None:
            rejects.write(source, refused)
        report += ImportReport(
            read=len(batch),
            added=result.added,
            duplicates=result.duplicates,
            rejected=len(refused),
            examples=[(source, item) for item in refused[:EXAMPLES]],
        )
        _take_notes(report, batch, now_us)
        if progress is not None:
            progress()
    return report


def batches(parsed: Iterable[Parsed | Rejected]) -> Iterator[tuple[Parsed | Rejected, ...]]:
    """Batches of BATCH items."""
    items = iter(parsed)
    while batch := tuple(islice(items, BATCH)):
        yield batch


def _take_notes(report: ImportReport, batch: Iterable[Parsed | Rejected], now_us: int) -> None:
    for item in batch:
        if isinstance(item, Parsed):
            report.cost_too_low += item.cost_too_low
            for note in item.notes:
                known = note in report.notes or len(report.notes) < NOTES_LIMIT
                report.notes[note if known else "and other notes"] += 1
            if item.record.timestamp_us > now_us:
                report.notes["dated after now; reports of the last days leave it out"] += 1
