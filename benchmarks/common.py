"""Runs processes and measures their time and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
PROGRAM = Path(sys.executable).with_name("claude-force")
TIME_LIMIT_S = 3600

_SAMPLE_S = 0.1
_FAMILY_EVERY = 5

T = TypeVar("T")


class Failed(Exception):
    """A measured process failed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a whole process: wall time, CPU time (user and system), peak memory, and its stdout."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


def say(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str], statuses: Container[int] = (0,)
) -> Usage:
    """Run a command and measure it with its children. Raises Failed with its last line on stderr if it ends with
    another status."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, env=environment, stdout=output, stderr=errors
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        limit = threading.Timer(TIME_LIMIT_S, process.kill)
        limit.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        except BaseException:
            process.kill()
            raise
        finally:
            limit.cancel()
            sampler.finished.set()
            sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, errors):
            file.seek(0)
        if process.returncode not in statuses:
            message = errors.read().strip().splitlines() or ["no message"]
            name = " ".join(Path(part).name for part in command[:3])
            raise Failed(f"`{name} ...` ended with {process.returncode}: {message[-1]}")
        # ru_maxrss includes the peak inherited from this process, so it is used only if there is no sample.
        inherited = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Usage(wall, used.ru_utime + used.ru_stime, sampler.peak or inherited, output.read())


class _Sampler(threading.Thread):
    """Samples the memory of a process and its descendants: what a fork shares counts once. Needs /proc."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.finished = threading.Event()
        self.peak = 0
        self._pid = pid

    def run(self) -> None:
        family, turn = {self._pid}, 0
        while not self.finished.wait(_SAMPLE_S):
            if turn % _FAMILY_EVERY == 0:
                family = _family(self._pid)
            turn += 1
            self.peak = max(self.peak, _held(family))


def _family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(stat.parent.name)] = int(stat.read_bytes().rpartition(b")")[2].split()[1])
    found, fresh = {pid}, {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def _held(family: Iterable[int]) -> int:
    """The bytes that processes hold together: all that is their own, and files, such as libraries, as far as one of
    them has them mapped. The sum of resident memory counts twice what the second has from the first."""
    own, files = 0, [0]
    for pid in family:
        sizes: dict[str, int] = {}
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, _, value = line.partition(":")
                sizes[name] = 1024 * int(value.split()[0])
        if sizes:
            own += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
            files.append(sizes["Rss"] - sizes["Anonymous"])
    return own + max(files)


def alternate(repeat: int, *sides: Callable[[], T]) -> list[list[T]]:
    """The results of each side over `repeat` rounds. Every other round runs them in the opposite order. The disk is
    synced before each side."""
    found: list[list[T]] = [[] for _ in sides]
    for turn in range(repeat):
        order = list(zip(sides, found, strict=True))
        for side, results in order if turn % 2 == 0 else reversed(order):
            os.sync()
            results.append(side())
    return found


def median(usages: Sequence[Usage], of: str) -> float:
    """The median of one measure over several runs."""
    values: list[float] = [getattr(usage, of) for usage in usages]
    return statistics.median(values)
