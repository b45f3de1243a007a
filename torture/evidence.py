"""What a campaign compares: what recorders were told, and what a database holds.

Executions are known by their `run_id`, which the campaign makes and the package only carries: whether something is
there twice is not asked of the uid by which the package sees to it that nothing is.
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
    """The uid of an execution of a line of recorders: the same whoever records it, however often."""
    return str(UUID(int=line << 64 | number))


def name_of(line: int, number: int) -> str:
    """The `run_id` of the same execution."""
    return f"{line}:{number}"


class Difference(NamedTuple):
    """How what is stored differs from what has to be: executions that are not there, that are there more than once,
    and that nobody recorded."""

    lost: int = 0
    doubled: int = 0
    strange: int = 0

    def __add__(self, other: object) -> Difference:
        assert isinstance(other, Difference)
        return Difference(self.lost + other.lost, self.doubled + other.doubled, self.strange + other.strange)


def difference(found: Counter[str], wanted: Iterable[str]) -> Difference:
    """Compare what is kept with what has to be."""
    named = set(wanted)
    return Difference(
        lost=len(named - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        strange=len(found.keys() - named),
    )


def stored(location: str) -> Counter[str]:
    """How often each `run_id` is stored: of a database that cannot be read, none."""
    try:
        with closing(open_database(location)) as database, database.read() as connection:
            return Counter(row[0] for row in connection.fetch("SELECT run_id FROM executions"))
    except ClaudeForceError as error:
        say(f"  {location}: {error}")
        return Counter()


def archived(folder: Path) -> Counter[str]:
    """How often each `run_id` is in the archives of a folder."""
    place = column("run_id")
    return Counter(row[place] for file in sorted(folder.glob("*.jsonl.gz")) for row in read_archive(file))


def waiting(folder: Path) -> int:
    """How many executions wait in the spool files of a folder."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*spool*"))


def damage(location: str) -> list[str]:
    """What is wrong with a database: its pages and indexes, and at head whether every sum is what the rows come to."""
    try:
        with closing(open_database(location)) as database:
            found = database.check_integrity()
            if database.revision() != HEAD:
                return found
            with database.read() as connection:
                return found + verify_rollups.differences(connection)
    except ClaudeForceError as error:
        return [str(error)]
