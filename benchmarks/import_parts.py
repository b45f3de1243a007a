"""Where an import spends its time, in microseconds of a processor per line: `python benchmarks/import_parts.py`.

The two processes of an import run here one after the other in one process.
"""

from __future__ import annotations

import gc
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import generate
from claude_force.database.contract import Row
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.writes import Store
from claude_force.executions.pricing import PriceTable
from claude_force.executions.rollup_rows import spread_aggregates, spread_bins
from claude_force.executions.rollups import sum_up
from claude_force.ingest.jsonl_source import JsonlSource

COUNT = 200_000
HISTORY = 1_000_000
"""The lines are the first of a history of this size, which decides how close together they are."""

T = TypeVar("T")


class TimedConnection(SqliteConnection):
    """Records the duration of each kind of statement."""

    taken: Counter[str]

    def insert_columns(
        self, table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any], other: str
    ) -> Sequence[Any]:
        start = time.process_time_ns()
        found = super().insert_columns(table, each, same, other)
        self.taken["store the rows"] += time.process_time_ns() - start
        return found

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        start = time.process_time_ns()
        super().insert_all(into, rows, otherwise, values)
        self.taken["add to the sums"] += time.process_time_ns() - start


class TimedDatabase(SqliteDatabase):
    """A database with timed connections."""

    taken: Counter[str]

    @contextmanager
    def write(self) -> Iterator[SqliteConnection]:
        with super().write() as plain:
            connection = TimedConnection(plain._raw)
            connection.taken = self.taken
            yield connection


def main() -> None:
    """Print the duration of each part."""
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        made = generate.lines(HISTORY, generate.SEED, datetime.now(UTC).date())
        content = "".join(islice(made, COUNT)).encode()
        batches, reading = timed(lambda: list(JsonlSource(UTC, PriceTable("claude-sonnet-4-5")).read(BytesIO(content))))
        sums, summing = timed(lambda: [sum_up(batch.rows) for batch in batches])
        messages, over = timed(lambda: [pickle.dumps(batch, 5) for batch in batches])
        _, taking = timed(lambda: [pickle.loads(message) for message in messages])  # noqa: S301  (our own)
        ids = list(range(1, 10_000))
        _, spreading = timed(lambda: [(spread_aggregates(each, ids), spread_bins(each, ids)) for each in sums])
        database = TimedDatabase(Path(folder) / "metrics.db")
        database.taken = Counter()
        target = Store(database)
        _, storing = timed(lambda: [target.add_rows(batch.rows, batch.sums) for batch in batches])
        database.close()
    print("reading")
    show("lines to rows: decode, check, identify, price", reading - summing)
    show("rows to sums by hour and day", summing)
    show("hand over", over)
    print("storing")
    show("take over", taking)
    for name, nanoseconds in database.taken.items():
        show(name, nanoseconds / 1000 / COUNT)
    show("sums of every level from those of hours and days", spreading)
    show("the rest: rows in the order of the table, commits, checkpoints", storing - spreading - total(database.taken))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result of `work`, and its duration in microseconds per line."""
    start = time.process_time_ns()
    found = work()
    return found, (time.process_time_ns() - start) / 1000 / COUNT


def total(taken: Counter[str]) -> float:
    """The sum of all statements, in microseconds per line."""
    return taken.total() / 1000 / COUNT


def show(name: str, microseconds: float) -> None:
    """Print one part."""
    print(f"  {microseconds:5.2f}  {name}")


if __name__ == "__main__":
    main()
