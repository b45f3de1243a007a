"""Ctrl-C: one line says what was kept and how it goes on, and the exit code is 130."""

from __future__ import annotations

import signal
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.ingest.jsonl_source import BATCH
from tests.builders import a_line, an_execution
from tests.conftest import PROGRAM
from tests.daemons import eventually

WITHIN_ONE_FUNCTION = "SELECT trim(hex(zeroblob(499990)), replace(hex(zeroblob(40000)), '0', '1') || '0')"
"""SQLite takes minutes for it, and asks nobody meanwhile."""


def test_an_interrupted_import_says_what_was_kept(home: Path) -> None:
    """What was stored stays; the same command goes on, and counts nothing twice."""
    path = home / "m.db"
    command, pipe = [str(PROGRAM), "import", "-", "--db", str(path)], subprocess.PIPE
    options: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, **options) as process:
        assert process.stdin
        process.stdin.write(b"".join(a_line(run_id=str(number)) for number in range(BATCH + 1)))
        process.stdin.flush()
        assert eventually(lambda: (path.exists() and stored(path)) or None) == BATCH
        code = interrupted(process)
        assert process.stdout
        assert process.stderr
        shown, said = process.stdout.read(), process.stderr.read().decode()
    assert (code, shown) == (130, b"")
    last = said.splitlines()[-1]
    assert list(filter(None, said.splitlines())) == [f"new database {path}", last]
    assert last.startswith("interrupted: what was imported so far is stored; the same command goes on from there")
    assert stored(path) == BATCH


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc says what a process does")
@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_ends_a_query_within_one_function(home: Path, interrupts: int) -> None:
    """It would take minutes, and nothing in it hears of the signal; a second one does no harm."""
    path = home / "m.db"
    with closing(open_database(str(path))) as database:
        Store(database).add([an_execution()])
    command = [str(PROGRAM), "db", "sql", WITHIN_ONE_FUNCTION, "--db", str(path), "--no-ingest"]
    options: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "preexec_fn": hear_interrupts}
    with subprocess.Popen(command, **options) as process:
        threads = Path(f"/proc/{process.pid}/task")
        eventually(lambda: len(list(threads.iterdir())) > 1)
        begun = ticks(process.pid)
        eventually(lambda: ticks(process.pid) > begun + 20)
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "interrupted\n")


def ticks(pid: int) -> int:
    """The time of the processor that a process took, in hundredths of a second."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def hear_interrupts() -> None:
    """A shell lets what it runs in the background ignore Ctrl-C, and so would all that the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(process: subprocess.Popen[bytes]) -> int:
    """The exit code after Ctrl-C. Python looks at signals between its own steps, so that one that comes right before a
    read that blocks waits for its end: whoever sits there types it again."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        # Not `communicate`, which would end the input first.
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=30)
    raise AssertionError("five interrupts did not end it")


def stored(path: Path) -> int:
    """The number of stored executions."""
    database = open_database(str(path))
    with database.read() as connection:
        number = queries.stored(connection)
    database.close()
    return number
