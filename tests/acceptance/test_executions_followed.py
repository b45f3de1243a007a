"""Ingesting executions.jsonl while it grows and is rotated."""

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
    """The path of the file that the guide's tracker writes."""
    return home / ".claude" / "metrics" / "executions.jsonl"


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(data)


def numbered(number: int) -> bytes:
    """The line of execution `number`, one minute after the previous one."""
    return a_line(timestamp=f"2025-11-14T10:{number:02d}:00", agent_name=f"agent-{number}")


def agents(run: Run) -> list[str]:
    """The sorted agent names of the stored executions."""
    return sorted(row["agent_name"] for row in exported(run))


def named(*numbers: int) -> list[str]:
    """The agent names of these numbers, sorted."""
    return sorted(f"agent-{number}" for number in numbers)


def test_only_new_lines_are_ingested(run: Run, executions: Path) -> None:
    """An incomplete last line waits for its end and is no error."""
    append(executions, numbered(1) + numbered(2) + numbered(3)[:50])
    assert ingested(run)["added"] == 2
    assert ingested(run)["added"] == 0
    append(executions, numbered(3)[50:] + numbered(4)[:-1])
    found = ingested(run)
    assert found["added"] == 2
    append(executions, b"\n" + numbered(5))
    assert ingested(run)["added"] == 1
    assert agents(run) == named(1, 2, 3, 4, 5)


def test_imported_executions_are_not_ingested_again(run: Run, executions: Path) -> None:
    """`import` and `ingest` of one file give the same executions."""
    append(executions, numbered(1) * 2 + numbered(2))
    run("import", executions)
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 2)


def test_equal_lines_of_one_file_are_two_executions(run: Run, executions: Path) -> None:
    """This also holds if the second line is appended between two ingests."""
    append(executions, numbered(1) + numbered(2))
    ingested(run)
    append(executions, numbered(1))
    assert ingested(run)["added"] == 1
    append(executions, numbered(3) + numbered(2) + numbered(1) + numbered(3))
    assert ingested(run)["added"] == 4
    assert ingested(run)["added"] == 0
    assert agents(run) == named(1, 1, 1, 2, 2, 3, 3)


def test_lines_of_a_renamed_file_are_ingested(run: Run, executions: Path) -> None:
    """Lines appended just before the rename are read from the file's new name."""
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


def test_a_truncated_file_is_read_from_its_start(run: Run, executions: Path) -> None:
    """As by copytruncate: the file is rewritten under the same inode, shorter or longer than before."""
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


def test_an_equal_line_after_a_rotation_is_a_copy(run: Run, executions: Path) -> None:
    """The new file is another file, and equal lines of different files are copies of one execution. So the line adds
    nothing."""
    append(executions, numbered(1))
    ingested(run)
    executions.rename(executions.with_name("executions.jsonl.1"))
    append(executions, numbered(1))
    ingested(run)
    assert agents(run) == named(1)
