"""The cost of `record_execution` compared with a bare insert: `python benchmarks/recording.py FOLDER`.

One warm process records blocks of ours and of the bare insert of `floor.py` by turns, into two new databases in the
folder. Prints the median of each in microseconds, as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import floor
from benchmarks.counted_recording import record_usual
from claude_force.performance_tracker.tracker import PerformanceTracker

BLOCK = 500
RECORDS = 5_000

T = TypeVar("T")


def timed(record: Callable[[T], object], values: Iterable[T]) -> list[int]:
    """The nanoseconds of each record, without the time to make its values."""
    found = []
    for value in values:
        start = time.perf_counter_ns()
        record(value)
        found.append(time.perf_counter_ns() - start)
    return found


def medians(folder: Path, records: int) -> dict[str, float]:
    """Median microseconds of one record, ours and bare. The first block of each only warms up.

    Exits if a record was spooled, because that is not the measured path.
    """
    bare = floor.recording_database(folder / "bare.db")
    rows = floor.recordings(time.time_ns() // 1000)
    ours: list[int] = []
    theirs: list[int] = []
    with (
        warnings.catch_warnings(record=True, action="always") as warned,
        PerformanceTracker(database=str(folder / "ours.db")) as tracker,
    ):
        for turn in range(1 + -(-records // BLOCK)):
            found = timed(partial(record_usual, tracker), range(BLOCK))
            floors = timed(lambda row: floor.record(bare, row), itertools.islice(rows, BLOCK))
            if warned:
                sys.exit(str(warned[0].message))
            if turn > 0:
                ours += found
                theirs += floors
    bare.close()
    return {"ours_us": statistics.median(ours) / 1000, "bare_us": statistics.median(theirs) / 1000}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="An empty folder.")
    parser.add_argument("--records", type=int, default=RECORDS, metavar="N", help=f"Default: {RECORDS}.")
    options = parser.parse_args()
    print(json.dumps(medians(options.folder, options.records)))


if __name__ == "__main__":
    _main()
