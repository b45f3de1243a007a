"""Runs of jobs: one round at a time, written down before and after, whatever happens in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from claude_force.clock import Now, parse_span
from claude_force.database.contract import Database
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace
from claude_force.database.writes import jobs as job_writes
from claude_force.errors import ClaudeForceError, DatabaseError, SettingsError
from claude_force.executions.origin import host_name
from claude_force.executions.record import fresh_uid
from claude_force.scheduler.jobs import JOBS, Job
from claude_force.text import for_terminal

logger = logging.getLogger("claude_force.scheduler")
# Where nobody keeps a log, as in `scheduler run`, the command says the problem itself.
logger.addHandler(logging.NullHandler())

SCHEDULER = "scheduler"
"""The scheduler itself, among the runs: who it is, and since when."""

PROBLEM_LIMIT = 500
OFF = "off"
_SECTION = "performance.schedule"

FindPlace = Callable[[], Workspace]
"""Gives the place with its settings as they are now."""


def begun(job: str, now_us: int) -> JobRun:
    """The run of a job that begins now, in this process."""
    return JobRun(fresh_uid(now_us), job, host_name() or "", os.getpid(), now_us, None, job_writes.RUNNING, "{}", None)


def run_job(job: Job, database: Database, find_workspace: FindPlace, now: Now) -> JobRun:
    """Run one round of a job, and write it down; what became of it. Raises DatabaseError where the beginning cannot be
    written, and then nothing was done."""
    run = begun(job.name, now())
    with database.write() as connection:
        job_writes.begin(connection, run)
    done = _round(job, find_workspace, now, run)
    try:
        with database.write() as connection:
            job_writes.finish(connection, done)
    except DatabaseError as error:
        logger.error("%s: the end of the run could not be written down: %s", job.name, error)  # noqa: TRY400
    return done


def _round(job: Job, find_workspace: FindPlace, now: Now, run: JobRun) -> JobRun:
    outcome, counts, problem = job_writes.OK, "{}", None
    try:
        found = job.run(find_workspace(), now)
        counts = json.dumps(dict(found.counts))
        problem = "; ".join(found.remarks)[:PROBLEM_LIMIT] or None
    except ClaudeForceError as error:
        outcome, problem = job_writes.FAILED, str(error)[:PROBLEM_LIMIT]
    except Exception as error:
        # One job that breaks must not stop the others.
        logger.exception("%s: unexpected", job.name)
        outcome, problem = job_writes.FAILED, f"unexpected: {type(error).__name__}: {error}"[:PROBLEM_LIMIT]
    _log(job.name, outcome, counts, problem)
    return run._replace(finished_us=now(), outcome=outcome, counts=counts, problem=problem)


_logged: dict[str, str | None] = {}
"""The problem of each job that was logged last: one that stays is said once, not at every round."""


def _log(job: str, outcome: str, counts: str, problem: str | None) -> None:
    if problem and problem != _logged.get(job):
        level = logging.ERROR if outcome == job_writes.FAILED else logging.WARNING
        logger.log(level, "%s: %s", job, for_terminal(problem))
    elif not problem and _logged.get(job):
        logger.info("%s: well again", job)
    logger.debug("%s: %s %s", job, outcome, counts)
    _logged[job] = problem


def intervals(workspace: Workspace) -> dict[str, int | None]:
    """How often each job runs, in microseconds; None where it is off. Raises SettingsError."""
    settings = workspace.settings
    problems = problems_of(settings.schedule)
    if problems:
        raise SettingsError("; ".join(problems))
    found: dict[str, int | None] = {name: job.every_us for name, job in JOBS.items()}
    found |= {name: _interval(value) for name, value in settings.schedule.items()}
    without_target = {name for name, job in JOBS.items() if job.exporter and job.exporter not in settings.exporters}
    return found | dict.fromkeys(without_target)


def problems_of(schedule: Mapping[str, Any]) -> list[str]:
    """What is wrong with `performance.schedule` of claude.json, a line each."""
    found = []
    for name, value in schedule.items():
        if name not in JOBS:
            found.append(f"{_SECTION}: there is no job {name}; there are: {', '.join(JOBS)}")
        elif value != OFF and not _interval(value):
            found.append(f'{_SECTION}: {name} must be a length of time such as "30s" or "24h", or "off"')
    return found


def _interval(value: object) -> int | None:
    """Microseconds; None for what is off, and what is no length of time."""
    try:
        return parse_span(value) if isinstance(value, str) and value != OFF else None
    except ValueError:
        return None
