"""What the scheduler ran."""

from __future__ import annotations

from claude_force.database import Connection
from claude_force.result import JobRun

_RUNS = f"SELECT {', '.join(JobRun._fields)} FROM job_runs"


def last_run(connection: Connection, job: str) -> JobRun | None:
    """The run of a job that began last; None where there was none."""
    rows = connection.fetch(f"{_RUNS} WHERE job = :job ORDER BY started_us DESC LIMIT 1", {"job": job})
    return JobRun(*rows[0]) if rows else None


def runs(connection: Connection, job: str, since_us: int) -> list[JobRun]:
    """The runs of a job that began since a time, the newest first."""
    rows = connection.fetch(
        f"{_RUNS} WHERE job = :job AND started_us >= :since_us ORDER BY started_us DESC",
        {"job": job, "since_us": since_us},
    )
    return [JobRun(*row) for row in rows]
