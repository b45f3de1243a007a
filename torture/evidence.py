"""Compares acknowledged executions with those that a database holds.

Executions are identified by their `run_id`, which the campaign makes. The uid would hide duplicates, because the
package uses it to prevent them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from claude_force.database.archive import read_archive
from claude_force.database.open import open_database
from claude_force.database.queries import verify_rollups
from claude_force.database.revisions import HEAD
from claude_force.errors import ClaudeForceError
from claude_force.executions.record import column
from torture.campaign import say


def uid_of(line: int, number: int) -> str:
    """The uid of an execution: the same for every attempt to record it."""
    return str(UUID(int=line << 64 | number))


def name_of(line: int, number: int) -> str:
    """The `run_id` of the same execution."""
    return f"{line}:{number}"


class Difference(NamedTuple):
    """Executions that are missing, that are stored more than once, and that nobody recorded."""

    lost: int = 0
    doubled: int = 0
    strange: int = 0

    def __add__(self, other: object) -> Difference:
        assert isinstance(other, Difference)
        return Difference(self.lost + other.lost, self.doubled + other.doubled, self.strange + other.strange)


def difference(found: Counter[str], wanted: Iterable[str]) -> Difference:
    """Compare the stored executions with the wanted ones."""
    named = set(wanted)
    return Difference(
        lost=len(named - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        strange=len(found.keys() - named),
    )


def stored(location: str) -> Counter[str]:
    """The count of each `run_id` in a database; empty if it cannot be read."""
    try:
        with closing(open_database(location)) as database, database.read() as connection:
            return Counter(row[0] for row in connection.fetch("SELECT run_id FROM executions"))
    except ClaudeForceError as error:
        say(f"  {location}: {error}")
        return Counter()


def archived(folder: Path) -> Counter[str]:
    """The count of each `run_id` in the archives of a folder."""
    run_id = column("run_id")
    return Counter(row[run_id] for file in sorted(folder.glob("*.jsonl.gz")) for row in read_archive(file))


def waiting(folder: Path) -> int:
    """The number of executions in the spool files of a folder."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*spool*"))


def damage(location: str) -> list[str]:
    """Damage to a database: to pages and indexes and, at head, sums that differ from the rows."""
    try:
        with closing(open_database(location)) as database:
            found = database.check_integrity().defects
            if database.revision() != HEAD:
                return found
            with database.read() as connection:
                return found + verify_rollups.differences(connection)
    except ClaudeForceError as error:
        return [str(error)]
