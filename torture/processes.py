"""Processes that record, as forks of one that has imported everything: what is timed and killed is not the import."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

from claude_force.performance_tracker import PerformanceTracker
from torture.evidence import name_of, uid_of


def fork_context() -> ForkServerContext:
    """What starts them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["claude_force.performance_tracker", "claude_force.analytics", "claude_force.sqlite"]
    )
    return context


def record_one(tracker: PerformanceTracker, line: int, number: int) -> None:
    """Record the execution of that number of a line of them."""
    tracker.record_execution(
        f"line-{line}",
        "a task",
        number % 7 != 0,
        12.5,
        "claude-haiku-4-5",
        1000,
        100,
        run_id=name_of(line, number),
        uid=uid_of(line, number),
    )
