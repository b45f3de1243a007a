"""Eight processes that record at once, while reports are read and the log is moved into the database.

No call fails and none is put aside; every execution is there, once; and whoever reads sees one moment: the sums that
reports are made of are those of the rows at that moment.
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
"""Of each writer."""

READERS = 2
PATIENCE_S = 120


def run(folder: Path, effort: Effort) -> Sequence[Figure]:
    """Let them go all at once, on a file that does not exist yet."""
    calls, path = effort.of(CALLS), folder / "metrics" / "metrics.db"
    readings, failures = _work(folder, str(path), calls)
    times = sorted(time for line in range(WRITERS) for time in _times(folder / f"times-{line}"))
    wanted = [name_of(line, number) for line in range(WRITERS) for number in range(calls)]
    differs = difference(stored(str(path)), wanted)
    return [
        Figure("calls of 8 processes at once", len(times), at_least=WRITERS * CALLS),
        Figure("reports and checkpoints meanwhile", len(readings), at_least=100),
        Figure("processes that failed", failures, at_most=0),
        Figure("executions put aside", waiting(path.parent), at_most=0),
        Figure("executions lost or doubled", sum(differs), at_most=0),
        Figure("reports that were not of one moment", readings.count(0), at_most=0),
        Figure("damaged databases", len(damage(str(path))), at_most=0),
        Figure("half of the calls took at most, ms", _at(times, 0.5)),
        Figure("99 of 100 calls took at most, ms", _at(times, 0.99)),
        Figure("the longest call took, ms", _at(times, 1.0)),
    ]


def _work(folder: Path, location: str, calls: int) -> tuple[array[int], int]:
    """Start everybody; what readers saw (1 or 0 for each report), and how many processes failed."""
    context = fork_context()
    together, is_over = context.Barrier(WRITERS + READERS), context.Event()
    writers = [context.Process(target=write, args=(folder, location, line, calls, together)) for line in range(WRITERS)]
    readers = [
        context.Process(target=read, args=(folder / f"read-{number}", location, together, is_over))
        for number in range(READERS)
    ]
    for process in (*writers, *readers):
        process.start()
    failures = sum(map(_failed, writers))
    is_over.set()
    failures += sum(map(_failed, readers))
    readings = array("q")
    for number in range(READERS):
        readings += _times(folder / f"read-{number}")
    return readings, failures


def _failed(process: ForkServerProcess) -> bool:
    process.join()
    failed = process.exitcode != 0
    process.close()
    return failed


def _times(path: Path) -> array[int]:
    found = array("q")
    # Who failed wrote none.
    if path.exists():
        found.frombytes(path.read_bytes())
    return found


def _at(times: Sequence[int], share: float) -> float:
    """The time, in milliseconds, that this share of the calls did not exceed."""
    return times[min(len(times) - 1, int(len(times) * share))] / 1e6


# In the processes


def write(folder: Path, location: str, line: int, calls: int, together: Barrier) -> None:
    """Record so many executions, and note how long each call took, in nanoseconds."""
    times = array("q")
    with PerformanceTracker(folder, database=location) as tracker:
        together.wait(PATIENCE_S)
        for number in range(calls):
            started = time.perf_counter_ns()
            record_one(tracker, line, number)
            times.append(time.perf_counter_ns() - started)
    (folder / f"times-{line}").write_bytes(times.tobytes())


def read(result: Path, location: str, together: Barrier, is_over: Event) -> None:
    """Read what reports are made of and checkpoint, until the end; note for each whether it was of one moment."""
    database, seen = open_database(location), array("q")
    together.wait(PATIENCE_S)
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
