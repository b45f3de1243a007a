"""What an import or an ingestion pass did with one source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from claude_force.formatting import quantity
from claude_force.ingest.find_files import path_text
from claude_force.ingest.rejects import Rejected

EXAMPLES = 5
"""How many rejected lines a report keeps."""

NAMED_PER_BATCH = 3
"""How many rejected lines of one batch are listed as problems. `rejected.jsonl` has all of them."""

PROBLEMS_LIMIT = 50
"""How many problems a report lists; the rest are counted."""

NOTES_LIMIT = 100
"""How many different notes a report counts. Their text comes from the files, so there could be any number."""


@dataclass(slots=True)
class SourceReport:
    """What was done with one kind of source, or with the files of one import.

    | field                | counts                                                            |
    |----------------------|-------------------------------------------------------------------|
    | `files`, `unchanged` | files, and those of them with nothing new                         |
    | `lines`              | lines read                                                        |
    | `added`              | new executions                                                    |
    | `known`              | executions that were stored already                               |
    | `restored`           | archived executions that are stored again                         |
    | `changed`            | stored executions whose usage or end changed                      |
    | `repriced`           | stored executions that got another cost                           |
    | `rejected`           | lines that are not executions; `examples` are the first of them   |
    | `skipped`            | lines that have no execution in them, by reason                   |
    | `notes`              | executions that were stored but need attention, by text           |
    | `cost_too_low`       | costs far below list price (see `jsonl_source`)                   |

    `problems` are paths with what is wrong with them; `more_problems` counts those that are not listed.
    """

    files: int = 0
    unchanged: int = 0
    lines: int = 0
    added: int = 0
    known: int = 0
    restored: int = 0
    changed: int = 0
    repriced: int = 0
    rejected: int = 0
    cost_too_low: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, Rejected]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    more_problems: int = 0

    @property
    def read(self) -> int:
        """Executions and rejected lines; a line that is blank or has no execution in it is neither."""
        return self.added + self.known + self.restored + self.rejected

    @property
    def duplicates(self) -> int:
        """The executions that were known: `known`, by the name that people read."""
        return self.known

    def reject(self, path: str, rejected: Sequence[Rejected]) -> None:
        """Count the rejected lines of a batch, and list the first of them as problems."""
        self.rejected += len(rejected)
        self.examples += [(path, item) for item in rejected[: EXAMPLES - len(self.examples)]]
        for item in rejected[:NAMED_PER_BATCH]:
            self.add_problem(Path(path), f"line {item.line:,}: {item.reason}")
        if len(rejected) > NAMED_PER_BATCH:
            first = rejected[NAMED_PER_BATCH].line
            self.add_problem(Path(path), f"and {len(rejected) - NAMED_PER_BATCH:,} more lines from line {first:,} on")

    def add_problem(self, path: Path, problem: str) -> None:
        """List what is wrong with a path, once."""
        found = (path_text(path), problem)
        if len(self.problems) >= PROBLEMS_LIMIT:
            self.more_problems += 1
        elif found not in self.problems:
            self.problems.append(found)

    def add_notes(self, notes: Counter[str]) -> None:
        """Count notes."""
        for note, count in notes.items():
            is_listed = note in self.notes or len(self.notes) < NOTES_LIMIT
            self.notes[note if is_listed else "and other notes"] += count


def too_low(costs: int) -> str:
    """That so many costs are known to be too low. A command that mends them follows it."""
    verb = "is" if costs == 1 else "are"
    return f"{quantity(costs, 'cost')} {verb} known to be far too low, as claude-force 1.3 wrote them; to correct them"
