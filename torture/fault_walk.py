"""Repeats one step, each time with another failing call: `python -m torture.fault_walk`, with failing_io preloaded.

Each try is a fork, so that everything is imported once. The counts go to stdout as a line of JSON, problems to stderr.
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
from torture.steps import STEPS, Sandbox, Step

PATIENCE_S = 60
"""A step that takes longer counts as hanging."""

UNEXPECTED = ("Traceback", "unexpected:")
"""Words that a user must never see."""


class Fault(NamedTuple):
    """The number of the call that fails, from 1 (0: none), its errno, and whether all later calls fail too."""

    at: int = 0
    error: int = 0
    is_permanent: bool = False

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} at call {self.at}{' and after' if self.is_permanent else ''}"


class End(NamedTuple):
    """The exit code of a process, its stderr, and the number of its calls."""

    code: int
    stderr: str
    calls: int


FAULTS = [Fault(0, error, is_permanent) for error in (errno.ENOSPC, errno.EIO) for is_permanent in (False, True)]


def walk_faults(step: Step, folder: Path, stride: int, start: int) -> Counter[str]:
    """Let every call fail in turn, or every `stride`-th from `start` on, until a try makes fewer calls."""
    template, found = Sandbox(folder / "template"), Counter[str]()
    for part in (template.disk, template.home):
        part.mkdir(parents=True)
    step.prepare(template)
    _warm_up(step, template, Sandbox(folder / "warm"))
    for fault in FAULTS:
        for at in itertools.count(start, stride):
            sandbox = Sandbox(folder / "try")
            shutil.copytree(template.folder, sandbox.folder)
            is_there = try_one(step, sandbox, fault._replace(at=at), found)
            shutil.rmtree(sandbox.folder)
            if not is_there:
                break
    return found


def _warm_up(step: Step, template: Sandbox, sandbox: Sandbox) -> None:
    """Do the step twice in this process, the second time without its disk, so that every fork has its imports."""
    shutil.copytree(template.folder, sandbox.folder)
    os.environ["HOME"] = str(sandbox.home)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        step.run(sandbox)
        shutil.rmtree(sandbox.disk)
        sandbox.disk.touch()
        step.run(sandbox)
    gc.collect()
    gc.freeze()


def _settle(sandbox: Sandbox) -> None:
    """Change to the home of the sandbox, and redirect the output."""
    os.environ["HOME"] = str(sandbox.home)
    os.chdir(sandbox.home)
    for number, name in ((1, os.devnull), (2, sandbox.home / "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)


def try_one(step: Step, sandbox: Sandbox, fault: Fault, found: Counter[str]) -> bool:
    """Do the step with a fault and again without, and count problems. False if the fault was never reached."""
    end = in_child(step.run, sandbox, fault)
    found["points"] += end.calls >= fault.at
    problems = Problems(found, f"{fault}: ")
    if not is_defined(step, end):
        problems.add("undefined ends", f"exit code {end.code}, stderr {end.stderr!r}")
    if sandbox.database.exists():
        problems.add("damaged", *damage(str(sandbox.database)))
    problems.add("left behind", *(path.name for path in sandbox.disk.rglob(".*.tmp*")))
    again = in_child(step.run, sandbox, Fault())
    if again.code or again.stderr:
        problems.add("stuck", f"the next run: exit code {again.code}, stderr {again.stderr!r}")
    problems.add("damaged", *damage(str(sandbox.database)))
    try:
        compare(sandbox, problems)
    except ClaudeForceError as error:
        problems.add("damaged", str(error))
    return end.calls >= fault.at


class Problems(NamedTuple):
    """Counts problems and prints them."""

    counts: Counter[str]
    prefix: str

    def add(self, kind: str, *what: str) -> None:
        """Count and print each."""
        self.counts[kind] += len(what)
        for line in what:
            say(f"  {self.prefix}{kind}: {line}")


def is_defined(step: Step, end: End) -> bool:
    """Whether a process ended as promised: a command with 0, or with lines that name the error; a host with 0."""
    if any(word in end.stderr for word in UNEXPECTED):
        return False
    if not step.is_command:
        return end.code == 0
    lines = end.stderr.splitlines()
    return end.code == 0 or (end.code in (1, 2) and bool(lines) and all(line.startswith("error: ") for line in lines))


def compare(sandbox: Sandbox, problems: Problems) -> None:
    """Check that everything acknowledged is stored or archived once, in the database and in every copy of it."""
    wanted = sandbox.promised
    kept = stored(str(sandbox.database)) + archived(sandbox.disk / "archive")
    for found in (kept, *map(stored, map(str, sandbox.disk.glob("copy-*.db")))):
        differs = difference(found, wanted)
        problems.add("lost", *[f"{differs.lost} executions"] * bool(differs.lost))
        problems.add("doubled", *[f"{differs}"] * bool(differs.doubled or differs.strange))


def in_child(does: Callable[[Sandbox], int], sandbox: Sandbox, fault: Fault) -> End:
    """Do it in a fork of this process, at home in the sandbox, and wait for its end."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        _settle(sandbox)
        _shim().failing_io_arm(f"{sandbox.disk}/".encode(), ctypes.c_long(fault.at), fault.error, fault.is_permanent)
        code = does(sandbox)
        # What the end of a process closes is written then. The rest of that end would take most of the time.
        gc.collect()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return End(os.waitstatus_to_exitcode(status), (sandbox.home / "stderr").read_text(), _shim().failing_io_calls())


def _shim() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    found.failing_io_calls.restype = ctypes.c_long
    return found


def _main() -> None:
    name, folder, stride, start = sys.argv[1:]
    print(json.dumps(walk_faults(STEPS[name], Path(folder), int(stride), int(start))))


if __name__ == "__main__":
    _main()
