"""A scheduler or a server as a process, and waiting for what it does."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from claude_force.database.contract import Database
from claude_force.database.queries import jobs as job_queries
from claude_force.database.rows.jobs import JobRun
from tests.conftest import PROGRAM

R = TypeVar("R")

PATIENCE_S = 120.0
"""What does not happen within so long does not happen."""


def eventually(look: Callable[[], R | None], patience_s: float = PATIENCE_S) -> R:
    """What `look` gives once it gives something; it is asked again and again."""
    ends = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < ends, "it does not happen"
        # What is waited for needs the processor as well.
        time.sleep(0.02)


class Program(NamedTuple):
    """A server as a process, and its port."""

    process: subprocess.Popen[str]
    port: int


@contextmanager
def listening(home: Path, first_line: str, *command: str | Path) -> Iterator[Program]:
    """A command of the program that serves on a free port, killed in the end if it still runs. `first_line` is how its
    output begins, as a pattern whose group is the port. It sees no setting of this machine, whatever the home."""
    words, pipe = [PROGRAM, *command, "--port", "0"], subprocess.PIPE
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE_", "XDG_"))}
    env |= {"HOME": str(home), "TZ": "UTC"}
    with subprocess.Popen(words, cwd=home, stdout=pipe, stderr=pipe, text=True, env=env) as it:
        try:
            assert it.stdout is not None
            line = it.stdout.readline()
            match = re.match(first_line, line)
            assert match, line + (it.stderr.read() if it.stderr and it.poll() is not None else "")
            yield Program(it, int(match[1]))
        finally:
            it.kill()


def serving(home: Path, *arguments: str | Path) -> AbstractContextManager[Program]:
    """`claude-force serve` on a free port, killed in the end if it still runs."""
    return listening(home, r".*:(\d+)/; Ctrl-C ends it\n", "serve", *arguments)


@contextmanager
def scheduler(location: str | Path, home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A scheduler in the foreground, which is killed in the end if it still runs."""
    process = subprocess.Popen(
        [PROGRAM, "scheduler", "start", "--foreground", "--db", str(location)],
        cwd=home,
        env=os.environ | {"TZ": "UTC"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def last(database: Database, job: str) -> JobRun | None:
    """The last run of a job that is over."""
    with database.read() as connection:
        found = job_queries.last_run(connection, job)
    return found if found is not None and found.finished_us is not None else None


def is_up(database: Database, process: subprocess.Popen[str]) -> bool:
    """Whether the scheduler has said that it is this process."""
    with database.read() as connection:
        found = job_queries.last_run(connection, "scheduler")
    return found is not None and found.pid == process.pid
