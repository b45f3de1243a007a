"""`claude-force db merge`: taking over another store, which stays as it is."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, now_us
from claude_force.database.archive import archive_folder, archive_once, read_archive
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.ingest import spool
from claude_force.ingest.spool_files import spool_files
from claude_force.performance_tracker import PerformanceTracker
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.profiles import thorough
from tests.transcripts import Talk, ingested, jsonl

RELEASED = Path(__file__).resolve().parent.parent / "migration" / "released"


@pytest.fixture
def project(home: Path) -> Path:
    """A project that has a store of its own, with three executions and two archived ones."""
    folder = home / "shop"
    (folder / ".claude").mkdir(parents=True)
    with PerformanceTracker(folder / ".claude") as tracker:
        for agent in ("first", "second", "third"):
            tracker.record_execution(agent, model="claude-sonnet-4-5", input_tokens=10, output_tokens=20)
        tracker._recorder.store.add([an_execution(agent_name=f"old {number}") for number in (1, 2)])
    return folder


@pytest.fixture
def other(project: Path) -> Path:
    """That store, closed."""
    path = project / ".claude" / "metrics" / "metrics.db"
    archived(path)
    return path


def archived(path: Path) -> None:
    """Archive what is older than a day in a store, and close it."""
    database = open_database(str(path))
    archive_once(database, archive_folder(str(path), path.parent), now_us(), DAY_US)
    database.close()


def files_of(folder: Path) -> dict[str, str]:
    """The files below a folder, and what is in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def merged(run: Run, *arguments: str | Path, **options: Any) -> dict[str, Any]:
    """The JSON of a merge without problems."""
    done = run("db", "merge", *arguments, "--yes", "--json", **options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def summary(run: Run, *arguments: str | Path, **options: Any) -> dict[str, Any]:
    """The figures of a summary, without what says how old they are."""
    found: dict[str, Any] = json.loads(run("analytics", "summary", "--json", *arguments, **options).stdout)
    return {name: value for name, value in found.items() if name != "data"}


def test_a_store_of_a_project_is_taken_over(other: Path, project: Path, home: Path, run: Run) -> None:
    """Into the user's store, also in the project itself: with its archives, which come back. The store stays byte for
    byte as it is; the last lines say how to remove it, and then the project uses the user's."""
    before = files_of(project)
    with PerformanceTracker(home / ".claude") as tracker:
        tracker.record_execution("mine")
    done = run("db", "merge", other, "--yes", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert "executions: 3 added" in done.stdout
    assert "archived executions: 2 added" in done.stdout
    assert files_of(project) == before
    found = summary(run, "--db", home / ".claude" / "metrics" / "metrics.db")
    assert (found["total_executions"], found["archived_executions"]) == (6, 2)
    assert run("db", "check", cwd=home).returncode == 0
    archive = next((home / ".claude" / "metrics" / "archive").glob("*.jsonl.gz"))
    restored = json.loads(run("import", archive, "--json", cwd=home).stdout)
    assert (restored["read"], restored["restored"]) == (2, 2)
    command = done.stdout.splitlines()[-1].strip()
    assert command.startswith(f"rm -r {other} ")
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    assert run("db", "path", cwd=project).stdout == f"{home}/.claude/metrics/metrics.db\n"


def test_merging_again_adds_nothing(other: Path, home: Path, run: Run) -> None:
    """And changes no file of the target. A dry run says what a merge would do, and changes nothing at all."""
    target = home / ".claude" / "metrics"
    expected = json.loads(run("db", "merge", other, "--dry-run", "--json").stdout)
    assert not (target / "metrics.db").exists()
    done = merged(run, other)
    for name in ("executions", "archived_executions"):
        assert done[name] == expected[name]
    assert (done["executions"]["added"], done["archived_executions"]["added"]) == (3, 2)
    found, archives = summary(run), files_of(target / "archive")
    again = merged(run, other)
    assert (again["executions"], again["archived_executions"]) == (
        {"added": 0, "changed": 0, "known": 3},
        {"added": 0, "changed": 0, "known": 2},
    )
    assert not any(again["rows"].values())
    assert (summary(run), files_of(target / "archive")) == (found, archives)
    assert [path.name for path in target.iterdir() if path.name.startswith(".merge")] == []


def test_what_an_ingestion_read_is_not_read_again(home: Path, projects: Path, run: Run) -> None:
    """Two stores that ingested the same transcripts, one of them more of it: after the merge, an ingestion adds what
    neither has read, and nothing twice."""
    talk = Talk()
    for number in range(6):
        talk.respond(f"msg_{number}")
    file = projects / "-shop" / f"{talk.session}.jsonl"
    file.parent.mkdir(parents=True)
    lines = jsonl(talk.lines).splitlines(keepends=True)
    truth = home / "truth.db"
    for part, store in ((len(lines) // 2, "shorter.db"), (len(lines) - 1, "longer.db"), (len(lines), "truth.db")):
        file.write_bytes(b"".join(lines[:part]))
        assert run("ingest", "--db", home / store).returncode == 0
    expected = summary(run, "--db", truth)
    for target, source in (("shorter.db", "longer.db"), ("longer.db", "shorter.db")):
        shutil.copy(home / target, home / f"into-{target}")
        assert merged(run, home / source, "--db", home / f"into-{target}")["problems"] == []
        assert ingested(run, "--db", home / f"into-{target}")["added"] == 1
        assert ingested(run, "--db", home / f"into-{target}")["added"] == 0
        assert summary(run, "--db", home / f"into-{target}") == expected
        assert run("db", "check", "--db", home / f"into-{target}").returncode == 0


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASED.iterdir() if path.is_dir()))
def test_a_store_of_an_older_version_is_taken_over(release: str, home: Path, run: Run) -> None:
    """Through a copy that is upgraded: the store keeps its revision and every byte."""
    old = home / "old" / "metrics.db"
    old.parent.mkdir()
    old.write_bytes(gzip.decompress((RELEASED / release / "backup.db.gz").read_bytes()))
    before = files_of(old.parent)
    expected = json.loads((RELEASED / release / "summary.json").read_text())
    done = run("db", "merge", old, "--yes", "--json")
    found = json.loads(done.stdout)
    assert found["executions"]["added"] + len(found["problems"]) > 0
    assert files_of(old.parent) == before
    if done.returncode == 0:
        assert summary(run)["total_executions"] == expected["total_executions"]


def test_a_store_that_is_open_is_taken_over_as_it_is(other: Path, project: Path, run: Run) -> None:
    """With what is only in its log yet. Neither the file nor the log changes."""
    with closing(sqlite3.connect(other, isolation_level=None)) as writer:
        writer.execute("SELECT COUNT(*) FROM executions").fetchall()
        with PerformanceTracker(project / ".claude") as tracker:
            tracker.record_execution("in the log")
        before = {name: digest for name, digest in files_of(project).items() if not name.endswith("-shm")}
        assert any(name.endswith("-wal") for name in before)
        assert merged(run, other)["executions"]["added"] == 4
        assert {name: digest for name, digest in files_of(project).items() if not name.endswith("-shm")} == before


REFUSED = {
    "no such store": ("none.db", "no database at none.db\n"),
    "a misspelt store": ("newr.db", "no database at newr.db; did you mean newer.db?"),
    "a misspelt folder": ("nowhere/none.db", "no database at nowhere/none.db"),
    "the target itself": (".claude/metrics/metrics.db", "is the database itself"),
    "another program's": ("foreign.db", "another program"),
    "no database": ("text.db", "is not a SQLite database"),
    "an empty file": ("empty.db", "is empty (0 bytes)"),
    "a newer version's": ("newer.db", "upgrade claude-force"),
    "a server that is not there": ("postgresql://me@127.0.0.1:1/none", "cannot reach"),
    "another server": ("mysql://localhost/metrics", "no support for mysql"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_merged_is_refused(case: str, home: Path, run: Run) -> None:
    """In one line, and nothing changes."""
    with PerformanceTracker() as tracker:
        tracker.record_execution("mine")
    (home / "empty.db").touch()
    (home / "text.db").write_text("no database\n" * 1000)
    with closing(sqlite3.connect(home / "foreign.db")) as raw:
        raw.execute("CREATE TABLE cars (name)")
    shutil.copy(home / ".claude" / "metrics" / "metrics.db", home / "newer.db")
    with closing(sqlite3.connect(home / "newer.db")) as raw, raw:
        raw.execute("UPDATE claude_force_version SET version_num = '9999'")
    before = files_of(home)
    location, reason = REFUSED[case]
    done = run("db", "merge", location, "--yes")
    assert (done.returncode in (1, 2), done.stderr.count("\n")) == (True, 1), done.stderr
    assert reason in done.stderr
    assert files_of(home) == before


def test_it_asks(other: Path, home: Path, run: Run) -> None:
    """Without a terminal it needs --yes; nothing is merged before that."""
    done = run("db", "merge", other)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert not (home / ".claude" / "metrics" / "metrics.db").exists()


def test_an_archive_that_is_missing_is_named(other: Path, project: Path, home: Path, run: Run) -> None:
    """Its executions count, by the sums that the store has of them, and merging again adds nothing. When the file is
    back, the next merge takes it over, too."""
    archive = next((project / ".claude" / "metrics" / "archive").glob("*.jsonl.gz"))
    expected = summary(run, "--db", other)
    aside = archive.rename(project / archive.name)
    done = run("db", "merge", other, "--yes")
    note = f"note: there is no {archive}: 2 archived executions of it count, but cannot be restored\n"
    assert (done.returncode, done.stderr) == (0, note)
    for _ in range(2):
        assert summary(run) == expected
        assert run("db", "check").returncode == 0
        assert merged(run, other)["archived_executions"]["added"] == 0
    aside.rename(archive)
    assert merged(run, other)["archived_executions"]["added"] == 0
    ours = home / ".claude" / "metrics" / "archive" / archive.name
    assert json.loads(run("import", ours, "--json").stdout)["restored"] == 2
    assert run("db", "check").returncode == 0


def test_sums_that_cannot_be_told_apart_are_a_problem(other: Path, project: Path, home: Path, run: Run) -> None:
    """Where one of the executions is here already, and the archive is not there. The rest is merged. The line names the
    file, and no line says how to remove the store; with the file, the next merge completes it."""
    archive = next((project / ".claude" / "metrics" / "archive").glob("*.jsonl.gz"))
    first = next(read_archive(archive))
    with PerformanceTracker(home / ".claude") as tracker:
        tracker._recorder.store.add_rows([first])
    aside = archive.rename(project / archive.name)
    done = run("db", "merge", other, "--yes")
    assert (done.returncode, "rm -r" in done.stdout) == (1, False)
    assert f"1 archived execution of {archive.name[:7]} could not be merged: put {archive} in its place" in done.stderr
    assert summary(run)["total_executions"] == 4
    aside.rename(archive)
    assert merged(run, other)["archived_executions"]["added"] == 1
    assert summary(run)["total_executions"] == 5


def test_executions_that_wait_are_named(other: Path, run: Run) -> None:
    """Those that the store could not take are not in it. A line names their file, with the command that reads it."""
    waiting = spool_files(str(other), other.parent)[0]
    spool.append([an_execution(agent_name="waiting")], [waiting])
    done = run("db", "merge", other, "--yes")
    assert (done.returncode, done.stderr) == (
        0,
        f"note: executions wait for {other}; to take them over, too: claude-force import {waiting}\n",
    )
    assert json.loads(run("import", waiting, "--json").stdout)["added"] == 1


_MERGE = "from claude_force.cli.root import main; main()"


@pytest.mark.parametrize("after_s", [0.05, 0.2, *thorough(0.0, 0.1, 0.4)])
def test_a_merge_that_is_killed_goes_on(after_s: float, home: Path, run: Run) -> None:
    """Whenever it is killed, the next merge gives what an uninterrupted one gives."""
    source = home / "source.db"
    store = Store(open_database(str(source)))
    executions = [
        an_execution(timestamp_us=NOON_US + number * DAY_US // 100, agent_name=f"agent {number % 7}")
        for number in range(12_000)
    ]
    store.add(executions)
    store.database.close()
    archived(source)
    expected = summary(run, "--db", source)
    command = [sys.executable, "-c", _MERGE, "db", "merge", str(source), "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        # The first line is printed when the copy is made and the merge begins.
        process.stdout.readline()
        process.stdout.readline()
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
    merged(run, source)
    assert summary(run) == expected
    assert run("db", "check").returncode == 0
    assert list((home / ".claude" / "metrics").glob(".merge*")) == []
