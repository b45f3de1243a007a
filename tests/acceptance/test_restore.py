"""`claude-force db restore`: a backup replaces the database completely or not at all, and the old database is kept."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.restore import restore
from claude_force.database.writes import Store
from claude_force.errors import DatabaseBusy
from tests.acceptance.test_bad_databases import DAMAGES, NOT_OURS, PAGE_BYTES, assert_refused, changed
from tests.builders import NOON_US, an_execution
from tests.conftest import ROOT, Run
from tests.daemons import eventually, is_up, scheduler

SAVED, LATER = 300, 40
NOT_REFUSED = ("older", "garbage in the middle", "truncated", "a folder")
"""Kinds of damage that are only found when a backup is read to its end, and a version that can be upgraded."""

_KEEP_OPEN = """
import sys
from claude_force.database.open import open_database
database = open_database(sys.argv[1])
with database.read() as connection:
    connection.fetch("SELECT COUNT(*) FROM executions")
print("open", flush=True)
sys.stdin.readline()
"""
"""A process that has read from a database, keeps it open and waits."""

_RECORD_REPEATEDLY = """
import random, sys, time
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
while True:
    began_s = time.monotonic()
    database = open_database(sys.argv[1])
    execution = an_execution()
    Store(database).add([execution])
    database.close()
    print(execution.uid, flush=True)
    time.sleep(random.random() * 4 * (time.monotonic() - began_s))
"""
"""A process that opens the database, records, and closes it, again and again. It has it closed for longer than open,
however slow this machine is, so that three of them leave it alone at times."""

_OPEN_AND_WAIT = """
import sys
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
waited = []

def hook(event, arguments):
    if event == "sqlite3.connect/handle" and not waited:
        waited.append(event)
        print("open", flush=True)
        sys.stdin.readline()

sys.addaudithook(hook)
Store(open_database(sys.argv[1])).add([an_execution(agent_name="late")])
"""
"""A process that opens the file, waits, and then records."""

_RECORD = """
import sys
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
database = open_database(sys.argv[1])
while True:
    execution = an_execution()
    Store(database).add([execution])
    print(execution.uid, flush=True)
"""
"""A process that records and prints each uid once it is stored."""

_KILLED_AT = """
import os, signal, sys
from pathlib import Path
from claude_force.database.sqlite import files as sqlite
from claude_force.database.open import open_database
from claude_force.database.restore import restore
folder, step, seen = sys.argv[3], int(sys.argv[4]), 0
sqlite._PAGES_AT_ONCE = 8

def hook(event, arguments):
    is_file = event in ("open", "os.link", "os.rename", "os.remove", "sqlite3.connect") and folder in str(arguments[0])
    if is_file or event in ("fcntl.flock", "fcntl.lockf"):
        count()

def count(_=0):
    global seen
    seen += 1
    if seen > step:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
restore(open_database(sys.argv[1]), Path(sys.argv[2]), "then", count)
"""
"""A process that restores. It is killed before its n-th step: an operation on a file, a lock, or a copied page."""


@pytest.fixture
def database_path(home: Path) -> Path:
    """The path of the home's database. `saved.db` is a backup of it, and more executions were stored later."""
    path = home / ".claude" / "metrics" / "metrics.db"
    store(path, "saved", SAVED)
    open_database(str(path)).backup(home / "saved.db")
    store(path, "later", LATER)
    return path


def store(path: Path, agent: str, number: int) -> None:
    """Store some executions of an agent."""
    database = open_database(str(path))
    Store(database).add([an_execution(agent_name=agent, timestamp_us=NOON_US + step) for step in range(number)])
    database.close()


def stored(path: Path) -> dict[str, int]:
    """The number of stored executions by agent. Also checks all pages and roll-ups."""
    database = open_database(str(path))
    assert database.check_integrity().defects == []
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        found = queries.totals_by(connection, Filter(), "agent_name")
    database.close()
    return {str(agent): totals.executions for (agent,), totals in found.items()}


def files(database_path: Path) -> list[str]:
    """The names of the files beside a database, without the scheduler's lock."""
    return sorted(
        path.name
        for path in database_path.parent.iterdir()
        if path.suffix != ".scheduler" and path.name != ".gitignore"
    )


