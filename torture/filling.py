"""A disk that is really full: a small file system, recorded to until nothing more goes in, and space again afterwards.

Meanwhile a host goes on, with executions in the spool, on another disk when there is no place beside the database
either; and a command ends with a line that says so. With space again everything comes in, and the file is sound. The
disk is at times so full from the beginning that no database can be made.

The file system is a tmpfs. Who may not mount one has a limit on the size of files instead, which is the same to a
program but for the words of the error.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import NamedTuple

from claude_force.executions.jsonl.codec import encode_line
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.builders import NOON_US, an_execution
from torture.campaign import Effort, Figure, say
from torture.evidence import damage, difference, name_of, stored, waiting
from torture.processes import fork_context, record_one
from torture.steps import command

ROUNDS = 40
PUT_ASIDE = 300
"""So many executions wait before a recorder believes that the disk is full."""

MOST = 10_000
"""More executions than any of the disks holds: who has recorded so many without one put aside has lost some."""

IMPORTED = 3000
_KIB = 1024
_MIB = 1024 * _KIB


class Disk(NamedTuple):
    """A small disk. `limit` is what a file may have where the disk itself could not be made small."""

    folder: Path
    limit: int | None

    @property
    def place(self) -> Path:
        """The folder that fills up."""
        return self.folder / "disk"

    @property
    def location(self) -> str:
        """The database on it."""
        return str(self.place / "metrics.db")

    @property
    def state(self) -> Path:
        """Where executions wait on another disk."""
        return self.folder / "state"

    @property
    def said(self) -> Path:
        """What the last process said on stderr."""
        return self.folder / "said"

    @property
    def acknowledged(self) -> Path:
        """A byte for each execution that was acknowledged."""
        return self.folder / "acknowledged"

    def put_aside(self) -> int:
        """How many executions wait."""
        return waiting(self.place) + waiting(self.state / "claude-force")


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Fill disk after disk, each of another size."""
    chance, found = random.Random(effort.seed), Counter[str]()
    for number in range(effort.of(ROUNDS, least=2)):
        # Every other one is nearly full before there is a database: making one takes more.
        size = chance.randint(64 * _KIB, 512 * _KIB) if number % 2 else chance.randint(2 * _MIB, 4 * _MIB)
        place = folder / str(number)
        (place / "disk").mkdir(parents=True)
        with small_disk(place / "disk", size) as limit:
            found += fill(Disk(place, limit))
    say(f"  {found['rounds']:,} disks, {found['mounted']:,} of them a file system")
    return [
        Figure("disks filled", found["rounds"], at_least=ROUNDS),
        Figure("executions acknowledged", found["acknowledged"], at_least=10_000),
        Figure("of these put aside", found["put aside"], at_least=PUT_ASIDE * ROUNDS),
        Figure("imports that a full disk stopped", found["stopped"], at_least=1),
        Figure("hosts that did not go on", found["stopped hosts"], at_most=0),
        Figure("commands without one line that says why", found["undefined ends"], at_most=0),
        Figure("next runs that did not work", found["stuck"], at_most=0),
        Figure("executions lost or doubled", found["lost"], at_most=0),
        Figure("left in the spool", found["left"], at_most=0),
        Figure("damaged databases", found["damaged"], at_most=0),
    ]


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[int | None]:
    """A file system of so many bytes and a mebibyte that is used up already; or the size that files may have."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size + _MIB}", "none", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        yield size
        return
    try:
        (place / "ballast").write_bytes(bytes(_MIB))
        yield None
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(disk: Disk) -> Counter[str]:
    """Fill a disk, try a command on it, make space, and compare."""
    lines = [an_execution(timestamp_us=NOON_US + number, run_id=f"line-{number}") for number in range(IMPORTED)]
    (disk.folder / "lines.jsonl").write_bytes(b"".join(encode_line(line, UTC) for line in lines))
    stopped_hosts = int(_in_process(record, disk) != 0)
    put_aside, acknowledged = disk.put_aside(), disk.acknowledged.stat().st_size
    code = _in_process(bring, disk)
    is_defined = _is_defined(code, disk.said.read_text().splitlines())
    # Space again: for a file system that is small, and for files that had to be.
    (disk.place / "ballast").unlink(missing_ok=True)
    free = disk._replace(limit=None)
    stuck = sum(_in_process(work, free) != 0 for work in (bring, record_again))
    wanted = [name_of(0, number) for number in range(acknowledged)] + [f"line-{number}" for number in range(IMPORTED)]
    problems = damage(disk.location)
    for problem in problems:
        say(f"  {disk.location}: {problem}")
    return Counter(
        {
            "rounds": 1,
            "mounted": disk.limit is None,
            "acknowledged": acknowledged,
            "put aside": put_aside,
            "stopped": code,
            "stopped hosts": stopped_hosts,
            "undefined ends": not is_defined,
            "stuck": stuck,
            "lost": sum(difference(stored(disk.location), wanted)),
            "left": disk.put_aside(),
            "damaged": len(problems),
        }
    )


def _is_defined(code: int, said: Sequence[str]) -> bool:
    """Whether a command ended well, or said in one line why not."""
    if (code, list(said)) == (0, []) or (code == 1 and len(said) == 1 and said[0].startswith("error: ")):
        return True
    say(f"  import ended with {code} and said {said}")
    return False


def _in_process(work: Callable[[Disk], int], disk: Disk) -> int:
    """What a process ended with that did this, at home beside the disk, what it said in `said`."""
    process = fork_context().Process(target=_settle_and, args=(work, disk))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


# In the processes


def _settle_and(work: Callable[[Disk], int], disk: Disk) -> None:
    os.dup2(os.open(disk.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["XDG_STATE_HOME"] = str(disk.state)
    if disk.limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk.limit, hard))
    sys.exit(work(disk))


def record(disk: Disk) -> int:
    """Record until the disk is full, and a while longer."""
    warnings.simplefilter("ignore")
    descriptor = os.open(disk.acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    number = 0
    with PerformanceTracker(disk.folder, database=disk.location) as tracker:
        while number < MOST and (number % 50 or disk.put_aside() < PUT_ASIDE):
            record_one(tracker, 0, number)
            os.write(descriptor, b".")
            number += 1
    return 0


def bring(disk: Disk) -> int:
    """Import a file."""
    return command("import", str(disk.folder / "lines.jsonl"), "--db", disk.location)


def record_again(disk: Disk) -> int:
    """Record one that is there already; with it comes what waits."""
    with PerformanceTracker(disk.folder, database=disk.location) as tracker:
        record_one(tracker, 0, 0)
    return 0
