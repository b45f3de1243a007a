"""The status of the scheduler: its process, and the last and next run of each job."""

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
from claude_force.scheduler.jobs import configured_jobs
from claude_force.scheduler.process import is_running, running_scheduler
from claude_force.scheduler.schedule import intervals

FAILURES_SINCE_US = DAY_US
"""How far back failures are counted."""

LOCAL_ADDRESS = "127.0.0.1"
"""The only address on which the scheduler serves /metrics and receives telemetry."""

METRICS_PORT = "metrics_port"
"""The name of the served port among the counts of the scheduler's own run."""

OTLP_PORT = "otlp_port"
"""The name of the port for telemetry among these counts."""

NOT_RECEIVED = "no telemetry"
"""How the problem of that run begins if the port for telemetry cannot be used."""

LATE_US = 2 * 60 * SECOND_US
"""How late a job may start before it counts as a problem."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """The status of a job. `every_us` is None if the job is off, `last` if it never ran, `last_finished` if no run has
    ended, `next_us` if it will not run by itself. `late_us` is how long ago it should have started. `failures` counts
    those of the last day."""

    name: str
    every_us: int | None
    last: JobRun | None
    last_finished: JobRun | None
    next_us: int | None
    late_us: int
    failures: int

    @property
    def problem(self) -> str | None:
        """Its problem in one line; None if it has none or is off."""
        if self.every_us is None:
            return None
        if self.last_finished is not None and self.last_finished.outcome == FAILED:
            return f"{self.name} failed: {self.last_finished.problem}"
        return f"{self.name} is late" if self.late_us > LATE_US else None


@dataclass(frozen=True, slots=True)
class SchedulerReport:
    """The status of the scheduler of a database. `run` is its own run; None if it does not run, or is just starting. A
    problem of that run does not keep it from running. `otlp_port` is that of the settings, 0 for none: a scheduler that
    began before they changed has another."""

    database: str
    is_running: bool
    run: JobRun | None
    jobs: list[JobReport]
    now_us: int
    otlp_port: int = 0

    @property
    def metrics_url(self) -> str | None:
        """The URL of /metrics; None if it is not served."""
        url = self._url_of(METRICS_PORT)
        return url and f"{url}/metrics"

    @property
    def telemetry_url(self) -> str | None:
        """The URL that receives telemetry; None if none is received."""
        return self._url_of(OTLP_PORT)

    @property
    def other_otlp_port(self) -> int | None:
        """The port for telemetry in the settings if the scheduler has another one; None if it has the same."""
        used = json.loads(self.run.counts).get(OTLP_PORT, 0) if self.run and self.run.problem is None else None
        return None if used is None or used == self.otlp_port else self.otlp_port

    def _url_of(self, name: str) -> str | None:
        port = json.loads(self.run.counts).get(name) if self.run else None
        return f"http://{LOCAL_ADDRESS}:{port}" if port else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: instants as text, durations in seconds."""
        return {
            "database": self.database,
            "running": self.is_running,
            "pid": self.run and self.run.pid,
            "host": self.run and self.run.host,
            "since": self.run and _text(self.run.started_us),
            "metrics": self.metrics_url,
            "telemetry": self.telemetry_url,
            "telemetry_port_set": self.otlp_port,
            "problem": self.run and self.run.problem,
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


def scheduler_report(workspace: Workspace, now_us: int) -> SchedulerReport:
    """The status of the scheduler of a workspace. Raises SettingsError if the schedule has an error."""
    runs_now = is_running(workspace.database)
    jobs = job_reports(workspace, now_us, runs_now=runs_now)
    run = running_scheduler(workspace.database) if runs_now else None
    return SchedulerReport(workspace.database.name, runs_now, run, jobs, now_us, workspace.settings.otlp_port)


def job_reports(workspace: Workspace, now_us: int, *, runs_now: bool) -> list[JobReport]:
    """The status of each configured job; `runs_now` says whether a scheduler runs. Raises SettingsError if the schedule
    has an error."""
    every = intervals(workspace)
    with workspace.database.read() as connection:
        return [
            _job_report(connection, name, every[name], now_us, runs_now=runs_now) for name in configured_jobs(workspace)
        ]


def _job_report(connection: Connection, name: str, every_us: int | None, now_us: int, *, runs_now: bool) -> JobReport:
    last = job_queries.last_run(connection, name)
    runs = job_queries.runs(connection, name, now_us - FAILURES_SINCE_US)
    failures = sum(run.outcome in (FAILED, INTERRUPTED) for run in runs)
    next_us = _next(every_us, last, now_us) if runs_now else None
    # A job that is running is not late.
    late_us = max(now_us - next_us, 0) if next_us and not (last and last.finished_us is None) else 0
    return JobReport(name, every_us, last, job_queries.last_over(connection, name), next_us, late_us, failures)


def _next(every_us: int | None, last: JobRun | None, now_us: int) -> int | None:
    if every_us is None:
        return None
    return now_us if last is None else last.started_us + every_us
