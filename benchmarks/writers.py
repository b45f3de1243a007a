"""Processes that write executions one by one, and all begin at once: `python benchmarks/writers.py KIND URL ROWS`.

That is one of them. KIND is `ours`, which records, or `bare`, which inserts by psycopg. It says when it is ready,
begins with the first line of its input, and ends after ROWS, or with its input if ROWS is 0. Then it prints the seconds
of each. A record that has to wait in the spool is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import Failed
from benchmarks.counted_recording import record_usual
from benchmarks.recording import timed
from claude_force.performance_tracker.tracker import PerformanceTracker

_ROW = (1, 1, "a3b4c5d6", 3456000, 1234, 567, 0, 0, 0, 3255200, 3255200, "2026-01-01", "given", "host")
MAKE_BARE = (
    "CREATE TABLE bare (LIKE executions INCLUDING ALL)",
    "INSERT INTO bare SELECT * FROM executions ORDER BY uid",
    "VACUUM ANALYZE bare",
)
"""The table of `bare`: the indexes of ours, and as many rows."""
_INSERT_BARE = f"""
INSERT INTO bare (
    uid, timestamp_us, series_id, success, task_hash, duration_us, input_tokens, output_tokens, cache_read_tokens,
    cache_write_5m_tokens, cache_write_1h_tokens, cost_nanousd, reference_cost_nanousd, price_version, usage_basis, host
) VALUES (uuidv7(), {", ".join(["%s"] * (1 + len(_ROW)))})
"""


def recorder(url: str) -> Callable[[int], object]:
    """What records an execution."""
    return partial(record_usual, PerformanceTracker(database=url))


def bare_recorder(url: str) -> Callable[[int], object]:
    """What inserts and commits the same row by a prepared statement."""
    connection = psycopg.connect(url, autocommit=True)
    connection.prepare_threshold = 0
    return lambda number: connection.execute(_INSERT_BARE, (number, *_ROW))


class Writers:
    """Processes that are ready to write."""

    def __init__(self, started: list[subprocess.Popen[str]]) -> None:
        self._started = started

    def begin(self) -> None:
        """All of them begin."""
        for each in self._started:
            assert each.stdin is not None
            each.stdin.write("begin\n")
            each.stdin.flush()

    def finish(self) -> list[float]:
        """Wait for their end; the seconds of each row. Raises Failed if one failed."""
        found: list[float] = []
        for each in self._started:
            assert each.stdin is not None
            each.stdin.close()
        for each in self._started:
            assert each.stdout is not None
            output = each.stdout.read()
            if each.wait():
                raise Failed(f"a process that records failed with {each.returncode}")
            found += json.loads(output)
        return found


@contextmanager
def writers(how_many: int, kind: str, url: str, rows: int, home: Path) -> Iterator[Writers]:
    """Processes that write so many rows each; 0 for as many as they can until they are finished."""
    command = (sys.executable, __file__, kind, url, str(rows))
    environment = os.environ | {"HOME": str(home)}
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) for _ in range(how_many)]
    try:
        for each in started:
            assert each.stdout is not None
            each.stdout.readline()
        yield Writers(started)
    finally:
        for each in started:
            each.kill()
            each.wait()


def record_at_once(how_many: int, kind: str, url: str, rows: int, home: Path) -> float:
    """The seconds in which processes write so many rows each, after a first one. Raises Failed if one failed."""
    with writers(how_many, kind, url, rows, home) as started:
        start = time.perf_counter()
        started.begin()
        started.finish()
        return time.perf_counter() - start


def _write(kind: str, url: str, rows: int) -> None:
    warnings.simplefilter("error", RuntimeWarning)
    record = (recorder if kind == "ours" else bare_recorder)(url)
    record(0)
    print("ready", flush=True)
    sys.stdin.readline()
    ended = threading.Event()
    if not rows:
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    times: list[int] = []
    for number in range(rows) if rows else count():
        if ended.is_set():
            break
        times += timed(record, range(number, number + 1))
    print(json.dumps([each / 1e9 for each in times]))


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    _write(sys.argv[1], sys.argv[2], int(sys.argv[3]))
