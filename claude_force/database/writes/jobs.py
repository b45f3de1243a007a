"""Writes of job runs, in the caller's transaction."""

from __future__ import annotations

from claude_force.database.contract import Connection
from claude_force.database.rows.jobs import JobRun

RUNNING, OK, FAILED, INTERRUPTED = "running", "ok", "failed", "interrupted"
"""The outcomes of a run. Interrupted: its process was killed, or stopped waiting for it."""

_FIELDS = JobRun._fields


def begin(connection: Connection, run: JobRun) -> None:
    """Store the start of a run."""
    connection.insert_all(f"job_runs ({', '.join(_FIELDS)})", [tuple(run)], "ON CONFLICT DO NOTHING")


def finish(connection: Connection, run: JobRun) -> None:
    """Store the end of a run."""
    connection.execute(
        "UPDATE job_runs SET finished_us = :finished_us, outcome = :outcome, counts = :counts, problem = :problem "
        "WHERE run_id = :run_id",
        {name: getattr(run, name) for name in ("finished_us", "outcome", "counts", "problem", "run_id")},
    )


def interrupt(connection: Connection, host: str, now_us: int) -> int:
    """Mark the unfinished runs of a host as interrupted; returns how many. For the only scheduler of that host."""
    return connection.execute(
        f"UPDATE job_runs SET outcome = '{INTERRUPTED}', finished_us = :now_us "
        f"WHERE outcome = '{RUNNING}' AND host = :host AND started_us < :now_us",
        {"host": host, "now_us": now_us},
    )


def forget_old(connection: Connection, before_us: int) -> int:
    """Delete the runs that began before a time; returns how many."""
    return connection.execute("DELETE FROM job_runs WHERE started_us < :before_us", {"before_us": before_us})
