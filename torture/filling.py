"""A full disk: a small file system is filled by recording, and gets space again afterwards.

While it is full, the host goes on: executions go to the spool, on another disk if there is no space beside the
database. A command reports the error in one line. With space again everything is stored, and the file is sound. Some
disks are too full from the start to create a database.

The file system is a tmpfs. Without the right to mount one, the size of files is limited instead: only the text of the
error differs.
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
SPOOLED = 300
"""A recorder ends after this many executions are in the spool."""

MAXIMUM_EXECUTIONS = 10_000
"""More than any of the disks holds. A recorder that gets here has lost executions."""

IMPORTED = 3000
_KIB = 1024
_MIB = 1024 * _KIB
_BALLAST = 4 * _MIB
"""What is freed: enough for all that waits, in the database and in its log."""


class Disk(NamedTuple):
    """A small disk. `limit` is the maximum file size in bytes if no small file system could be mounted."""

    folder: Path
    limit: int | None

    @property
    def mount_point(self) -> Path:
        """The folder that fills up."""
        return self.folder / "disk"

    @property
    def location(self) -> str:
        """The database on it."""
        return str(self.mount_point / "metrics.db")

    @property
    def state(self) -> Path:
        """The folder of the spool on the other disk."""
        return self.folder / "state"

    @property
    def stderr(self) -> Path:
        """The stderr of the last process."""
        return self.folder / "stderr"

    @property
    def acknowledged(self) -> Path:
        """A file with a byte for each acknowledged execution."""
        return self.folder / "acknowledged"

    def count_spooled(self) -> int:
        """The number of executions in the spool."""
        return waiting(self.mount_point) + waiting(self.state / "claude-force")


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Fill disks of different sizes, one after the other."""
    chance, found = random.Random(effort.seed), Counter[str]()
    for number in range(effort.of(ROUNDS, least=2)):
        # Every other disk is too small to create a database.
        size = chance.randint(64 * _KIB, 512 * _KIB) if number % 2 else chance.randint(2 * _MIB, 4 * _MIB)
        here = folder / str(number)
        (here / "disk").mkdir(parents=True)
        with small_disk(here / "disk", size) as limit:
            found += fill(Disk(here, limit))
    say(f"  {found['rounds']:,} disks, {found['mounted']:,} of them a file system")
    return [
        Figure("disks filled", found["rounds"], at_least=ROUNDS),
        Figure("executions acknowledged", found["acknowledged"], at_least=10_000),
        Figure("of these spooled", found["spooled"], at_least=SPOOLED * ROUNDS),
        Figure("imports that a full disk stopped", found["stopped"], at_least=1),
        Figure("hosts that stopped", found["stopped hosts"], at_most=0),
        Figure("commands without a one-line error", found["undefined ends"], at_most=0),
        Figure("next runs that failed", found["stuck"], at_most=0),
        Figure("executions lost or doubled", found["lost"], at_most=0),
        Figure("left in the spool", found["left"], at_most=0),
        Figure("damaged databases", found["damaged"], at_most=0),
    ]


@contextmanager
def small_disk(mount_point: Path, size: int) -> Iterator[int | None]:
    """Mount a file system with `size` free bytes and some in use; or yield the maximum file size."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size + _BALLAST}", "none", str(mount_point)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        yield size
        return
    try:
        (mount_point / "ballast").write_bytes(bytes(_BALLAST))
        yield None
    finally:
        subprocess.run(["umount", str(mount_point)], check=True)


def fill(disk: Disk) -> Counter[str]:
    """Fill a disk, run a command on it, make space, and compare."""
    lines = [an_execution(timestamp_us=NOON_US + number, run_id=f"line-{number}") for number in range(IMPORTED)]
    (disk.folder / "lines.jsonl").write_bytes(b"".join(encode_line(line, UTC) for line in lines))
    stopped_hosts = int(_in_process(record, disk) != 0)
    spooled, acknowledged = disk.count_spooled(), disk.acknowledged.stat().st_size
    code = _in_process(import_lines, disk)
    is_defined = _is_defined(code, disk.stderr.read_text().splitlines())
    # Makes space: on a small file system, and by lifting the limit on files.
    (disk.mount_point / "ballast").unlink(missing_ok=True)
    free = disk._replace(limit=None)
    stuck = sum(_in_process(work, free) != 0 for work in (import_lines, record_again))
    wanted = [name_of(0, number) for number in range(acknowledged)] + [f"line-{number}" for number in range(IMPORTED)]
    problems = damage(disk.location)
    for problem in problems:
        say(f"  {disk.location}: {problem}")
    return Counter(
        {
            "rounds": 1,
            "mounted": disk.limit is None,
            "acknowledged": acknowledged,
            "spooled": spooled,
            "stopped": code,
            "stopped hosts": stopped_hosts,
            "undefined ends": not is_defined,
            "stuck": stuck,
            "lost": sum(difference(stored(disk.location), wanted)),
            "left": disk.count_spooled(),
            "damaged": len(problems),
        }
    )


def _is_defined(code: int, lines: Sequence[str]) -> bool:
    """Whether a command succeeded, or reported the error in one line."""
    if (code, list(lines)) == (0, []) or (code == 1 and len(lines) == 1 and lines[0].startswith("error: ")):
        return True
    say(f"  import: exit code {code}, stderr {lines}")
    return False


def _in_process(work: Callable[[Disk], int], disk: Disk) -> int:
    """The exit code of a process that does `work`. Its stderr goes to `disk.stderr`."""
    process = fork_context().Process(target=_redirect_and_run, args=(work, disk))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


# In the processes


def _redirect_and_run(work: Callable[[Disk], int], disk: Disk) -> None:
    os.dup2(os.open(disk.stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["XDG_STATE_HOME"] = str(disk.state)
    if disk.limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk.limit, hard))
    sys.exit(work(disk))


def record(disk: Disk) -> int:
    """Record until the disk is full, and some more."""
    warnings.simplefilter("ignore")
    descriptor = os.open(disk.acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    number = 0
    with PerformanceTracker(disk.folder, database=disk.location) as tracker:
        while number < MAXIMUM_EXECUTIONS and (number % 50 or disk.count_spooled() < SPOOLED):
            record_one(tracker, 0, number)
            os.write(descriptor, b".")
            number += 1
    return 0


def import_lines(disk: Disk) -> int:
    """Import a file."""
    return command("import", str(disk.folder / "lines.jsonl"), "--db", disk.location)


def record_again(disk: Disk) -> int:
    """Record a known execution, which also ingests the spool."""
    with PerformanceTracker(disk.folder, database=disk.location) as tracker:
        record_one(tracker, 0, 0)
    return 0
