"""Processes that are timed or killed, as forks of one that has imported everything: it is not the import that is."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

from claude_force.performance_tracker.tracker import PerformanceTracker
from torture.evidence import name_of, uid_of

_IMPORTED = [
    *(f"claude_force.{name}" for name in (
        "alerts.channels.email", "alerts.check", "alerts.outbox", "analytics.reports", "database.archive",
        "database.postgres", "database.sqlite.database", "doctor.monitoring", "ingest.plan", "ingest.run",
        "performance_tracker", "scheduler.runs", "scheduler.service",
    )),
    "email.message", "genai_prices.data", "httpx2", "psycopg", "smtplib", "sqlalchemy.dialects.postgresql.psycopg",
]  # fmt: skip
"""What any of them needs: the first that is started decides for all of this process."""


def fork_context() -> ForkServerContext:
    """What starts them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
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
