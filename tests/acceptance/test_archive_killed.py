"""`archive` killed at any point: nothing is lost or stored twice, and the next run completes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.archive import archive_once, read_archive
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from tests.archives import archived_lines, stored_lines
from tests.builders import an_execution
from tests.profiles import scaled, thorough

pytestmark = pytest.mark.thorough

JANUARY_US = 1_735_689_600_000_000
LATER_US = JANUARY_US + 400 * DAY_US
AT_ONCE = scaled(5000)
MONTHS = (AT_ONCE + 200, 100)
"""Executions of two months. The first month needs more than one page and one delete."""

_RUN = """
import sys
from pathlib import Path
from claude_force.database import archive, queries
from claude_force.database.open import open_database

archive.AT_ONCE = queries.PAGE = int(sys.argv[5])

def step(count):
    print(count, flush=True)
    if sys.argv[4] == "step":
        sys.stdin.readline()

archive.archive_once(open_database(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), 0, step)
"""
"""A process that archives. It prints each step and waits for a line on stdin before the next one."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The archive folder."""
    return tmp_path / "archive"


@pytest.fixture
def filled(database: Database) -> Database:
    """Two months of executions, on both engines."""
    Store(database).add(
        an_execution(timestamp_us=JANUARY_US + month * 31 * DAY_US + number * 300_000_000, duration_us=number)
        for month, executions in enumerate(MONTHS)
        for number in range(executions)
    )
    return database


def start(location: str, folder: Path, how: str) -> subprocess.Popen[str]:
    """Start a process that archives everything."""
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, location, str(folder), str(LATER_US), how, str(AT_ONCE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def assert_nothing_lost(database: Database, folder: Path, before: list[bytes]) -> None:
    """Each execution is either stored, or archived and in the file of its month; never both. All roll-ups agree."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert queries.totals(connection, Filter()).executions == sum(MONTHS)
        (listed,) = connection.fetch("SELECT COUNT(*) FROM archived")
    archived = archived_lines(database, folder)
    assert Counter([*archived, *stored_lines(database)]) == Counter(before)
    assert listed[0] == len(archived)


def assert_next_run_completes(database: Database, folder: Path, before: list[bytes]) -> None:
    """The next run archives everything and leaves no other file. Importing the files restores everything."""
    archive_once(database, folder, LATER_US, 0)
    assert stored_lines(database) == []
    assert_nothing_lost(database, folder, before)
    assert sorted(path.name for path in folder.iterdir()) == ["2025-01.jsonl.gz", "2025-02.jsonl.gz"]
    for file in sorted(folder.iterdir()):
        rows = list(read_archive(file))
        assert Store(database).restore(rows) == len(rows)
    assert stored_lines(database) == before
    assert_nothing_lost(database, folder, before)


def test_killed_after_any_step(filled: Database, location: str, folder: Path) -> None:
    """The run is killed after each written page and after each delete, until a run completes."""
    before, steps = stored_lines(filled), 0
    while True:
        with start(location, folder, "step") as process:
            assert process.stdin
            assert process.stdout
            for _ in range(steps):
                process.stdout.readline()
                process.stdin.write("\n")
                process.stdin.flush()
            reached_step = process.stdout.readline()
            process.kill()
        if not reached_step:
            break
        assert_nothing_lost(filled, folder, before)
        assert_next_run_completes(filled, folder, before)
        steps += 1
    # The first month takes two pages and two deletes, the second one of each.
    assert steps == 6


def _has_temporary(folder: Path) -> bool:
    return any(folder.glob(".*.tmp"))


def _has_written(folder: Path) -> bool:
    return any(found.stat().st_size > 20_000 for found in folder.glob(".*.tmp"))


def _has_file(folder: Path) -> bool:
    return any(folder.glob("*.jsonl.gz"))


def _has_second_file(folder: Path) -> bool:
    return (folder / "2025-02.jsonl.gz").exists()


@pytest.mark.parametrize("reached", [_has_file, *thorough(_has_temporary, _has_written, _has_second_file)])
def test_killed_as_soon_as_a_file_appears(
    filled: Database, location: str, folder: Path, reached: Callable[[Path], bool]
) -> None:
    """Also while the temporary file grows, and when it is renamed."""
    before = stored_lines(filled)
    with start(location, folder, "run") as process:
        while process.poll() is None:
            try:
                if reached(folder):
                    process.kill()
            except FileNotFoundError:
                # The temporary file was renamed between the two calls.
                continue
    assert_nothing_lost(filled, folder, before)
    assert_next_run_completes(filled, folder, before)


@pytest.mark.thorough
def test_killed_at_random_times(filled: Database, location: str, folder: Path) -> None:
    """The run is killed again and again, at a random time after a step, until a run completes."""
    before, chance = stored_lines(filled), random.Random(1)
    for _ in range(20):
        with start(location, folder, "run") as process:
            assert process.stdout
            for _ in range(chance.randrange(3)):
                process.stdout.readline()
            try:
                process.wait(chance.random() * 0.3)
            except subprocess.TimeoutExpired:
                process.kill()
        assert_nothing_lost(filled, folder, before)
        if process.returncode == 0:
            break
    assert_next_run_completes(filled, folder, before)
