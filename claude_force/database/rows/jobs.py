"""Rows of `job_runs`."""

from __future__ import annotations

from typing import NamedTuple


class JobRun(NamedTuple):
    """One run of a job of the scheduler. `finished_us` is None while it runs, or if its process was killed; `counts` is
    a JSON object of what was done; `problem` is the error."""

    run_id: str
    job: str
    host: str
    pid: int
    started_us: int
    finished_us: int | None
    outcome: str
    counts: str
    problem: str | None
