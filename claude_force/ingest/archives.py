"""Bring archived executions back from the archive of a month, as an import of it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from claude_force.database.contract import Database, Progress
from claude_force.database.writes import Store
from claude_force.errors import InputError
from claude_force.ingest.input import Input, open_input
from claude_force.ingest.jsonl_source import Batch, JsonlSource
from claude_force.ingest.loader import Loader
from claude_force.ingest.prefetch import read_batches


@dataclass(frozen=True, slots=True)
class RestoredMonth:
    """What was done with the archive of a month. `restored` executions were archived and are stored again, `added` ones
    were not known (an archive of another database), `stored` ones were there already. `problems` has a line for the
    archive if it cannot be read to its end."""

    month: str
    file: Path
    restored: int
    added: int
    stored: int
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The month for JSON."""
        return {
            "month": self.month,
            "file": str(self.file),
            "restored": self.restored,
            "added": self.added,
            "stored": self.stored,
            "problems": list(self.problems),
        }


def restore_month(
    database: Database, month: str, file: Path, now_us: int, progress: Progress | None = None
) -> RestoredMonth:
    """Store the executions of an archive again. Raises DatabaseError. What was stored before that stays, and repeating
    it is safe. The archive is not changed, so nothing of it that cannot be read is written elsewhere."""
    loader = Loader(Store(database), None, restore=True)
    problems: tuple[str, ...] = ()
    try:
        with open_input(str(file)) as opened:
            loader.load(str(file), _advancing(opened, progress), now_us)
    except InputError as error:
        problems = (str(error),)
    report = loader.report
    if report.rejected:
        _, first = report.examples[0]
        problems = (f"{file} is damaged (line {first.line:,}: {first.reason}); what is before that was restored",)
    return RestoredMonth(month, file, report.restored, report.added, report.known, problems)


def _advancing(opened: Input, progress: Progress | None) -> Iterator[Batch]:
    """The batches of an archive. `progress` is called with the bytes on disk since its last call."""
    done = 0
    for batch in read_batches(opened, JsonlSource(UTC)):
        yield batch
        if progress is not None:
            progress(batch.position - done)
            done = batch.position
