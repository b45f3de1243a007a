"""Runs of jobs, each recorded when it starts and when it ends, whatever happens in between."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable

from claude_force.clock import Now
from claude_force.database.contract import Database
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace
from claude_force.database.writes import jobs as job_writes
from claude_force.errors import ClaudeForceError, DatabaseError
from claude_force.executions.origin import host_name
from claude_force.executions.record import fresh_uid
from claude_force.scheduler.jobs import Job
from claude_force.text import for_terminal

logger = logging.getLogger("claude_force.scheduler")
# Without a log, as in `scheduler run`, the command prints the problem itself.
logger.addHandler(logging.NullHandler())

SCHEDULER = "scheduler"
"""The job name of the scheduler's own run: its process, and since when it runs."""

PROBLEM_LIMIT = 500

FindWorkspace = Callable[[], Workspace]
"""Returns the workspace with its current settings."""


def new_run(job: str, now_us: int) -> JobRun:
    """The run of a job that starts now, in this process."""
    return JobRun(fresh_uid(now_us), job, host_name() or "", os.getpid(), now_us, None, job_writes.RUNNING, "{}", None)


def run_job(job: Job, database: Database, find_workspace: FindWorkspace, now: Now) -> JobRun:
    """Run a job once, and record the run. Raises DatabaseError if its start cannot be recorded; then the job did not
    run."""
    run = new_run(job.name, now())
    with database.write() as connection:
        job_writes.begin(connection, run)
    done = _execute(job, find_workspace, now, run)
    try:
        with database.write() as connection:
            job_writes.finish(connection, done)
    except DatabaseError as error:
        logger.error("%s: the end of the run could not be recorded: %s", job.name, error)  # noqa: TRY400
    return done


def _execute(job: Job, find_workspace: FindWorkspace, now: Now, run: JobRun) -> JobRun:
    outcome, counts, problem = job_writes.OK, "{}", None
    try:
        found = job.run(find_workspace(), now)
        counts = json.dumps(dict(found.counts))
        problem = "; ".join(found.remarks)[:PROBLEM_LIMIT] or None
    except ClaudeForceError as error:
        outcome, problem = job_writes.FAILED, str(error)[:PROBLEM_LIMIT]
    except Exception as error:
        # A bug in one job must not stop the others.
        logger.exception("%s: unexpected", job.name)
        outcome, problem = job_writes.FAILED, f"unexpected: {type(error).__name__}: {error}"[:PROBLEM_LIMIT]
    _log(job.name, outcome, counts, problem)
    return run._replace(finished_us=now(), outcome=outcome, counts=counts, problem=problem)


_logged: dict[str, str | None] = {}
"""The last logged problem of each job: one that stays is logged once, not at every run."""


def _log(job: str, outcome: str, counts: str, problem: str | None) -> None:
    if problem and problem != _logged.get(job):
        level = logging.ERROR if outcome == job_writes.FAILED else logging.WARNING
        logger.log(level, "%s: %s", job, for_terminal(problem))
    elif not problem and _logged.get(job):
        logger.info("%s: ok again", job)
    logger.debug("%s: %s %s", job, outcome, counts)
    _logged[job] = problem
