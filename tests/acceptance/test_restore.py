"""`claude-force db restore`: a backup in the place of a database, whole or not at all, and the other one kept."""

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
from tests.acceptance.test_bad_databases import DAMAGES, PAGE_BYTES, assert_refused, changed
from tests.builders import NOON_US, an_execution
from tests.conftest import ROOT, Run
from tests.daemons import eventually, is_up, scheduler

SAVED, LATER = 300, 40
NO_FILES = ("older", "garbage in the middle", "cut off", "a folder")
"""Damages that a backup is not refused for at once."""

_HOLD = """
import sys
from claude_force.database.open import open_database
database = open_database(sys.argv[1])
with database.read() as connection:
    connection.fetch("SELECT COUNT(*) FROM executions")
print("open", flush=True)
sys.stdin.readline()
"""
"""A process that has read from a database, and does nothing more."""

_RECORD_AT_TIMES = """
import random, sys, time
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
while True:
    database = open_database(sys.argv[1])
    execution = an_execution()
    Store(database).add([execution])
    database.close()
    print(execution.uid, flush=True)
    time.sleep(random.random() / 30)
"""
"""A process that records now and then, and has the database open for no longer than it needs."""

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
"""A process that records; it has opened the file when it waits."""

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
"""A process that records, and says each uid once it is stored."""

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
"""A process that restores, and is killed before what it does with a file, or between pages, the so many-th time."""


@pytest.fixture
def place(home: Path) -> Path:
    """Where the database of the home is, with what was saved in `saved.db` and something more."""
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
    """How many executions each agent has; every sum and every page is as it should be."""
    database = open_database(str(path))
    assert database.check_integrity() == []
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        found = queries.totals_by(connection, Filter(), "agent_name")
    database.close()
    return {str(agent): totals.executions for (agent,), totals in found.items()}


def files(place: Path) -> list[str]:
    """What is beside a database, but the lock of the scheduler."""
    return sorted(path.name for path in place.parent.iterdir() if path.suffix != ".scheduler")


