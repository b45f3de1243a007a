"""Files that are no files of executions: an import names what reads them, and nothing of them is kept."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import a_line
from tests.conftest import Run

ENTRY = {"type": "user", "sessionId": "s", "uuid": "u", "timestamp": "2026-01-01T00:00:00Z", "message": {}}
EVENT = {"type": "system", "subtype": "init", "session_id": "s", "model": "claude-sonnet-5"}
LOG = {"level": "info", "message": "started", "port": 8080}


def lines_of(value: object, number: int = 300) -> bytes:
    """The same line of JSON many times."""
    return (json.dumps(value).encode() + b"\n") * number


def a_database(path: Path) -> None:
    """A SQLite database of another program."""
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE t (x)")
    raw.close()


def a_zip(path: Path) -> None:
    """A zip file with a history in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("history.jsonl", a_line())


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a transcript": (lambda path: path.write_bytes(lines_of(ENTRY)), "read it with: claude-force ingest f"),
    "a short transcript": (lambda path: path.write_bytes(lines_of(ENTRY, 2)), "read it with: claude-force ingest f"),
    "a summary first": (
        lambda path: path.write_bytes(lines_of({"type": "summary", "leafUuid": "x"}, 1) + lines_of(ENTRY)),
        "claude-force ingest f",
    ),
    "a packed transcript": (
        lambda path: path.write_bytes(gzip.compress(lines_of(ENTRY))),
        "gunzip it, then read it with: claude-force ingest f",
    ),
    "stream-json": (lambda path: path.write_bytes(lines_of(EVENT)), "claude -p; read it with: claude-force ingest f"),
    "a result array": (lambda path: path.write_text(json.dumps([EVENT, EVENT])), "claude -p; read it with"),
    "a database": (a_database, "claude-force db merge f"),
    "a packed database": (
        lambda path: path.write_bytes(gzip.compress(b"SQLite format 3\0" + bytes(4000))),
        "a SQLite database",
    ),
    "a log": (lambda path: path.write_bytes(lines_of(LOG)), "holds no executions"),
    "a short log": (lambda path: path.write_bytes(lines_of(LOG, 1)), "holds no executions"),
    "text": (lambda path: path.write_text("# Notes\n\nNothing of ours.\n" * 200), "not valid JSON"),
    "one line of text": (lambda path: path.write_text("hello"), "holds no executions"),
    "bytes": (lambda path: path.write_bytes(bytes(range(1, 256)) * 200), "holds no executions"),
    "a document": (lambda path: path.write_text(json.dumps({"a": 1, "b": [2]}, indent=2)), "holds no executions"),
    "an array": (lambda path: path.write_text('[{"agent_name": "x"}]'), "is a JSON array"),
    "a CSV file": (lambda path: path.write_text("timestamp,agent_name,model\n"), "is a CSV file"),
    "a zip file": (a_zip, "is a zip file; unpack it first"),
    "wrong records": (
        lambda path: path.write_bytes(a_line(timestamp="yesterday") * 100),
        "none of the first 100 lines is one; line 1: timestamp",
    ),
}


@pytest.mark.parametrize(("write", "complaint"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_and_leaves_nothing(
    write: Callable[[Path], object], complaint: str, home: Path, run: Run
) -> None:
    """One line with the remedy; no line in rejected.jsonl, and nothing of the other files is imported."""
    write(home / "f")
    (home / "history.jsonl").write_bytes(a_line())
    for options in ([], ["--dry-run"], ["--json"]):
        done = run("import", "history.jsonl", "f", *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert complaint in done.stderr
        assert (done.stderr.startswith("error: f "), done.stderr.count("\n")) == (True, 1)
    assert list((home / ".claude").iterdir()) == []


@pytest.mark.parametrize("name", ["a transcript", "stream-json", "a log", "text", "wrong records"])
def test_a_foreign_standard_input_is_refused(name: str, home: Path, run: Run) -> None:
    """Its first lines are looked at as those of a file."""
    write, _ = FOREIGN[name]
    write(home / "f")
    with (home / "f").open("rb") as stream:
        done = run("import", "-", stdin=stream)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: standard input ")
    assert list((home / ".claude").glob("metrics/rejected.jsonl")) == []


def test_first_lines_are_read_once(home: Path, run: Run) -> None:
    """What was looked at is imported with its line numbers and offsets, from a file, a packed file and a pipe."""
    lines = [b"\n", a_line(run_id="1"), b"bad\n", *(a_line(run_id=str(number)) for number in range(2, 150))]
    (home / "f").write_bytes(b"".join(lines))
    (home / "f.gz").write_bytes(gzip.compress(b"".join(lines)))
    for name in ("f", "f.gz", "-"):
        with (home / "f").open("rb") as stream:
            done = run("import", name, "--json", "--db", f"{name.strip('-')}x.db", stdin=stream)
        found = json.loads(done.stdout)
        assert (found["read"], found["added"], found["duplicates"], found["rejected"]) == (150, 149, 0, 1)
    rejected = (home / ".claude" / "metrics" / "rejected.jsonl").read_text().splitlines()
    assert [(item["line"], item["offset"]) for item in map(json.loads, rejected)] == [(3, 1 + len(lines[1]))] * 3


def test_a_few_wrong_records_are_rejected_each_with_its_reason(home: Path, run: Run) -> None:
    """Lines with names of ours are records, although no one is right: the program that wrote them has a fault."""
    (home / "f").write_bytes(a_line(timestamp="yesterday") + a_line(success=...) + b'{"agent_name": "cut')
    done = run("import", "f", "--json")
    assert (done.returncode, json.loads(done.stdout)["rejected"]) == (1, 3)
    assert len((home / ".claude" / "metrics" / "rejected.jsonl").read_text().splitlines()) == 3


def test_an_empty_file_is_no_error(home: Path, run: Run) -> None:
    """A program may not have recorded anything yet."""
    for content in (b"", b"\n\n"):
        (home / "f").write_bytes(content)
        assert run("import", "f").returncode == 0
