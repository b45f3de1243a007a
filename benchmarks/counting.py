"""The cost of rolling up each recorded execution at once instead of in batches: p50 of adding one, as a ratio."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from claude_force.database.open import open_database
from claude_force.database.writes import executions as rows
from claude_force.database.writes import store as writing
from claude_force.executions.record import ExecutionMetrics, fresh_uid

COUNT = 3000
STEP_US = 9_000_000


def main() -> None:
    """Time both ways, each in its own database."""
    together = p50_us(counted_at_once=rows.DIRECT_ROLLUP_ROWS)
    each = p50_us(counted_at_once=1)
    print(f"rolled up later: {together:.0f} µs")
    print(f"rolled up at once: {each:.0f} µs, {each / together:.1f} times")


def p50_us(counted_at_once: int) -> float:
    """Median microseconds of adding one execution, if up to `limit` new ones are rolled up in their own transaction."""
    usual = rows.DIRECT_ROLLUP_ROWS
    set_counted_at_once(counted_at_once)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(str(Path(folder) / "metrics.db"))
        target = writing.Store(database)
        for number in range(COUNT):
            execution = an_execution(number)
            start = time.perf_counter()
            target.add([execution])
            taken.append(time.perf_counter() - start)
        database.close()
    set_counted_at_once(usual)
    return statistics.median(taken) * 1e6


def set_counted_at_once(number: int) -> None:
    """Set how many new executions are rolled up in their own transaction."""
    for module in (rows, writing):
        vars(module)["DIRECT_ROLLUP_ROWS"] = number


def an_execution(number: int) -> ExecutionMetrics:
    """An execution of one of a hundred agents, a few seconds after the one before."""
    instant = 1_762_000_000_000_000 + number * STEP_US
    return ExecutionMetrics(
        uid=fresh_uid(instant),
        timestamp_us=instant,
        agent_name=f"agent-{number % 100}",
        success=True,
        model="claude-haiku-4-5",
        duration_us=1000 + number * 7919 % 5_000_000,
        input_tokens=1234,
        output_tokens=567,
        cost_nanousd=4_069_000,
        reference_cost_nanousd=12_207_000,
    )


if __name__ == "__main__":
    main()
