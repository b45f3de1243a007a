"""The duration of one Prometheus scrape, and its number of series: `python benchmarks/exposing.py [COUNT...]`.

Measured in one process with an open database, like the scheduler: the median of several scrapes of an hour in the
middle of the last working day. The history has 48 agents and is generated if it is missing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.workspace import Workspace
from claude_force.clock import HOUR_US
from claude_force.database.open import open_database
from claude_force.exporters.metrics import read_exposition
from claude_force.exporters.prometheus.text_format import encode

COUNTS = (10_000, 1_000_000)
SEED = 42
END = date(2025, 11, 14)
ROUNDS = 20


def main() -> None:
    """Measure for each count."""
    counts = [int(text) for text in sys.argv[1:]] or COUNTS
    with tempfile.TemporaryDirectory() as folder:
        space = Workspace(Path(folder), SEED, END)
        for count in counts:
            measure(space, count)


def measure(space: Workspace, count: int) -> None:
    """Read and encode the history repeatedly."""
    database = open_database(str(space.database(count)))
    noon_us = int(datetime(END.year, END.month, END.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
    reading_ms, encoding_ms = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = read_exposition(database, noon_us, HOUR_US)
        between = time.perf_counter()
        text = encode(found)
        reading_ms.append((between - start) * 1000)
        encoding_ms.append((time.perf_counter() - between) * 1000)
    database.close()
    print(
        f"{count:,} executions: read {statistics.median(reading_ms):.1f} ms, "
        f"encode {statistics.median(encoding_ms):.1f} ms, {found.series:,} series, {len(text):,} bytes"
    )


if __name__ == "__main__":
    main()
