"""Runs of the scheduler's jobs."""

from __future__ import annotations

from claude_force.database.contract import Connection
from claude_force.database.rows.jobs import JobRun

_RUNS = f"SELECT {', '.join(JobRun._fields)} FROM job_runs"


def last_run(connection: Connection, job: str) -> JobRun | None:
    """The run of a job that began last; None if it never ran."""
    rows = connection.fetch(f"{_RUNS} WHERE job = :job ORDER BY started_us DESC LIMIT 1", {"job": job})
    return JobRun(*rows[0]) if rows else None


def last_over(connection: Connection, job: str) -> JobRun | None:
    """The finished run of a job that began last; None if there is none."""
    rows = connection.fetch(
        f"{_RUNS} WHERE job = :job AND finished_us IS NOT NULL ORDER BY started_us DESC LIMIT 1", {"job": job}
    )
    return JobRun(*rows[0]) if rows else None


def runs(connection: Connection, job: str, since_us: int) -> list[JobRun]:
    """The runs of a job that began since a time, newest first."""
    rows = connection.fetch(
        f"{_RUNS} WHERE job = :job AND started_us >= :since_us ORDER BY started_us DESC",
        {"job": job, "since_us": since_us},
    )
    return [JobRun(*row) for row in rows]


def last_finish(connection: Connection, job: str, outcome: str) -> int | None:
    """When a run of a job with this outcome last ended; None if there was none."""
    rows = connection.fetch(
        "SELECT MAX(finished_us) FROM job_runs WHERE job = :job AND outcome = :outcome",
        {"job": job, "outcome": outcome},
    )
    last_us = rows[0][0]
    return None if last_us is None else int(last_us)
