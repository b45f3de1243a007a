"""Eight processes record at once, while others read reports and checkpoint.

No call fails, nothing is spooled, and every execution is stored once. A reader sees a consistent snapshot: the sums
equal those of the rows.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from claude_force.database import queries
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.performance_tracker.tracker import PerformanceTracker
from torture.campaign import Effort, Figure
from torture.evidence import damage, difference, name_of, stored, waiting
from torture.processes import fork_context, record_one

WRITERS = 8
CALLS = 2000
"""Calls of each writer."""

READERS = 2
PATIENCE_S = 120


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Start all at once, on a file that does not exist yet."""
    calls, path = effort.of(CALLS), folder / "metrics" / "metrics.db"
    snapshots, failures = _work(folder, str(path), calls)
    times = sorted(time for line in range(WRITERS) for time in _times(folder / f"times-{line}"))
    wanted = [name_of(line, number) for line in range(WRITERS) for number in range(calls)]
    differs = difference(stored(str(path)), wanted)
    return [
        Figure("calls of 8 processes at once", len(times), at_least=WRITERS * CALLS),
        Figure("reports and checkpoints meanwhile", len(snapshots), at_least=100),
        Figure("processes that failed", failures, at_most=0),
        Figure("executions spooled", waiting(path.parent), at_most=0),
        Figure("executions lost or doubled", sum(differs), at_most=0),
        Figure("inconsistent reports", snapshots.count(0), at_most=0),
        Figure("damaged databases", len(damage(str(path))), at_most=0),
        Figure("median call, ms", _at(times, 0.5)),
        Figure("99th percentile of calls, ms", _at(times, 0.99)),
        Figure("longest call, ms", _at(times, 1.0)),
    ]


def _work(folder: Path, location: str, calls: int) -> tuple[array[int], int]:
    """Run all processes. 1 for each consistent report and 0 for each other, and the number of failed processes."""
    context = fork_context()
    barrier, is_over = context.Barrier(WRITERS + READERS), context.Event()
    writers = [context.Process(target=write, args=(folder, location, line, calls, barrier)) for line in range(WRITERS)]
    readers = [
        context.Process(target=read, args=(folder / f"read-{number}", location, barrier, is_over))
        for number in range(READERS)
    ]
    for process in (*writers, *readers):
        process.start()
    failures = sum(map(_failed, writers))
    is_over.set()
    failures += sum(map(_failed, readers))
    snapshots = array("q")
    for number in range(READERS):
        snapshots += _times(folder / f"read-{number}")
    return snapshots, failures


def _failed(process: ForkServerProcess) -> bool:
    process.join()
    failed = process.exitcode != 0
    process.close()
    return failed


def _times(path: Path) -> array[int]:
    found = array("q")
    # A failed process wrote none.
    if path.exists():
        found.frombytes(path.read_bytes())
    return found


def _at(times: Sequence[int], share: float) -> float:
    """The quantile of the times at `share`, in milliseconds."""
    return times[min(len(times) - 1, int(len(times) * share))] / 1e6


# In the processes


def write(folder: Path, location: str, line: int, calls: int, barrier: Barrier) -> None:
    """Record `calls` executions, and note the duration of each call in nanoseconds."""
    times = array("q")
    with PerformanceTracker(folder, database=location) as tracker:
        barrier.wait(PATIENCE_S)
        for number in range(calls):
            started = time.perf_counter_ns()
            record_one(tracker, line, number)
            times.append(time.perf_counter_ns() - started)
    (folder / f"times-{line}").write_bytes(times.tobytes())


def read(result: Path, location: str, barrier: Barrier, is_over: Event) -> None:
    """Read the sums of reports and checkpoint, until the end. Note for each whether it was consistent."""
    database, seen = open_database(location), array("q")
    barrier.wait(PATIENCE_S)
    while not is_over.is_set():
        with database.read() as connection:
            summed = queries.totals(connection, Filter()).executions
            time.sleep(0.001)
            by_agent = queries.totals_by(connection, Filter(), "agent_name").values()
            rows = connection.fetch("SELECT COUNT(*) FROM executions")[0][0]
        seen.append(int(summed == rows == sum(found.executions for found in by_agent)))
        database.optimize()
    database.close()
    result.write_bytes(seen.tobytes())