@contextmanager
def holder(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the database open and is idle."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_backup_takes_the_place_of_the_database(place: Path, run: Run) -> None:
    """What is there is what the backup holds; the other is kept under a name with the date; only the owner may read."""
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert "saved.db: 300 executions until 2025-11-01" in done.stdout
    assert "metrics.db: 340 executions" in done.stdout
    assert stored(place) == {"saved": SAVED}
    database, kept = files(place)
    assert (database, kept[: len("metrics.db.replaced-20")]) == ("metrics.db", "metrics.db.replaced-20")
    assert stored(place.with_name(kept)) == {"saved": SAVED, "later": LATER}
    assert place.stat().st_mode & 0o777 == 0o600
    assert sqlite3.connect(place).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store(place, "after", 1)
    assert stored(place) == {"saved": SAVED, "after": 1}


def test_nothing_is_restored_unasked(place: Path, run: Run) -> None:
    """Without a terminal it takes --yes; --dry-run shows what would be, and changes nothing."""
    before = files(place)
    refused = run("db", "restore", "saved.db")
    assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
    dry = run("db", "restore", "saved.db", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "Replaces:" in dry.stdout
    assert files(place) == before
    assert stored(place) == {"saved": SAVED, "later": LATER}


def test_what_is_in_the_log_alone_is_kept(place: Path, home: Path, run: Run) -> None:
    """Commits of a process that was killed are in the log; they go with the database that is replaced."""
    with holder(place):
        store(place, "logged", 1)
    assert "metrics.db-wal" in files(place)
    assert run("db", "restore", "saved.db", "--yes").returncode == 0
    _, kept = files(place)
    assert stored(place) == {"saved": SAVED}
    assert stored(place.with_name(kept)) == {"saved": SAVED, "later": LATER, "logged": 1}


def test_a_database_in_use_is_not_replaced(place: Path, run: Run) -> None:
    """A process that has it open is named, even while it does nothing; nothing is changed, and afterwards it works."""
    with holder(place) as process:
        done = run("db", "restore", "saved.db", "--yes")
        assert done.returncode == 1
        assert "is in use" in done.stderr
        if sys.platform == "linux":
            assert f"pid {process.pid}" in done.stderr
    assert stored(place) == {"saved": SAVED, "later": LATER}
    assert run("db", "restore", "saved.db", "--yes").returncode == 0
    assert stored(place) == {"saved": SAVED}


def test_the_scheduler_is_to_be_stopped_first(place: Path, home: Path, run: Run) -> None:
    """It is said how; the database stays."""
    with scheduler(place, home) as process:
        database = open_database(str(place))
        eventually(lambda: is_up(database, process))
        database.close()
        done = run("db", "restore", "saved.db", "--yes")
    assert_refused_after_preview(done, "claude-force scheduler stop")
    assert stored(place) == {"saved": SAVED, "later": LATER}


def assert_refused_after_preview(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    """The command showed what it would do, and failed with one line."""
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in DAMAGES if name not in NO_FILES])
def test_what_is_no_backup_is_refused(name: str, place: Path, home: Path, run: Run) -> None:
    """A file that is empty, foreign, of a newer program or cut off is one line; nothing is changed."""
    before, bad = files(place), home / "bad.db"
    damage, complaint = DAMAGES[name]
    damage(bad, (home / "saved.db").read_bytes())
    done = run("db", "restore", "bad.db", "--yes")
    assert_refused(done, "holds no schema" if name == "without a version" else complaint)
    assert files(place) == before
    assert stored(place) == {"saved": SAVED, "later": LATER}


@pytest.mark.parametrize("name", ["garbage in the middle", "cut off"])
def test_a_damaged_backup_is_refused(name: str, place: Path, home: Path, run: Run) -> None:
    """It is read to its end before anything is changed."""
    damage, complaint = DAMAGES[name]
    before, saved = files(place), (home / "saved.db").read_bytes()
    damage(home / "saved.db", saved)
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 1
    assert complaint in done.stderr
    assert files(place) == before
    assert stored(place) == {"saved": SAVED, "later": LATER}


@pytest.mark.parametrize(
    "name", ["a text file", "an empty file", "cut off", "cut off in its header", "garbage in the middle", "a page"]
)
@pytest.mark.parametrize("is_logged", [False, True], ids=["", "with a log"])
def test_a_damaged_database_is_replaced(name: str, is_logged: bool, place: Path, home: Path, run: Run) -> None:
    """That is what backups are for; a log that is left beside it is not played into the new one."""
    content = place.read_bytes()
    if is_logged:
        with holder(place):
            store(place, "logged", 1)
        assert Path(f"{place}-wal").stat().st_size
    if name == "a page":
        place.write_bytes(content[:-PAGE_BYTES] + b"\xaa" * PAGE_BYTES)
    else:
        DAMAGES[name][0](place, content)
    bad = place.read_bytes()
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert stored(place) == {"saved": SAVED}
    kept = next(path for path in place.parent.iterdir() if "replaced" in path.name)
    assert is_logged or kept.read_bytes()[200:] == bad[200:]


def test_another_programs_database_is_never_replaced(place: Path, run: Run) -> None:
    """It is somebody's."""
    place.unlink()
    changed(place, b"", "CREATE TABLE theirs (id)")
    before = place.read_bytes()
    assert_refused_after_preview(run("db", "restore", "saved.db", "--yes"), "of another program")
    assert place.read_bytes() == before


def test_where_no_database_is_one_comes(place: Path, run: Run) -> None:
    """A database that was deleted comes back; a log that it left is put aside."""
    place.unlink()
    Path(f"{place}-wal").write_bytes(b"left")
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert stored(place) == {"saved": SAVED}
    assert [name[: len("metrics.db-wal.left")] for name in files(place)] == ["metrics.db", "metrics.db-wal.left"]


def test_an_older_backup_is_restored_and_then_upgraded(place: Path, home: Path, run: Run) -> None:
    """The program says what to do, and it works."""
    connection = sqlite3.connect(home / "saved.db")
    connection.executescript(
        "DROP TABLE exporters; DROP TABLE export_queue; UPDATE claude_force_version SET version_num = '0004'"
    )
    connection.close()
    done = run("db", "restore", "saved.db", "--yes")
    assert done.returncode == 0, done.stderr
    assert "claude-force db upgrade" in done.stdout
    assert run("db", "upgrade").returncode == 0
    assert stored(place) == {"saved": SAVED}


def test_the_database_is_no_backup_of_itself(place: Path, run: Run) -> None:
    """Nor is a link to it."""
    (place.parent / "link.db").symlink_to(place)
    assert_refused(run("db", "restore", place.parent / "link.db", "--yes"), "is the database itself")


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A disk on which a database has room, and not two; where it cannot be mounted the test is skipped."""
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


def test_a_disk_without_room_leaves_the_database(place: Path, small_disk: Path, home: Path, run: Run) -> None:
    """It is the disk of the database that is named, and what was written is removed."""
    small = small_disk / "metrics.db"
    run("db", "backup", small)
    before = small.read_bytes()
    done = run("db", "restore", "saved.db", "--yes", "--db", small)
    assert_refused_after_preview(done, f"the disk of {small_disk}")
    assert files(small) == ["metrics.db"]
    assert small.read_bytes() == before


def test_a_link_stays_a_link(place: Path, home: Path, run: Run) -> None:
    """The file that it names is replaced, where the log is too."""
    link = home / "link.db"
    link.symlink_to(place)
    assert run("db", "restore", "saved.db", "--yes", "--db", link).returncode == 0
    assert link.is_symlink()
    assert stored(place) == {"saved": SAVED}


def test_who_opens_the_file_in_that_very_moment_goes_on_in_the_new_one(place: Path, home: Path, run: Run) -> None:
    """A process that has opened the file, and holds no lock on it yet, when what is in it is replaced."""
    with subprocess.Popen(
        [sys.executable, "-c", _OPEN_AND_WAIT, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        assert run("db", "restore", "saved.db", "--yes").returncode == 0
        with holder(place):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait() == 0
    assert stored(place) == {"saved": SAVED, "late": 1}
    (kept,) = (path for path in place.parent.iterdir() if ".replaced-" in path.name)
    assert stored(kept) == {"saved": SAVED, "later": LATER}


def test_a_server_is_restored_by_its_own_tools(postgres_url: str, place: Path, run: Run) -> None:
    """One line that names them, without the password."""
    url = postgres_url.replace("postgres@", "postgres:s3cr3t@").replace("postgres:@", "postgres:s3cr3t@")
    done = run("db", "restore", "saved.db", "--yes", "--db", url)
    assert_refused(done, "pg_restore")
    assert "s3cr3t" not in done.stderr


@pytest.mark.parametrize("is_sound", [True, False], ids=["sound", "empty"])
def test_killed_at_any_step(is_sound: bool, place: Path, home: Path) -> None:
    """Before each thing that it does with a file, and between the pages that it copies: the old database, with what is
    in its log alone, or the new one is there whole, and is written to; restoring again ends it. A file that was no
    database is none until the new one is there."""
    with holder(place):
        store(place, "logged", 1)
    assert Path(f"{place}-wal").stat().st_size
    if not is_sound:
        place.write_bytes(b"")
    pristine, step, states = home / "pristine", 0, set()
    shutil.copytree(place.parent, pristine)
    arguments = [sys.executable, "-c", _KILLED_AT, str(place), str(home / "saved.db"), str(place.parent)]
    while True:
        done = subprocess.run([*arguments, str(step)], capture_output=True, text=True, check=False)
        assert not is_sound or place.read_bytes().startswith(b"SQLite format 3")
        if place.read_bytes().startswith(b"SQLite format 3"):
            found = stored(place)
            assert found in ({"saved": SAVED}, {"saved": SAVED, "later": LATER, "logged": 1})
            store(place, "probe", 1)
            assert stored(place) == found | {"probe": 1}
            states.add((done.returncode, len(found)))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        subprocess.run([*arguments, "100000"], capture_output=True, check=True)
        assert stored(place) == {"saved": SAVED}
        assert not [name for name in files(place) if name.endswith((".tmp", "-wal", "-journal"))]
        shutil.rmtree(place.parent)
        shutil.copytree(pristine, place.parent)
        step += 1
    assert states == {(-signal.SIGKILL, 1), (0, 1), *([(-signal.SIGKILL, 3)] if is_sound else [])}
    assert step > 8


def test_a_backup_under_load_holds_what_was_stored_before_it_began(place: Path, home: Path, run: Run) -> None:
    """Three processes record without a pause. Restored, it holds of each what it stored first, up to some moment after
    the backup began, and its sums are those of what it holds."""
    told = [home / f"told-{number}" for number in range(3)]
    with ExitStack() as stack:
        for path in told:
            file = stack.enter_context(path.open("w"))
            writer = subprocess.Popen([sys.executable, "-c", _RECORD, str(place)], stdout=file, cwd=ROOT)
            stack.callback(writer.wait)
            stack.callback(writer.kill)
        eventually(lambda: all(len(lines(path)) > 50 for path in told))
        before = [len(lines(path)) for path in told]
        done = run("db", "backup", "loaded.db")
        after = [len(lines(path)) for path in told]
        eventually(lambda: all(len(lines(path)) > number for path, number in zip(told, after, strict=True)))
    assert done.returncode == 0, done.stderr
    assert run("db", "restore", "loaded.db", "--yes").returncode == 0
    assert stored(place)["saved"] == SAVED
    database = open_database(str(place))
    held = {record.uid for record in queries.iterate(database, Filter())}
    database.close()
    for path, number in zip(told, before, strict=True):
        is_held = [uid in held for uid in lines(path)]
        assert is_held[:number] == [True] * number
        assert is_held == sorted(is_held, reverse=True)
        assert not all(is_held)


def test_nothing_is_lost_between_restores_and_those_who_record(place: Path, home: Path) -> None:
    """Three processes open the database, record, and close it, over and over, while backups are restored: each
    execution that was acknowledged is in the database or in one that was kept, and all of them are whole."""
    told, restored = [home / f"told-{number}" for number in range(3)], 0
    with ExitStack() as stack:
        for path in told:
            file = stack.enter_context(path.open("w"))
            writer = subprocess.Popen([sys.executable, "-c", _RECORD_AT_TIMES, str(place)], stdout=file, cwd=ROOT)
            stack.callback(writer.wait)
            stack.callback(writer.kill)
        eventually(lambda: all(lines(path) for path in told))
        while restored < 30:
            with suppress(DatabaseBusy):
                restore(open_database(str(place)), home / "saved.db", f"{restored}")
                restored += 1
    held = set()
    for path in [place, *place.parent.glob("metrics.db.replaced-*")]:
        stored(path)
        database = open_database(str(path))
        held |= {record.uid for record in queries.iterate(database, Filter())}
        database.close()
    assert {uid for path in told for uid in lines(path)} <= held


def lines(path: Path) -> list[str]:
    """The whole lines of a file."""
    return path.read_text().split("\n")[:-1]
