"""Every line that is read is accounted for: read = added + duplicates + rejected, in JSON and in text."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from claude_force.cli.root import cli
from claude_force.database import queries
from claude_force.database.open import open_database
from tests.builders import a_line

FIRST = a_line(agent_name="first")
"""With one good line a file is one of executions."""

GOOD = st.integers(0, 9).map(lambda number: a_line(task_hash=f"{number:08x}"))
EXPORTED = st.integers(0, 3).map(lambda number: a_line(uid=f"0192f0c1-2345-7000-8000-{number:012x}"))
BAD = st.sampled_from([b"no JSON\n", a_line(success=...), a_line(timestamp="yesterday"), b'{"agent_name": 1}\n'])
BLANK = st.sampled_from([b"\n", b"  \r\n"])
FILES = st.lists(st.lists(GOOD | EXPORTED | BAD | BLANK, max_size=20).map(b"".join), min_size=1, max_size=3)


def run(*arguments: str | Path) -> str:
    """The standard output of a command, which may have rejected lines."""
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    assert done.exit_code in (0, 1), done.output
    return done.stdout


def stored(path: Path) -> int:
    """The number of stored executions."""
    database = open_database(str(path))
    with database.read() as connection:
        number = queries.stored(connection)
    database.close()
    return number


@pytest.mark.parametrize("command", ["import", "ingest"])
@given(contents=FILES)
def test_what_is_read_is_added_known_or_rejected(command: str, contents: list[bytes]) -> None:
    """For any files, the first time and again; and what was added is stored."""
    with tempfile.TemporaryDirectory() as folder:
        path, files = Path(folder) / "m.db", []
        for number, content in enumerate(contents):
            files.append(Path(folder) / f"{number}.jsonl")
            files[-1].write_bytes(FIRST + content)
        lines = sum(1 for file in files for line in file.read_bytes().split(b"\n") if line.strip())
        before = 0
        for _ in range(2):
            found = json.loads(run(command, *files, "--json", "--db", path))
            assert found["read"] == found["added"] + found["duplicates"] + found["rejected"]
            if command == "import" or not before:
                assert found["read"] == lines
            assert stored(path) == before + found["added"]
            before = stored(path)


@given(content=FILES.map(b"".join))
def test_the_text_has_the_same_numbers(content: bytes) -> None:
    """Read, added, duplicates and rejected add up in what people read, too."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(FIRST + content)
        for command, pattern in (
            ("import", r"Read +(\d+)\n +Added +(\d+)\n +Duplicates +(\d+)\n +Rejected +(\d+)"),
            ("ingest", r"(\d+) read: (\d+) added, (\d+) duplicates, (\d+) rejected"),
        ):
            shown = re.search(pattern, run(command, file, "--db", Path(folder) / f"{command}.db"))
            assert shown
            read, added, duplicates, rejected = map(int, shown.groups())
            assert read == added + duplicates + rejected
