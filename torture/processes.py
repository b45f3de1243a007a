"""Processes to time or to kill. They are forks of one that has imported everything, so the import is not measured."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

from claude_force.performance_tracker.tracker import PerformanceTracker
from torture.evidence import name_of, uid_of

_IMPORTED = [
    *(f"claude_force.{name}" for name in (
        "alerts.channels.email", "alerts.check", "alerts.outbox", "analytics.reports", "database.archive",
        "database.postgres.database", "database.sqlite.database", "doctor.monitoring", "exporters.team.push",
        "ingest.plan", "ingest.run",
        "performance_tracker", "receiver.receiving", "receiver.storing", "scheduler.runs", "scheduler.service",
    )),
    "email.message", "genai_prices.data", "httpx2", "psycopg", "smtplib",
]  # fmt: skip
"""All modules that the processes need. The first start fixes the list."""


def fork_context() -> ForkServerContext:
    """The context that starts the processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def record_one(tracker: PerformanceTracker, line: int, number: int) -> None:
    """Record the execution with this number in this line."""
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
