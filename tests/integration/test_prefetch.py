"""A long file is read by a second process, with the same result. Its failures are errors here."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from pathlib import Path

import pytest

from claude_force.errors import InputError
from claude_force.ingest.input import open_input
from claude_force.ingest.jsonl_source import Batch, JsonlSource
from claude_force.ingest.prefetch import SHORT_BYTES, read_batches
from tests.builders import a_line
from tests.conftest import Run
from tests.profiles import sqlite_when_quick


@pytest.fixture
def long_file(tmp_path: Path, no_other_threads: None) -> Path:
    """A file that is long enough for a second process, with equal, different and bad lines."""
    path = tmp_path / "long.jsonl"
    line, other, bad = a_line(), a_line(workflow_name="w", more=1), b"{bad\n"
    path.write_bytes((line * 40 + other * 9 + bad) * (SHORT_BYTES // (len(line) * 40) + 1))
    return path


def in_this_process(path: Path) -> list[Batch]:
    """The batches of the file, read in this process."""
    with path.open("rb") as stream:
        return list(JsonlSource(UTC).read(stream, stream.tell))


def test_the_second_process_gives_the_same_batches(long_file: Path) -> None:
    """The same rows, sums, notes, rejected lines and positions as this process. It does not outlive the reading."""
    with open_input(str(long_file)) as source:
        found = list(read_batches(source, JsonlSource(UTC)))
    assert found == in_this_process(long_file)
    assert multiprocessing.active_children() == []


def wait_until_asleep(pid: int) -> None:
    """Wait until a process sleeps, in the middle of a message that does not fit into the pipe."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_a_killed_reader_is_an_error(in_the_middle: bool, long_file: Path) -> None:
    """In one line, also in the middle of a message. The batches before that are there."""
    # More than the pipe holds, so that the reader cannot be done when it is killed.
    long_file.write_bytes(long_file.read_bytes() * 6)
    with open_input(str(long_file)) as source:
        batches = read_batches(source, JsonlSource(UTC))
        first = next(batches)
        (reader,) = multiprocessing.active_children()
        assert reader.pid is not None
        if in_the_middle:
            wait_until_asleep(reader.pid)
        os.kill(reader.pid, signal.SIGKILL)
        with pytest.raises(InputError, match=r"ended unexpectedly \(-9\)"):
            list(batches)
    assert first.rows == in_this_process(long_file)[0].rows


def test_the_reader_ends_with_the_import(long_file: Path) -> None:
    """An import that stops early leaves no process behind."""
    with open_input(str(long_file)) as source:
        batches: Iterator[Batch] = read_batches(source, JsonlSource(UTC))
        assert len(list(islice(batches, 1))) == 1
        batches.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


@sqlite_when_quick
def test_a_long_import_counts_every_line(run: Run, long_file: Path, location: str) -> None:
    """Every line is added once, a duplicate, or rejected, also in a second import."""
    lines = long_file.read_bytes().splitlines()
    bad = sum(line == b"{bad" for line in lines)
    first = run("import", long_file, "--json", "--db", location)
    assert first.returncode == 1
    found = json.loads(first.stdout)
    assert (found["read"], found["added"], found["rejected"]) == (len(lines), len(lines) - bad, bad)
    again = json.loads(run("import", long_file, "--json", "--db", location).stdout)
    assert (again["added"], again["duplicates"]) == (0, len(lines) - bad)
    checked = run("db", "check", "--db", location)
    assert (checked.returncode, checked.stdout.split(": ")[-1]) == (0, "ok\n")


_INTERRUPTED = """
import os, signal, sys
from datetime import UTC
import claude_force.database.sqlite.database
from claude_force.ingest.prefetch import read_batches
from claude_force.ingest.input import open_input
from claude_force.ingest.jsonl_source import JsonlSource

# Whoever starts the tests in the background has interrupts ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.register_at_fork(**{sys.argv[2]: lambda: os.kill(os.getpid(), signal.SIGINT)})
try:
    with open_input(sys.argv[1]) as source:
        list(read_batches(source, JsonlSource(UTC)))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("moment", ["before", "after_in_parent"])
def test_an_interrupt_during_the_fork_is_not_lost(moment: str, long_file: Path) -> None:
    """Ctrl-C while the second process starts ends the import, and leaves no lock and no process behind."""
    command = [sys.executable, "-c", _INTERRUPTED, str(long_file), moment]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
