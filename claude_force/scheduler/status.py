"""What the scheduler is doing: itself, and of each job the last run and the next."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from claude_force.clock import DAY_US, SECOND_US, format_instant, local_zone
from claude_force.database.contract import Connection
from claude_force.database.queries import jobs as job_queries
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace
from claude_force.database.writes.jobs import FAILED, INTERRUPTED
from claude_force.scheduler.jobs import jobs_at
from claude_force.scheduler.process import is_running, running_instance
from claude_force.scheduler.runs import intervals

FAILURES_SINCE_US = DAY_US
"""Failures of so long are counted."""

METRICS_ADDRESS = "127.0.0.1"
"""Where the scheduler serves /metrics, and nowhere else."""

METRICS_PORT = "metrics_port"
"""The port that it is served on, among the counts of the scheduler's own run."""

LATE_US = 2 * 60 * SECOND_US
"""A job that should have begun longer ago than this is not well: jobs are looked for every few seconds."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job. `every_us` is None where it is off, `last` where it never ran, `next_us` where it will not run by itself.
    `late_us` is how long ago it should have begun. `failures` are those of a day. `over` is the last run that is over;
    None where there is none."""

    name: str
    every_us: int | None
    last: JobRun | None
    over: JobRun | None
    next_us: int | None
    late_us: int
    failures: int

    @property
    def problem(self) -> str | None:
        """What is wrong with it, in one line; None where it is well or off."""
        if self.every_us is None:
            return None
        if self.over is not None and self.over.outcome == FAILED:
            return f"{self.name} failed: {self.over.problem}"
        return f"{self.name} is late" if self.late_us > LATE_US else None


@dataclass(frozen=True, slots=True)
class SchedulerReport:
    """The scheduler of a database. `instance` is None where none runs, or one is just starting; its problem is one that
    does not keep it from running."""

    database: str
    is_running: bool
    instance: JobRun | None
    jobs: list[JobReport]
    now_us: int

    @property
    def metrics_url(self) -> str | None:
        """Where /metrics is served; None where it is not."""
        port = json.loads(self.instance.counts).get(METRICS_PORT) if self.instance else None
        return f"http://{METRICS_ADDRESS}:{port}/metrics" if port else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: instants as text, lengths in seconds."""
        return {
            "database": self.database,
            "running": self.is_running,
            "pid": self.instance and self.instance.pid,
            "host": self.instance and self.instance.host,
            "since": self.instance and _text(self.instance.started_us),
            "metrics": self.metrics_url,
            "problem": self.instance and self.instance.problem,
            "jobs": [_job_dict(job) for job in self.jobs],
        }


def _text(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_instant(instant_us, local_zone())


def _job_dict(job: JobReport) -> dict[str, Any]:
    last = job.last
    return {
        "job": job.name,
        "every_s": None if job.every_us is None else job.every_us / 1e6,
        "last_started": last and _text(last.started_us),
        "last_finished": last and _text(last.finished_us),
        "last_outcome": last and last.outcome,
        "last_counts": last and json.loads(last.counts),
        "last_problem": last and last.problem,
        "next": _text(job.next_us),
        "late_s": job.late_us / 1e6,
        "failures_last_day": job.failures,
    }


def report_of(workspace: Workspace, now_us: int) -> SchedulerReport:
    """What the scheduler of a place is doing now. Raises SettingsError for a schedule that cannot be."""
    runs_now = is_running(workspace.database)
    jobs = jobs_of(workspace, now_us, runs_now=runs_now)
    instance = running_instance(workspace.database) if runs_now else None
    return SchedulerReport(workspace.database.name, runs_now, instance, jobs, now_us)


def jobs_of(workspace: Workspace, now_us: int, *, runs_now: bool) -> list[JobReport]:
    """The jobs of a place, which may or may not have a scheduler now; those of exporters as far as they are configured.
    Raises SettingsError for a schedule that cannot be."""
    every = intervals(workspace)
    with workspace.database.read() as connection:
        return [_report(connection, name, every[name], now_us, runs_now=runs_now) for name in jobs_at(workspace)]


def _report(connection: Connection, name: str, every_us: int | None, now_us: int, *, runs_now: bool) -> JobReport:
    last = job_queries.last_run(connection, name)
    runs = job_queries.runs(connection, name, now_us - FAILURES_SINCE_US)
    failures = sum(run.outcome in (FAILED, INTERRUPTED) for run in runs)
    next_us = _next(every_us, last, now_us) if runs_now else None
    # A round that is in hand is not late.
    late_us = max(now_us - next_us, 0) if next_us and not (last and last.finished_us is None) else 0
    return JobReport(name, every_us, last, job_queries.last_over(connection, name), next_us, late_us, failures)


def _next(every_us: int | None, last: JobRun | None, now_us: int) -> int | None:
    if every_us is None:
        return None
    return now_us if last is None else last.started_us + every_us
