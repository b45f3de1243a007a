"""Many writers at once: processes, threads, tasks and forks. Nothing is lost, nothing is doubled, nobody is stopped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.sqlite.database import CHECKPOINT_BYTES
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from claude_force.performance_tracker.tracker import PerformanceTracker
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.profiles import scaled

BULK = 1000

_RECORDERS = """
import os, sys
from claude_force.performance_tracker.tracker import PerformanceTracker

location, processes, count = sys.argv[1], *map(int, sys.argv[2:])
(is_ready, ready), (start, go) = os.pipe(), os.pipe()
children = []
for number in range(processes):
    child = os.fork()
    if child == 0:
        os.close(go)
        tracker = PerformanceTracker(database=location)
        os.write(ready, b"!")
        # Blocks until the last process that holds the other end has closed it.
        os.read(start, 1)
        for _ in range(count):
            tracker.record_execution(f"agent-{number}", "a task", True, 12.5, "claude-haiku-4-5", 1000, 100)
        tracker.close()
        os._exit(0)
    children.append(child)
os.close(ready)
for _ in children:
    os.read(is_ready, 1)
os.close(go)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""

_ACKNOWLEDGER = """
import sys
from claude_force.performance_tracker.tracker import PerformanceTracker

tracker = PerformanceTracker(database=sys.argv[1])
while True:
    print(tracker.record_execution("mortal").uid, flush=True)
"""

_FORKER = """
import os, sys
from claude_force.performance_tracker.tracker import PerformanceTracker

location, whose, first_to_close = sys.argv[1:]
tracker = PerformanceTracker(database=location)
tracker.record_execution("before")
to_child, from_child = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    if whose == "its own":
        tracker = PerformanceTracker(database=location)
    for _ in range(20):
        tracker.record_execution("child")
    if first_to_close == "child":
        tracker.close()
        os._exit(0)
    os.write(from_child[1], b"!")
    os.read(to_child[0], 1)
    for _ in range(20):
        tracker.record_execution("child")
    os._exit(0)
if first_to_close == "child":
    os.waitpid(child, 0)
else:
    os.read(from_child[0], 1)
for _ in range(20):
    tracker.record_execution("parent")
tracker.close()
if first_to_close == "parent":
    os.write(to_child[1], b"!")
    os.waitpid(child, 0)
tracker.record_execution("after")
tracker.close()
"""


def by_agent(location: str) -> dict[str | None, int]:
    """Stored executions by their agent."""
    with closing(open_database(location)) as database, database.read() as connection:
        return {
            name: found.executions for (name,), found in queries.totals_by(connection, Filter(), "agent_name").items()
        }


