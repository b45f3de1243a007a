"""The cost of an export queue: `python benchmarks/export_queue.py`.

Adds executions to SQLite without and with an exporter by turns, and empties the queue. Prints JSON with medians in
microseconds per execution: added in batches as by an import, added one by one as by a tracker, and removed from the
queue; and the ratio of adding with an exporter to adding without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, fresh_uid, to_row
from claude_force.exporters.queue import open_queue
from claude_force.ingest.jsonl_source import BATCH

START_US = 1_762_000_000_000_000
ONE_BY_ONE = 3000
PUSHED_AT_ONCE = 500


class Taken(NamedTuple):
    """Microseconds per execution. `pushing_us` is None without an exporter."""

    batches_us: float
    single_us: float
    pushing_us: float | None


def rows(count: int) -> list[ExecutionRow]:
    """Executions of twenty agents, a second apart."""
    found = []
    for number in range(count):
        at_us = START_US + number * 1_000_000
        found.append(
            to_row(
                ExecutionMetrics(
                    uid=fresh_uid(at_us), timestamp_us=at_us, agent_name=f"agent-{number % 20}", success=True,
                    model="claude-haiku-4-5", duration_us=3_000_000, input_tokens=900, output_tokens=300,
                    cost_nanousd=2_400_000,
                )
            )
        )  # fmt: skip
    return found


def take(many: Sequence[ExecutionRow], few: Sequence[ExecutionRow], *, has_exporter: bool) -> Taken:
    """Run once on an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(str(Path(folder) / "metrics.db"))
        store = Store(database)
        if has_exporter:
            _push(database)
        start = time.perf_counter()
        for first in range(0, len(many), BATCH):
            store.add_rows(many[first : first + BATCH])
        batches_s = time.perf_counter() - start
        start = time.perf_counter()
        for row in few:
            store.add_rows([row])
        single_s = time.perf_counter() - start
        start = time.perf_counter()
        pushed = _push(database) if has_exporter else 0
        pushing_us = (time.perf_counter() - start) / pushed * 1e6 if pushed else None
        database.close()
    return Taken(batches_s / len(many) * 1e6, single_s / len(few) * 1e6, pushing_us)


def _push(database: Database) -> int:
    pushed = 0
    with open_queue(database, "none", "nowhere", lambda: START_US * 2, None) as queue:
        for batch in queue.batches(PUSHED_AT_ONCE):
            pushed += len(batch.items)
            queue.ack(batch)
    return pushed


def measure(count: int, repeat: int) -> dict[str, float]:
    """The medians with and without an exporter, measured by turns."""
    found = rows(count + ONE_BY_ONE)
    many, few = found[:count], found[count:]
    runs = [(take(many, few, has_exporter=False), take(many, few, has_exporter=True)) for _ in range(repeat)]
    without, with_exporter = zip(*runs, strict=True)
    plain, queued = (statistics.median(run.batches_us for run in side) for side in (without, with_exporter))
    one, one_queued = (statistics.median(run.single_us for run in side) for side in (without, with_exporter))
    return {
        "batches_us": round(plain, 2),
        "batches_with_exporter_us": round(queued, 2),
        "batches_ratio": round(queued / plain, 2),
        "single_us": round(one, 1),
        "single_with_exporter_us": round(one_queued, 1),
        "single_ratio": round(one_queued / one, 2),
        "pushing_us": round(statistics.median(run.pushing_us or 0 for run in with_exporter), 2),
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000, help="Executions in batches (200,000).")
    parser.add_argument("--repeat", type=int, default=5, help="Runs with and without an exporter (5).")
    options = parser.parse_args()
    print(json.dumps(measure(options.count, options.repeat), indent=2))


if __name__ == "__main__":
    _main()
