"""The file of executions, which a pass follows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.builders import a_line
from tests.conftest import Run
from tests.transcripts import (
    exported,
    ingested,
)


@pytest.fixture
def executions(home: Path) -> Path:
    """Where the tracker of the guide writes."""
    return home / ".claude" / "metrics" / "executions.jsonl"


def append(path: Path, data: bytes) -> None:
    """Append bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(data)


def numbered(number: int) -> bytes:
    """An execution of its own, a minute after the one before."""
    return a_line(timestamp=f"2025-11-14T10:{number:02d}:00", agent_name=f"agent-{number}")


def agents(run: Run) -> list[str]:
    """The agents of the executions in the database, sorted."""
    return sorted(row["agent_name"] for row in exported(run))


def named(*numbers: int) -> list[str]:
    """The agents of numbered executions."""
    return sorted(f"agent-{number}" for number in numbers)


def test_executions_grow(run: Run, executions: Path) -> None:
    """Only what is new is read; a last line that is cut off waits for its rest, and is no error."""
    append(executions, numbered(1) + numbered(2) + numbered(3)[:50])
    assert ingested(run)["added"] == 2
    assert ingested(run)["added"] == 0
    append(executions, numbered(3)[50:] + numbered(4)[:-1])
    found = ingested(run)
    assert found["added"] == 2
    append(executions, b"\n" + numbered(5))
    assert ingested(run)["added"] == 1
    assert agents(run) == named(1, 2, 3, 4, 5)


def test_executions_that_were_imported_are_known(run: Run, executions: Path) -> None:
    """`import` and `ingest` of the same file give the same executions."""
    append(executions, numbered(1) * 2 + numbered(2))
    run("import", executions)
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 2)


def test_equal_lines_of_one_file_are_two_executions(run: Run, executions: Path) -> None:
    """Also where the second one is appended between passes."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    append(executions, numbered(1))
    assert ingested(run)["added"] == 1
    append(executions, numbered(3) + numbered(2) + numbered(1) + numbered(3))
    assert ingested(run)["added"] == 4
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 1, 2, 2, 3, 3)


def test_executions_are_rotated_by_renaming(run: Run, executions: Path) -> None:
    """What was appended before the file was renamed is read from where it stands now."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    append(executions, numbered(3))
    executions.rename(executions.with_name("executions.jsonl.1"))
    append(executions, numbered(4))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4)
    append(executions, numbered(5))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4, 5)


def test_executions_are_cut_off(run: Run, executions: Path) -> None:
    """copytruncate: the file begins anew under the same inode, shorter or longer than it was."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    shutil.copy(executions, executions.with_name("executions.jsonl.1"))
    os.truncate(executions, 0)
    append(executions, numbered(3))
    ingested(run)
    os.truncate(executions, 0)
    append(executions, b"".join(map(numbered, (4, 5, 6))))
    ingested(run)
    assert agents(run) == named(1, 2, 3, 4, 5, 6)


def test_an_execution_repeated_after_a_rotation_is_one_of_its_own(run: Run, executions: Path) -> None:
    """Rotation does not make an equal line of the new file the one of the old file: but as lines of different files,
    equal lines are copies, and that a copy adds nothing is the older promise."""
    append(executions, numbered(1))
    ingested(run)
    executions.rename(executions.with_name("executions.jsonl.1"))
    append(executions, numbered(1))
    ingested(run)
    assert agents(run) == named(1)