@contextmanager
def idle_process(database_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that keeps the database open and idle."""
    with subprocess.Popen(
        [sys.executable, "-c", _KEEP_OPEN, str(database_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_backup_replaces_the_database(database_path: Path, run: Run) -> None:
    """The database has the contents of the backup. The old one is kept under a name with the date. Only the owner can
    read it."""
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert "saved.db: 300 executions until 2025-11-01" in done.stdout
    assert "metrics.db: 340 executions" in done.stdout
    assert stored(database_path) == {"saved": SAVED}
    database, kept = files(database_path)
    assert (database, kept[: len("metrics.db.replaced-20")]) == ("metrics.db", "metrics.db.replaced-20")
    assert stored(database_path.with_name(kept)) == {"saved": SAVED, "later": LATER}
    assert database_path.stat().st_mode & 0o777 == 0o600
    assert sqlite3.connect(database_path).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store(database_path, "after", 1)
    assert stored(database_path) == {"saved": SAVED, "after": 1}


def test_a_restore_needs_confirmation(database_path: Path, run: Run) -> None:
    """Without a terminal it needs --yes. --dry-run shows the result and changes nothing."""
    before = files(database_path)
    refused = run("db", "restore", "saved.db")
    assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
    dry = run("db", "restore", "saved.db", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "Replaces:" in dry.stdout
    assert files(database_path) == before
    assert stored(database_path) == {"saved": SAVED, "later": LATER}


def test_commits_in_the_wal_are_kept(database_path: Path, home: Path, run: Run) -> None:
    """Commits of a killed process that are only in the WAL stay with the replaced database."""
    with idle_process(database_path):
        store(database_path, "logged", 1)
    assert "metrics.db-wal" in files(database_path)
    assert run("db", "restore", "saved.db", "--yes").returncode == 0
    _, kept = files(database_path)
    assert stored(database_path) == {"saved": SAVED}
    assert stored(database_path.with_name(kept)) == {"saved": SAVED, "later": LATER, "logged": 1}


def test_a_database_in_use_is_not_replaced(database_path: Path, run: Run) -> None:
    """The error names the process, even an idle one. Nothing is changed, and the process continues to work."""
    with idle_process(database_path) as process:
        done = run("db", "restore", "saved.db", "--yes")
        assert done.returncode == 1
        assert "is in use" in done.stderr
        if sys.platform == "linux":
            assert f"pid {process.pid}" in done.stderr
    assert stored(database_path) == {"saved": SAVED, "later": LATER}
    assert run("db", "restore", "saved.db", "--yes").returncode == 0
    assert stored(database_path) == {"saved": SAVED}


def test_a_restore_needs_the_scheduler_stopped(database_path: Path, home: Path, run: Run) -> None:
    """The error names the command. The database is not changed."""
    with scheduler(database_path, home) as process:
        database = open_database(str(database_path))
        eventually(lambda: is_up(database, process))
        database.close()
        done = run("db", "restore", "saved.db", "--yes")
    assert_refused_after_preview(done, "claude-force scheduler stop")
    assert stored(database_path) == {"saved": SAVED, "later": LATER}


def assert_refused_after_preview(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    """The command showed its preview and then failed with one line."""
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in DAMAGES if name not in NOT_REFUSED])
def test_an_invalid_backup_is_refused(name: str, database_path: Path, home: Path, run: Run) -> None:
    """An empty or truncated file, one of another program or of a newer version is one line. Nothing is changed."""
    before, bad = files(database_path), home / "bad.db"
    damage, complaint = DAMAGES[name]
    damage(bad, (home / "saved.db").read_bytes())
    done = run("db", "restore", "bad.db", "--yes")
    complaint = "holds no schema" if name == "without a version" else complaint
    assert_refused(done, complaint, 2 if complaint in (*NOT_OURS, "holds no schema") else 1)
    assert files(database_path) == before
    assert stored(database_path) == {"saved": SAVED, "later": LATER}


@pytest.mark.parametrize("name", ["garbage in the middle", "truncated"])
def test_a_damaged_backup_is_refused(name: str, database_path: Path, home: Path, run: Run) -> None:
    """The backup is read to its end before anything is changed."""
    damage, complaint = DAMAGES[name]
    before, saved = files(database_path), (home / "saved.db").read_bytes()
    damage(home / "saved.db", saved)
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert files(database_path) == before
    assert stored(database_path) == {"saved": SAVED, "later": LATER}


@pytest.mark.parametrize(
    "name", ["a text file", "an empty file", "truncated", "truncated in its header", "garbage in the middle", "a page"]
)
@pytest.mark.parametrize("has_wal", [False, True], ids=["", "with a WAL"])
def test_a_damaged_database_is_replaced(name: str, has_wal: bool, database_path: Path, home: Path, run: Run) -> None:
    """The WAL beside the damaged database is not applied to the restored one."""
    content = database_path.read_bytes()
    if has_wal:
        with idle_process(database_path):
            store(database_path, "logged", 1)
        assert Path(f"{database_path}-wal").stat().st_size
    if name == "a page":
        database_path.write_bytes(content[:-PAGE_BYTES] + b"\xaa" * PAGE_BYTES)
    else:
        DAMAGES[name][0](database_path, content)
    bad = database_path.read_bytes()
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert stored(database_path) == {"saved": SAVED}
    kept = next(path for path in database_path.parent.iterdir() if "replaced" in path.name)
    assert has_wal or kept.read_bytes()[200:] == bad[200:]


def test_another_programs_database_is_never_replaced(database_path: Path, run: Run) -> None:
    """The file is not changed."""
    database_path.unlink()
    changed(database_path, b"", "CREATE TABLE theirs (id)")
    before = database_path.read_bytes()
    assert_refused_after_preview(run("db", "restore", "saved.db", "--yes"), "of another program")
    assert database_path.read_bytes() == before


def test_a_missing_database_is_restored(database_path: Path, run: Run) -> None:
    """Its remaining WAL is renamed."""
    database_path.unlink()
    Path(f"{database_path}-wal").write_bytes(b"left")
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert stored(database_path) == {"saved": SAVED}
    assert [name[: len("metrics.db-wal.left")] for name in files(database_path)] == [
        "metrics.db",
        "metrics.db-wal.left",
    ]


def test_an_older_backup_is_restored_and_then_upgraded(database_path: Path, home: Path, run: Run) -> None:
    """The output names the upgrade command, which works."""
    connection = sqlite3.connect(home / "saved.db")
    newer = (
        "step_usage",
        "projects",
        "plan_limits",
        "session_ledgers",
        "copied_sessions",
        "daily_statistics",
        "ingest_passes",
        "sightings",
        "outcomes",
        "counted_outcomes",
        "telemetry_kinds",
        "headless_runs",
        "rollup_spans",
        "run_parents",
        "run_labels",
        "rollup_runs",
        "seats",
        "rollup_seats",
        "rollup_seat_durations",
    )
    for (view,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        connection.execute(f"DROP VIEW {view}")
    for table in newer:
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP INDEX ix_executions_unpriced")
    for column in ("inference_geo", "provider", "session_id", "git_branch", "steps", "user_name"):
        connection.execute(f"ALTER TABLE executions DROP COLUMN {column}")
    connection.execute("UPDATE claude_force_version SET version_num = '0005'")
    connection.commit()
    connection.close()
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert "claude-force db upgrade" in done.stdout
    assert run("db", "upgrade").returncode == 0
    assert stored(database_path) == {"saved": SAVED}


def test_a_database_cannot_be_restored_from_itself(database_path: Path, run: Run) -> None:
    """Here it is named by a symlink."""
    (database_path.parent / "link.db").symlink_to(database_path)
    assert_refused(run("db", "restore", database_path.parent / "link.db", "--yes"), "is the database itself")


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A file system with room for one database, not for two. The test is skipped where it cannot be mounted."""
    if not (sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")):
        pytest.skip("only root on Linux can mount a small disk")
    folder = home / "small"
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=320k,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_database(database_path: Path, small_disk: Path, home: Path, run: Run) -> None:
    """The error names the database's disk, and the partial copy is removed."""
    small = small_disk / "metrics.db"
    run("db", "backup", small)
    before = small.read_bytes()
    done = run("db", "restore", "saved.db", "--yes", "--db", small)
    assert_refused_after_preview(done, f"the disk of {small_disk}")
    assert files(small) == ["metrics.db"]
    assert small.read_bytes() == before


def test_a_symlink_is_kept(database_path: Path, home: Path, run: Run) -> None:
    """The file it points to is replaced, where the WAL is too."""
    link = home / "link.db"
    link.symlink_to(database_path)
    assert run("db", "restore", "saved.db", "--yes", "--db", link).returncode == 0
    assert link.is_symlink()
    assert stored(database_path) == {"saved": SAVED}


def test_a_process_that_opened_the_file_before_the_restore_uses_the_new_contents(
    database_path: Path, home: Path, run: Run
) -> None:
    """It has opened the file but holds no lock when the contents are replaced."""
    with subprocess.Popen(
        [sys.executable, "-c", _OPEN_AND_WAIT, str(database_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        assert run("db", "restore", "saved.db", "--yes").returncode == 0
        with idle_process(database_path):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait() == 0
    assert stored(database_path) == {"saved": SAVED, "late": 1}
    (kept,) = (path for path in database_path.parent.iterdir() if ".replaced-" in path.name)
    assert stored(kept) == {"saved": SAVED, "later": LATER}


def test_a_server_needs_its_own_tools(postgres_url: str, database_path: Path, run: Run) -> None:
    """One line names them, without the password."""
    url = postgres_url.replace("postgres@", "postgres:s3cr3t@").replace("postgres:@", "postgres:s3cr3t@")
    done = run("db", "restore", "saved.db", "--yes", "--db", url)
    assert_refused(done, "pg_restore")
    assert "s3cr3t" not in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("is_sound", [True, False], ids=["sound", "empty"])
def test_killed_at_any_step(is_sound: bool, database_path: Path, home: Path, run_code: Run) -> None:
    """Killed before each file operation and between copied pages: either the old database with its WAL or the new one
    is complete and can be written. Restoring again completes. A file that was no database stays unusable until it is
    replaced."""
    with idle_process(database_path):
        store(database_path, "logged", 1)
    assert Path(f"{database_path}-wal").stat().st_size
    if not is_sound:
        database_path.write_bytes(b"")
    pristine, step, states = home / "pristine", 0, set()
    shutil.copytree(database_path.parent, pristine)
    arguments = (_KILLED_AT, database_path, home / "saved.db", database_path.parent)
    while True:
        done = run_code(*arguments, str(step))
        assert not is_sound or database_path.read_bytes().startswith(b"SQLite format 3")
        if database_path.read_bytes().startswith(b"SQLite format 3"):
            found = stored(database_path)
            assert found in ({"saved": SAVED}, {"saved": SAVED, "later": LATER, "logged": 1})
            store(database_path, "probe", 1)
            assert stored(database_path) == found | {"probe": 1}
            states.add((done.returncode, len(found)))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert run_code(*arguments, "100000").returncode == 0
        assert stored(database_path) == {"saved": SAVED}
        assert not [name for name in files(database_path) if name.endswith((".tmp", "-wal", "-journal"))]
        shutil.rmtree(database_path.parent)
        shutil.copytree(pristine, database_path.parent)
        step += 1
    assert states == {(-signal.SIGKILL, 1), (0, 1), *([(-signal.SIGKILL, 3)] if is_sound else [])}
    assert step > 8


def test_a_backup_under_load_has_what_was_stored_before_it_started(database_path: Path, home: Path, run: Run) -> None:
    """Three processes record without pause. The restored backup has a prefix of what each stored, at least up to the
    start of the backup, and its roll-ups agree."""
    acknowledged = [home / f"acknowledged-{number}" for number in range(3)]
    with ExitStack() as stack:
        for path in acknowledged:
            file = stack.enter_context(path.open("w"))
            writer = subprocess.Popen([sys.executable, "-c", _RECORD, str(database_path)], stdout=file, cwd=ROOT)
            stack.callback(writer.wait)
            stack.callback(writer.kill)
        eventually(lambda: all(len(lines(path)) > 50 for path in acknowledged))
        before = [len(lines(path)) for path in acknowledged]
        done = run("db", "backup", "loaded.db")
        after = [len(lines(path)) for path in acknowledged]
        eventually(lambda: all(len(lines(path)) > number for path, number in zip(acknowledged, after, strict=True)))
    assert done.returncode == 0, done.stderr
    assert run("db", "restore", "loaded.db", "--yes").returncode == 0
    assert stored(database_path)["saved"] == SAVED
    database = open_database(str(database_path))
    held = {record.uid for record in queries.iterate(database, Filter())}
    database.close()
    for path, number in zip(acknowledged, before, strict=True):
        is_held = [uid in held for uid in lines(path)]
        assert is_held[:number] == [True] * number
        assert is_held == sorted(is_held, reverse=True)
        assert not all(is_held)


def test_restores_and_concurrent_recording_lose_nothing(database_path: Path, home: Path) -> None:
    """Three processes open, record and close while backups are restored. Each acknowledged execution is in the database
    or in a replaced one, and all of them are intact."""
    acknowledged, restored = [home / f"acknowledged-{number}" for number in range(3)], 0
    with ExitStack() as stack:
        for path in acknowledged:
            file = stack.enter_context(path.open("w"))
            writer = subprocess.Popen(
                [sys.executable, "-c", _RECORD_REPEATEDLY, str(database_path)], stdout=file, cwd=ROOT
            )
            stack.callback(writer.wait)
            stack.callback(writer.kill)
        eventually(lambda: all(lines(path) for path in acknowledged))
        while restored < 30:
            with suppress(DatabaseBusy):
                restore(open_database(str(database_path)), home / "saved.db", f"{restored}")
                restored += 1
    held = set()
    for path in [database_path, *database_path.parent.glob("metrics.db.replaced-*")]:
        stored(path)
        database = open_database(str(path))
        held |= {record.uid for record in queries.iterate(database, Filter())}
        database.close()
    assert {uid for path in acknowledged for uid in lines(path)} <= held


def lines(path: Path) -> list[str]:
    """The complete lines of a file."""
    return path.read_text().split("\n")[:-1]
