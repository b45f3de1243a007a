"""Records executions and counts what they ask of SQLite: `python benchmarks/counted_recording.py DATABASE RECORDS`.

Prints the statements and the pages of all records but the first, as JSON.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from claude_force.performance_tracker.tracker import PerformanceTracker

_PAGE_BYTES = 4096
_OPENED = "sqlite3.connect/handle"
"""The event of a new connection, before it can be used."""


def _written_bytes() -> int:
    """What this process has handed to the kernel for writing. 0 where the kernel does not say it."""
    counts = Path("/proc/self/io")
    lines = counts.read_text(encoding="ascii").splitlines() if counts.exists() else []
    return sum(int(line.partition(": ")[2]) for line in lines if line.startswith("wchar"))


def main(database: str, records: int) -> None:
    """Record, and print what was counted. A record that had to wait in the spool is an error."""
    warnings.simplefilter("error")
    connections: list[sqlite3.Connection] = []
    statements: list[str] = []
    sys.addaudithook(lambda event, found: connections.append(found[0]) if event == _OPENED else None)
    with PerformanceTracker(database=database) as tracker:
        record_usual(tracker, 0)
        # A collection of garbage takes as much as several records, and falls among them or after them by chance.
        gc.disable()
        written = _written_bytes()
        for connection in connections if records > 1 else ():
            with suppress(sqlite3.ProgrammingError):  # it is closed
                connection.set_trace_callback(statements.append)
        for number in range(1, records):
            record_usual(tracker, number)
        print(json.dumps({"statements": len(statements), "pages": (_written_bytes() - written) // _PAGE_BYTES}))


def record_usual(tracker: PerformanceTracker, number: int) -> None:
    """Record an execution like most; `number` makes it different from others."""
    tracker.record_execution(
        agent_name="python-expert",
        task="Fix the flaky test",
        success=True,
        duration_ms=3456,
        model="claude-haiku-4-5",
        input_tokens=1234 + number,
        output_tokens=567,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