def record_at_once(run_code: Run, location: str, processes: int, records: int) -> None:
    """Let processes record into one database, all from the same moment on; none of them may say a word."""
    done = run_code(_RECORDERS, location, str(processes), str(records), timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def assert_sound(path: Path) -> None:
    """The file passes SQLite's own check of every page and index."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_eight_processes_on_a_file_that_does_not_exist_yet(tmp_path: Path, home: Path, run_code: Run) -> None:
    """8 processes that record at once lose nothing: no error, nothing put aside, one sound file."""
    path, records = tmp_path / "metrics" / "metrics.db", scaled(2000)
    record_at_once(run_code, str(path), processes=8, records=records)
    assert by_agent(str(path)) == {f"agent-{number}": records for number in range(8)}
    assert list(home.rglob("*spool*")) == []
    assert_sound(path)
    assert [found.name for found in path.parent.iterdir()] == ["metrics.db"]


def test_four_processes_on_a_server(postgres_url: str, home: Path, run_code: Run) -> None:
    """The same on PostgreSQL: every execution of every process is there, none was put aside."""
    records = scaled(100)
    record_at_once(run_code, postgres_url, processes=4, records=records)
    assert by_agent(postgres_url) == {f"agent-{number}": records for number in range(4)}
    assert list(home.rglob("*spool*")) == []


def test_threads_share_a_tracker(location: str) -> None:
    """Eight threads that record at once through one tracker lose nothing."""
    tracker = PerformanceTracker(database=location)
    together = threading.Barrier(8)

    def record(name: str) -> None:
        together.wait()
        for _ in range(50):
            tracker.record_execution(name)

    threads = [threading.Thread(target=record, args=(f"thread-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.close()
    assert by_agent(location) == {f"thread-{number}": 50 for number in range(8)}


_MANY_THREADS = """
import resource, sys, threading
from claude_force.performance_tracker.tracker import PerformanceTracker

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
tracker = PerformanceTracker(database=sys.argv[1])
tracker.record_execution("first")
for number in range(200):
    thread = threading.Thread(target=tracker.record_execution, args=("thread",))
    thread.start()
    thread.join()
tracker.close()
"""


def test_threads_that_ended_leave_no_files_open(location: str, run_code: Run) -> None:
    """A host that makes a thread for each request does not run out of file descriptors."""
    done = run_code(_MANY_THREADS, location)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_agent(location) == {"first": 1, "thread": 200}


def test_tasks_share_a_tracker(location: str) -> None:
    """Tasks that overlap in one event loop are timed and recorded each for itself."""
    tracker = PerformanceTracker(database=location)

    async def work(number: int, everyone: asyncio.Barrier) -> None:
        async with tracker.track(f"task-{number}") as tracked:
            await everyone.wait()
            tracked.take_usage({"input_tokens": number, "output_tokens": 1})

    async def all_of_them() -> None:
        everyone = asyncio.Barrier(40)
        await asyncio.gather(*(work(number, everyone) for number in range(40)))

    asyncio.run(all_of_them())
    found = {(metrics.agent_name, metrics.input_tokens) for metrics in tracker.iter_metrics()}
    tracker.close()
    assert found == {(f"task-{number}", number) for number in range(40)}


@pytest.mark.parametrize("first_to_close", ["parent", "child"])
@pytest.mark.parametrize("whose", ["inherited", "its own"])
def test_parent_and_child_of_a_fork_both_record(whose: str, first_to_close: str, location: str, run_code: Run) -> None:
    """Whether the child goes on with the tracker it inherited or makes its own, and whoever of the two closes first,
    what either of them recorded is there."""
    done = run_code(_FORKER, location, whose, first_to_close)
    assert (done.returncode, done.stderr) == (0, "")
    child = 40 if first_to_close == "parent" else 20
    assert by_agent(location) == {"before": 1, "child": child, "parent": 20, "after": 1}
    if "://" not in location:
        assert_sound(Path(location))


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Recorders are killed in the middle of their work, again and again: every execution whose record_execution had
    returned is stored, once, and the file is sound."""
    path = tmp_path / "metrics.db"
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(scaled(10)):
        victims = [
            subprocess.Popen([sys.executable, "-c", _ACKNOWLEDGER, str(path)], stdout=subprocess.PIPE) for _ in range(3)
        ]
        for victim in victims:
            assert victim.stdout is not None
            lines = [victim.stdout.readline() for _ in range(chance.randint(1, 60))]
            victim.send_signal(signal.SIGKILL)
            lines += victim.stdout.readlines()
            victim.stdout.close()
            assert victim.wait() == -signal.SIGKILL
            acknowledged += [line.decode().strip() for line in lines if line.endswith(b"\n")]
    with closing(open_database(str(path))) as database:
        stored = Counter(record.uid for record in queries.iterate(database, Filter()))
    assert len(acknowledged) >= 30
    assert set(acknowledged) <= stored.keys()
    assert set(stored.values()) == {1}
    assert_sound(path)


def bulky_batches(count: int) -> Iterator[list[ExecutionMetrics]]:
    """Batches of about a megabyte each, in order of time."""
    bulk = dict.fromkeys(("task_hash", "workflow_id", "run_id"), "x" * 200)
    for start in range(0, count * BULK, BULK):
        instants = range(NOON_US + start * 1000, NOON_US + (start + BULK) * 1000, 1000)
        yield [an_execution(timestamp_us=instant, **bulk) for instant in instants]


def log_bytes(path: Path) -> int:
    """The size of the write-ahead log."""
    return os.stat(f"{path}-wal").st_size


def test_the_log_stays_small(tmp_path: Path) -> None:
    """However much is written, the write-ahead log is moved into the file before it is twice the limit."""
    path = tmp_path / "metrics.db"
    with closing(open_database(str(path))) as database:
        store, sizes = Store(database), []
        for batch in bulky_batches(20):
            store.add(batch)
            sizes.append(log_bytes(path))
    assert path.stat().st_size > 3 * CHECKPOINT_BYTES
    assert max(sizes) < 2 * CHECKPOINT_BYTES


def test_a_reader_stops_no_writer_and_sees_its_own_moment(tmp_path: Path) -> None:
    """While a reader stays in its transaction, everything that writers add is stored and the reader sees none of it;
    the log grows meanwhile, and is small again after the reader went."""
    path = tmp_path / "metrics.db"
    batches = bulky_batches(40)
    with closing(open_database(str(path))) as writing, closing(open_database(str(path))) as reading:
        store = Store(writing)
        store.add(next(batches))
        with reading.read() as connection:
            before = queries.totals(connection, Filter()).executions
            for _ in range(15):
                store.add(next(batches))
            assert queries.totals(connection, Filter()).executions == before == BULK
        assert log_bytes(path) > 2 * CHECKPOINT_BYTES
        for batch in batches:
            store.add(batch)
        assert log_bytes(path) < 2 * CHECKPOINT_BYTES
        with reading.read() as connection:
            assert queries.totals(connection, Filter()).executions == 40 * BULK


def test_a_read_is_a_snapshot(database: Database, location: str) -> None:
    """Queries of one read agree with each other, whatever is added or deleted between them."""
    store = Store(database)
    store.add([an_execution(), an_execution()])
    with closing(open_database(location)) as other, other.read() as connection:
        assert queries.totals(connection, Filter()).executions == 2
        store.add([an_execution()])
        store.delete(Window(NOON_US - 1, NOON_US + 1))
        assert queries.totals(connection, Filter()).executions == 2
        assert sum(found.executions for found in queries.totals_by(connection, Filter(), "model").values()) == 2
    with database.read() as connection:
        assert queries.totals(connection, Filter()).executions == 0


def test_recording_while_reading(location: str) -> None:
    """A loop over the executions may record; it ends, since what is new lies behind it or is met once."""
    tracker = PerformanceTracker(database=location)
    for _ in range(3):
        tracker.record_execution("first")
    seen = []
    for metrics in tracker.iter_metrics():
        seen.append(metrics.agent_name)
        tracker.record_execution("second")
    tracker.close()
    assert seen.count("first") == 3
    assert by_agent(location) == {"first": 3, "second": len(seen)}


def test_a_file_that_is_taken_away_is_made_anew(tmp_path: Path) -> None:
    """When somebody deletes the database under a running tracker, the next execution is in a new one, not in a file
    without a name."""
    path = tmp_path / "metrics.db"
    tracker = PerformanceTracker(database=str(path))
    tracker.record_execution("before")
    for found in tmp_path.glob("metrics.db*"):
        found.unlink()
    tracker.record_execution("after")
    tracker.close()
    assert by_agent(str(path)) == {"after": 1}


_BUSY_HOST = """
import os, sys, threading, warnings
from claude_force.performance_tracker.tracker import PerformanceTracker

warnings.simplefilter("ignore")
location, meanwhile, count = sys.argv[1:]
tracker = PerformanceTracker(database=location)
tracker.record_execution("first")

recorded = threading.Event()

def work():
    for _ in range(int(count)):
        tracker.record_execution("thread")
        recorded.set()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
children = 0
while any(thread.is_alive() for thread in threads):
    # Once for each record at most: a server starts a process for each new connection, and has a limit.
    recorded.wait(1)
    recorded.clear()
    if meanwhile == "close":
        tracker.close()
    elif children < 20:
        child = os.fork()
        if child == 0:
            tracker.record_execution("child")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        children += 1
for thread in threads:
    thread.join()
tracker.record_execution("last")
tracker.close()
print(children)
"""


@pytest.mark.parametrize("meanwhile", ["close", "fork"])
def test_a_host_that_closes_or_forks_while_its_threads_record(meanwhile: str, location: str, run_code: Run) -> None:
    """Neither brings the host down nor loses an execution of any thread or child."""
    count = scaled(25) if "://" in location else 200
    done = run_code(_BUSY_HOST, location, meanwhile, str(count))
    assert (done.returncode, done.stderr) == (0, "")
    children = {"child": int(done.stdout)} if meanwhile == "fork" else {}
    assert by_agent(location) == {"first": 1, "thread": 4 * count, "last": 1} | children


def test_a_log_that_was_left_behind_does_not_spoil_a_new_database(tmp_path: Path) -> None:
    """Whoever deletes a database whose process was killed may overlook the log beside it: the new database must not
    take the old one's pages for its own."""
    path = tmp_path / "metrics.db"
    order = random.Random(7)
    with closing(open_database(str(path))) as database:
        store = Store(database)
        store.add(an_execution(timestamp_us=NOON_US + order.randrange(10**9)) for _ in range(3000))
        database.close()
        store.add(an_execution(timestamp_us=NOON_US + order.randrange(10**9)) for _ in range(100))
        left_behind = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(left_behind)
    with PerformanceTracker(database=str(path)) as tracker:
        tracker.record_execution("new")
    assert_sound(path)
    assert by_agent(str(path)) == {"new": 1}
