"""The duration of a dashboard refresh: `python benchmarks/dashboard.py DATABASE`.

Prints JSON: the number of executions in the store and in the week before the last execution and, for each window, the
median and the longest time to read a snapshot and the median time to draw it at 80 x 24 (milliseconds).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.reports.dashboard.frame import View, draw
from claude_force.reports.dashboard.snapshot import SPANS, Span, read_snapshot

_TIMES = 25


def measure(database: Database) -> dict[str, object]:
    """The times of one database."""
    with database.read() as connection:
        stored_range, stored = queries.time_range(connection), queries.stored(connection)
    if stored_range is None:
        raise SystemExit(f"{database.name} holds no executions")
    now_us = stored_range.last_us + SECOND_US
    last_week = read_snapshot(database, "7d", now_us).periods["7d"].totals.executions
    windows = {span: _window(database, span, now_us) for span in SPANS}
    return {"executions": stored, "last_week": last_week, "windows": windows}


def _window(database: Database, span: Span, now_us: int) -> dict[str, float]:
    snapshot = read_snapshot(database, span, now_us)
    read_ms = _timed(lambda: read_snapshot(database, span, now_us))
    draw_ms = _timed(lambda: draw(snapshot, View(UTC, span), 80, 24))
    return {
        "read_median_ms": round(statistics.median(read_ms), 1),
        "read_longest_ms": round(max(read_ms), 1),
        "draw_median_ms": round(statistics.median(draw_ms), 1),
    }


def _timed(work: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def main() -> None:
    """Measure the given database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", metavar="DATABASE")
    with closing(open_database(parser.parse_args().database)) as database:
        print(json.dumps(measure(database), indent=2))


if __name__ == "__main__":
    main()
