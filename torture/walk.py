"""Does one step again and again, each time with another call that fails: `python -m torture.walk`, with failing_io
preloaded.

It forks for each try, so that everything is imported once. Its parent gets the counts as a line of JSON, and what was
wrong on stderr.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import itertools
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from claude_force.errors import ClaudeForceError
from torture.campaign import say
from torture.evidence import archived, damage, difference, stored
from torture.steps import STEPS, Place, Step

PATIENCE_S = 60
"""A step that takes longer hangs."""

UNEXPECTED = ("Traceback", "unexpected:")
"""What nobody should ever be shown."""


class Fault(NamedTuple):
    """Which call fails, counted from 1 (0: none), with which errno, and whether every later one does too."""

    at: int = 0
    error: int = 0
    is_for_good: bool = False

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} at call {self.at}{' and after' if self.is_for_good else ''}"


class End(NamedTuple):
    """How a process ended, what it said on stderr, and how many calls it made."""

    code: int
    said: str
    calls: int


FAULTS = [Fault(0, error, is_for_good) for error in (errno.ENOSPC, errno.EIO) for is_for_good in (False, True)]


def walk(step: Step, folder: Path, stride: int, start: int) -> Counter[str]:
    """Let every call fail, or every `stride`-th from `start` on, until there is none of that number."""
    template, found = Place(folder / "template"), Counter[str]()
    for part in (template.disk, template.home):
        part.mkdir(parents=True)
    step.prepare(template)
    _warm_up(step, template, Place(folder / "warm"))
    for fault in FAULTS:
        for at in itertools.count(start, stride):
            place = Place(folder / "try")
            shutil.copytree(template.folder, place.folder)
            is_there = try_one(step, place, fault._replace(at=at), found)
            shutil.rmtree(place.folder)
            if not is_there:
                break
    return found


def _warm_up(step: Step, template: Place, place: Place) -> None:
    """Do the step twice in this process, the second time without its disk, so that what it imports is there for every
    fork."""
    shutil.copytree(template.folder, place.folder)
    os.environ["HOME"] = str(place.home)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        step.does(place)
        shutil.rmtree(place.disk)
        place.disk.touch()
        step.does(place)
    gc.collect()
    gc.freeze()


def _settle(place: Place) -> None:
    """Be at home in a place, and say nothing aloud."""
    os.environ["HOME"] = str(place.home)
    os.chdir(place.home)
    for number, name in ((1, os.devnull), (2, place.home / "said")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)


def try_one(step: Step, place: Place, fault: Fault, found: Counter[str]) -> bool:
    """Do the step with a fault and then without; count what was wrong. False if the fault was never reached."""
    end = in_child(step.does, place, fault)
    found["points"] += end.calls >= fault.at
    problems = Problems(found, f"{fault}: ")
    if not is_defined(step, end):
        problems.add("undefined ends", f"ended with {end.code}, said {end.said!r}")
    if place.database.exists():
        problems.add("damaged", *damage(str(place.database)))
    problems.add("left behind", *(path.name for path in place.disk.rglob(".*.tmp*")))
    again = in_child(step.does, place, Fault())
    if again.code or again.said:
        problems.add("stuck", f"the next run ended with {again.code}, said {again.said!r}")
    problems.add("damaged", *damage(str(place.database)))
    try:
        compare(place, problems)
    except ClaudeForceError as error:
        problems.add("damaged", str(error))
    return end.calls >= fault.at


class Problems(NamedTuple):
    """Where what is wrong is counted and said."""

    counts: Counter[str]
    prefix: str

    def add(self, kind: str, *what: str) -> None:
        """Count and say each."""
        self.counts[kind] += len(what)
        for line in what:
            say(f"  {self.prefix}{kind}: {line}")


def is_defined(step: Step, end: End) -> bool:
    """Whether a process ended as is promised: a command with 0, or with lines that say what was wrong; a host as if
    nothing was."""
    if any(word in end.said for word in UNEXPECTED):
        return False
    if not step.is_command:
        return end.code == 0
    lines = end.said.splitlines()
    return end.code == 0 or (end.code in (1, 2) and bool(lines) and all(line.startswith("error: ") for line in lines))


def compare(place: Place, problems: Problems) -> None:
    """Whether everything that was promised is stored, or archived, once; in the database and in every copy of it."""
    wanted = place.promised
    kept = stored(str(place.database)) + archived(place.disk / "archive")
    for found in (kept, *map(stored, map(str, place.disk.glob("copy-*.db")))):
        differs = difference(found, wanted)
        problems.add("lost", *[f"{differs.lost} executions"] * bool(differs.lost))
        problems.add("doubled", *[f"{differs}"] * bool(differs.doubled or differs.strange))


def in_child(does: Callable[[Place], int], place: Place, fault: Fault) -> End:
    """Do it in a fork of this process, at home in the place, and wait for its end."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        _settle(place)
        _shim().failing_io_arm(f"{place.disk}/".encode(), ctypes.c_long(fault.at), fault.error, fault.is_for_good)
        code = does(place)
        # What the end of a process closes is written then. The rest of that end would take most of the time.
        gc.collect()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return End(os.waitstatus_to_exitcode(status), (place.home / "said").read_text(), _shim().failing_io_calls())


def _shim() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    found.failing_io_calls.restype = ctypes.c_long
    return found


def _main() -> None:
    name, folder, stride, start = sys.argv[1:]
    print(json.dumps(walk(STEPS[name], Path(folder), int(stride), int(start))))


if __name__ == "__main__":
    _main()
