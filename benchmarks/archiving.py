"""The cost of archiving, and how long writers wait: `python benchmarks/archiving.py DATABASE`.

Archives everything in a SQLite database (copy it first) into `archive/` beside it, and restores it. Prints JSON: the
seconds of both, the longest and the median time that the write lock is held (milliseconds), the bytes of the archives
and of what the database keeps of an archived execution, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.archive import archive_once, read_archive
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.writes import Store
from claude_force.ingest.jsonl_source import BATCH


class TimedDatabase(SqliteDatabase):
    """Records how long each transaction holds the write lock, in milliseconds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.held_ms: list[float] = []

    @contextmanager
    def write(self) -> Iterator[SqliteConnection]:
        with super().write() as connection:
            start = time.perf_counter()
            yield connection
        self.held_ms.append((time.perf_counter() - start) * 1000)

    def longest(self) -> dict[str, float]:
        """The longest and the median hold. Starts a new series."""
        held, self.held_ms = self.held_ms, []
        return {"longest_ms": round(max(held), 1), "median_ms": round(statistics.median(held), 1)}


def _bytes_of(database: SqliteDatabase, table: str) -> int:
    with database.read() as connection:
        return int(connection.fetch("SELECT SUM(pgsize) FROM dbstat WHERE name = :name", {"name": table})[0][0] or 0)


def measure(path: Path) -> dict[str, object]:
    """The figures of one database."""
    database = TimedDatabase(path)
    with database.read() as connection:
        reach = queries.time_range(connection)
    assert reach is not None
    start = time.perf_counter()
    report = archive_once(database, path.parent / "archive", reach.last_us + DAY_US, 0)
    archiving_s, archiving = time.perf_counter() - start, database.longest()
    kept = {table: _bytes_of(database, table) / report.executions for table in ("archived",)}
    start, store, restored = time.perf_counter(), Store(database), 0
    for month in report.months:
        rest = read_archive(month.file)
        while rows := list(islice(rest, BATCH)):
            restored += store.restore(rows)
    assert restored == report.executions
    return {
        "executions": report.executions,
        "archive_s": round(archiving_s, 1),
        "archive": archiving,
        "archive_bytes": sum(month.size or 0 for month in report.months),
        "tombstone_bytes": round(kept["archived"], 1),
        "restore_s": round(time.perf_counter() - start, 1),
        "restore": database.longest(),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, metavar="DATABASE", help="A copy of a database.")
    print(json.dumps(measure(parser.parse_args().database.absolute()), indent=2))


if __name__ == "__main__":
    _main()
