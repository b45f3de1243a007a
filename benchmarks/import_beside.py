"""What an import costs others who use the same database: those that record, and those that want the roll-up lock.

It is compared with an import into another database of the server, which takes as much of the machine, and no lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks.writers import writers
from claude_force.database.postgres.connection import ROLLUP_LOCK

RECORDERS = 4
_EVERY_S = 0.02


class Waited(NamedTuple):
    """Seconds that something took, sorted: each record, and each time that the roll-up lock was wanted."""

    recorded: Sequence[float]
    locked: Sequence[float]


def waited(url: str, work: Callable[[], object], home: Path) -> Waited:
    """What was waited for in a database while some work was done."""
    with writers(RECORDERS, "ours", url, 0, home) as started, _locking(url) as locked:
        started.begin()
        work()
        recorded = started.finish()
    return Waited(sorted(recorded), sorted(locked))


def quantile(found: Sequence[float], share: float) -> float:
    """Of sorted values, in ms."""
    return 1000 * found[min(int(share * len(found)), len(found) - 1)]


@contextmanager
def _locking(url: str) -> Iterator[list[float]]:
    """Take the roll-up lock again and again; how long each time took."""
    found: list[float] = []
    ended = threading.Event()

    def lock() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.wait(_EVERY_S):
                begin = time.perf_counter()
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [ROLLUP_LOCK])
                found.append(time.perf_counter() - begin)

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
