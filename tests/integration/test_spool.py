"""Where an execution waits when the database cannot take it: it is warned of once, never lost, never doubled, and never
brought into another database."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from claude_force.database import migrate, queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.sqlite import database as sqlite
from claude_force.database.sqlite.files import APPLICATION_ID, create_file
from claude_force.database.writes import Store
from claude_force.errors import ClaudeForceError, DatabaseBusy, SchemaOutdated
from claude_force.ingest import spool
from claude_force.ingest.rejects import RejectLog
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.postgres import TEMPLATE_AT_HEAD, create_database, database_uri, drop_database

NO_SERVER = "postgresql://nobody@127.0.0.1:1/metrics"


def spool_files(folder: Path) -> list[Path]:
    """The spool files below a folder."""
    return sorted(folder.rglob("*spool*.jsonl"))


def agents(location: str) -> list[str]:
    """The agents of the stored executions, sorted."""
    with closing(open_database(location)) as database:
        return sorted(record.agent_name for record in queries.iterate(database, Filter()))


def record_quietly(location: str, *names: str) -> None:
    """Record executions with a new tracker, without its warning."""
    with warnings.catch_warnings(), PerformanceTracker(database=location) as tracker:
        warnings.simplefilter("ignore")
        for name in names:
            tracker.record_execution(name)


def an_older_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("CREATE TABLE keepsake (word TEXT)")


def a_newer_schema(path: Path) -> None:
    create_file(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE claude_force_version SET version_num = '9999'")


def a_text_file(path: Path) -> None:
    path.write_text("dear diary " * 100)


def an_empty_file(path: Path) -> None:
    path.touch()


def a_foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE theirs (word TEXT)")


def a_folder(path: Path) -> None:
    path.mkdir()


_UNUSABLE = [an_older_schema, a_newer_schema, a_text_file, an_empty_file, a_foreign_database, a_folder]


@pytest.mark.parametrize("spoil", _UNUSABLE)
def test_an_unusable_database_file_is_not_changed(spoil: Callable[[Path], None], tmp_path: Path, home: Path) -> None:
    """Executions go to one private spool file, with one warning. Once the database is usable, the next execution stores
    all of them unchanged."""
    path = tmp_path / "metrics.db"
    spoil(path)
    before = None if path.is_dir() else path.read_bytes()
    tracker = PerformanceTracker(database=str(path))
    with pytest.warns(RuntimeWarning, match=r"executions wait in .*jsonl") as said:
        waiting = [tracker.record_execution(name, "t", model="m", input_tokens=1, output_tokens=2) for name in "abc"]
    assert len(said) == 1
    assert str(path) in str(said[0].message)
    (file,) = spool_files(tmp_path)
    assert len(file.read_bytes().splitlines()) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    assert (None if path.is_dir() else path.read_bytes()) == before

    path.rename(tmp_path / "aside")
    waiting.append(tracker.record_execution("d"))
    assert sorted(tracker.get_all_metrics(), key=lambda found: found.agent_name) == waiting
    assert spool_files(tmp_path) == []
    tracker.close()


def test_an_execution_is_spooled_if_the_database_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that holds the write lock past the timeout does not stop the host, and no execution is missing.
    Reading goes on meanwhile, and writing without a tracker says what is wrong."""
    path = tmp_path / "metrics.db"
    record_quietly(str(path), "before")
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    tracker = PerformanceTracker(database=str(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.warns(RuntimeWarning, match="locked by another process"):
            tracker.record_execution("meanwhile")
        assert [found.agent_name for found in tracker.get_all_metrics()] == ["before"]
        with closing(open_database(str(path))) as database, pytest.raises(DatabaseBusy, match="try again"):
            Store(database).add([an_execution()])
        other.execute("ROLLBACK")
    tracker.record_execution("after")
    tracker.close()
    assert agents(str(path)) == ["after", "before", "meanwhile"]
    assert spool_files(tmp_path) == []


@pytest.mark.parametrize("location", [NO_SERVER, "mysql://me@box/metrics", "postgresql://", "x" * 300])
def test_an_unreachable_database(location: str, home: Path) -> None:
    """No server, an unknown kind of database, an impossible path: the execution is spooled in the home folder."""
    with PerformanceTracker(database=location) as tracker:
        with pytest.warns(RuntimeWarning, match="executions wait in"):
            tracker.record_execution("a")
        with pytest.raises(ClaudeForceError):
            tracker.get_all_metrics()
    (file,) = spool_files(home)
    assert json.loads(file.read_text())["agent_name"] == "a"


@pytest.fixture
def later_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a PostgreSQL database that does not exist yet."""
    name = f"later_{abs(hash(request.node.nodeid)):x}"
    yield database_uri(postgres_server, name)
    drop_database(postgres_server, name)


def test_a_server_that_starts_later(later_url: str, postgres_server: str, home: Path) -> None:
    """The first execution that the server stores brings the spooled ones with it."""
    with PerformanceTracker(database=later_url) as tracker:
        with pytest.warns(RuntimeWarning, match="executions wait in"):
            tracker.record_execution("early")
        name = urlsplit(later_url).path.removeprefix("/")
        create_database(postgres_server, TEMPLATE_AT_HEAD, name)
        tracker.record_execution("later")
        assert sorted(found.agent_name for found in tracker.iter_metrics()) == ["early", "later"]
    assert spool_files(home) == []


def test_queries_raise_the_error(tmp_path: Path) -> None:
    """With its remedy, where recording spools."""
    an_older_schema(tmp_path / "metrics.db")
    tracker = PerformanceTracker(database=str(tmp_path / "metrics.db"))
    for ask in (tracker.get_all_metrics, tracker.get_summary, tracker.get_trends, tracker.get_cost_breakdown):
        with pytest.raises(SchemaOutdated, match="claude-force db upgrade"):
            ask()


def test_import_without_a_file_drains_the_spool(run: Run, home: Path) -> None:
    """After the upgrade that the warning asked for."""
    path = home / ".claude" / "metrics" / "metrics.db"
    path.parent.mkdir()
    an_older_schema(path)
    record_quietly(str(path), "a", "b")
    assert run("db", "upgrade").returncode == 0
    done = run("import", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (json.loads(done.stdout)["added"], json.loads(done.stdout)["rejected"]) == (2, 0)
    assert agents(str(path)) == ["a", "b"]
    assert spool_files(home) == []


def test_each_database_has_its_own_spool(tmp_path: Path, home: Path, run: Run) -> None:
    """Executions that are spooled for one database do not go into another."""
    spoiled = tmp_path / "spoiled.db"
    a_text_file(spoiled)
    record_quietly(NO_SERVER, "for the server")
    record_quietly(str(spoiled), "for the file")
    with PerformanceTracker() as tracker:
        tracker.record_execution("local")
    with PerformanceTracker(enable_persistence=False) as tracker:
        tracker.record_execution("private")
        assert [found.agent_name for found in tracker.get_all_metrics()] == ["private"]
    record_quietly(str(tmp_path / "other.db"), "other")
    run("import")
    assert agents(str(home / ".claude" / "metrics" / "metrics.db")) == ["local"]
    assert agents(str(tmp_path / "other.db")) == ["other"]
    assert len(spool_files(tmp_path)) == 2


def test_a_half_written_line_is_rejected_alone(tmp_path: Path, home: Path) -> None:
    """A line that a crash cut off goes to the rejected lines; the executions before and after it are stored."""
    path = tmp_path / "metrics.db"
    a_text_file(path)
    record_quietly(str(path), "before")
    (file,) = spool_files(tmp_path)
    with file.open("ab") as stream:
        stream.write(b'{"timestamp": "2025-11-14T10:30')
    record_quietly(str(path), "after")
    path.unlink()
    record_quietly(str(path), "now")
    assert agents(str(path)) == ["after", "before", "now"]
    assert spool_files(tmp_path) == []
    (rejected,) = home.rglob("rejected.jsonl")
    assert "2025-11-14T10:30" in rejected.read_text()
    assert (rejected.stat().st_mode & 0o777, rejected.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_draining_twice_adds_once(tmp_path: Path, home: Path) -> None:
    """If a process is killed after the commit and before the file is deleted, the next drain adds nothing."""
    path = tmp_path / "metrics.db"
    a_text_file(path)
    record_quietly(str(path), "a", "b")
    (file,) = spool_files(tmp_path)
    shutil.copy(file, tmp_path / "copy")
    path.unlink()
    record_quietly(str(path), "c")
    shutil.copy(tmp_path / "copy", file)
    record_quietly(str(path), "d")
    assert agents(str(path)) == ["a", "b", "c", "d"]
    assert spool_files(tmp_path) == []


def test_the_state_folder_is_used_if_the_other_is_read_only(home: Path, tmp_path: Path) -> None:
    """The file in ~/.local/state is private, and is drained once the database can be created."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    location = str(blocked / "metrics.db")
    record_quietly(location, "a")
    (file,) = spool_files(tmp_path)
    assert file.parent == home / ".local" / "state" / "claude-force"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    blocked.unlink()
    record_quietly(location, "b")
    assert agents(location) == ["a", "b"]
    assert spool_files(tmp_path) == []


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be created, because a file has its name; nor can the state folder."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    return blocked


def test_executions_stay_in_memory_if_no_file_can_be_written(nowhere: Path) -> None:
    """The warning says so. The next execution that the database stores brings them with it."""
    location = str(nowhere / "metrics.db")
    with PerformanceTracker(database=location) as tracker:
        with pytest.warns(RuntimeWarning, match="kept in memory") as said:
            _ = [tracker.record_execution(name) for name in "abc"]
        assert len(said) == 1
        nowhere.unlink()
        tracker.record_execution("d")
    assert agents(location) == ["a", "b", "c", "d"]


def test_closing_stores_executions_in_memory(nowhere: Path) -> None:
    """Closing the tracker loses nothing."""
    location = str(nowhere / "metrics.db")
    tracker = PerformanceTracker(database=location)
    with pytest.warns(RuntimeWarning, match="kept in memory"):
        tracker.record_execution("a")
    nowhere.unlink()
    tracker.close()
    assert agents(location) == ["a"]


def test_a_batch_is_spooled_as_a_whole(tmp_path: Path, home: Path) -> None:
    """If the database cannot take it; and it comes in once the database can."""
    path = tmp_path / "metrics.db"
    a_text_file(path)
    with PerformanceTracker(database=str(path)) as tracker, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with tracker.batch() as batch:
            for name in ("a", "b"):
                batch.record_execution(name)
        assert len(warned) == 1
        assert [len(file.read_bytes().splitlines()) for file in spool_files(tmp_path)] == [2]
        path.unlink()
        tracker.record_execution("c")
    assert agents(str(path)) == ["a", "b", "c"]


def test_threads_store_executions_in_memory_once(nowhere: Path) -> None:
    """When the database is back and many threads record, each execution is stored exactly once."""
    location = str(nowhere / "metrics.db")
    tracker = PerformanceTracker(database=location)
    with pytest.warns(RuntimeWarning, match="kept in memory"):
        waiting = {tracker.record_execution("waiting").uid for _ in range(200)}
    nowhere.unlink()
    together = threading.Barrier(8)

    def record() -> None:
        together.wait()
        tracker.record_execution("now")

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.close()
    stored = [found.uid for found in tracker.iter_metrics()]
    assert waiting <= set(stored)
    assert len(stored) == len(set(stored)) == 208


_SPOOLER = """
import sys, warnings
from claude_force.performance_tracker.tracker import PerformanceTracker

warnings.simplefilter("ignore")
tracker = PerformanceTracker(database=sys.argv[1])
for number in range(100):
    tracker.record_execution(f"{sys.argv[2]}-{number}")
"""


def test_processes_append_to_one_spool(tmp_path: Path) -> None:
    """Their lines do not mix: all executions are stored."""
    path = tmp_path / "metrics.db"
    a_text_file(path)
    names = ["a", "b", "c", "d"]
    started = [subprocess.Popen([sys.executable, "-c", _SPOOLER, str(path), name]) for name in names]
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    path.unlink()
    record_quietly(str(path), "last")
    assert agents(str(path)) == sorted([f"{name}-{number}" for name in names for number in range(100)] + ["last"])


def test_draining_while_others_append(tmp_path: Path) -> None:
    """Draining a file while others append to it loses none of their lines."""
    location = str(tmp_path / "metrics.db")
    files = (tmp_path / "spool.jsonl", tmp_path / "other.jsonl")
    writers = [
        threading.Thread(target=lambda: [spool.append([an_execution(timestamp_us=NOON_US)], files) for _ in range(100)])
        for _ in range(4)
    ]
    rejects = RejectLog(tmp_path / "rejected.jsonl")
    with closing(open_database(location)) as database:
        store = Store(database)
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            spool.drain(files, store, rejects, NOON_US)
        for writer in writers:
            writer.join()
        spool.drain(files, store, rejects, NOON_US)
    assert len(agents(location)) == 400
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_running_tracker_uses_an_upgraded_database(tmp_path: Path) -> None:
    """A tracker that found an old schema stores executions after the upgrade."""
    path = tmp_path / "metrics.db"
    an_older_schema(path)
    with PerformanceTracker(database=str(path)) as tracker:
        with pytest.warns(RuntimeWarning, match="claude-force db upgrade"):
            tracker.record_execution("a")
        migrate.upgrade(open_database(str(path)))
        tracker.record_execution("b")
    assert agents(str(path)) == ["a", "b"]


def test_files_and_folders_are_private(home: Path) -> None:
    """With any umask, folders, the database and the files beside it are readable by their owner only."""
    shutil.rmtree(home / ".claude")
    before = os.umask(0)
    try:
        with PerformanceTracker() as tracker:
            tracker.record_execution("a")
            modes = {str(path.relative_to(home)): oct(path.stat().st_mode & 0o777) for path in home.rglob("*")}
    finally:
        os.umask(before)
    assert modes == {
        ".claude": "0o700",
        ".claude/metrics": "0o700",
        ".claude/metrics/.gitignore": "0o600",
        ".claude/metrics/metrics.db": "0o600",
        ".claude/metrics/metrics.db-shm": "0o600",
        ".claude/metrics/metrics.db-wal": "0o600",
    }
