"""Ctrl-C: one line says what was kept and how it goes on, and the exit code is 130."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.ingest.jsonl_source import BATCH
from tests.builders import a_line
from tests.conftest import PROGRAM
from tests.daemons import eventually


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
