"""The scheduler process of a database: is it running, start it detached, stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.queries import jobs as job_queries
from claude_force.database.rows.jobs import JobRun
from claude_force.errors import SchedulerError
from claude_force.executions.origin import host_name
from claude_force.files import open_append
from claude_force.scheduler.runs import SCHEDULER

LOG_NAME = "scheduler.log"
"""The default log file of a detached scheduler, beside the database."""

STOP_PATIENCE_S = 15.0
START_PATIENCE_S = 30.0
_POLL_S = 0.1


def is_running(database: Database) -> bool:
    """Whether a scheduler runs for the database."""
    with database.try_exclusive(SCHEDULER) as is_free:
        return not is_free


def running_scheduler(database: Database) -> JobRun | None:
    """The run of the scheduler, if `is_running`; None if it has not recorded its start yet."""
    with database.read() as connection:
        found = job_queries.last_run(connection, SCHEDULER)
    return found if found is not None and found.finished_us is None else None


def stop(database: Database) -> JobRun | None:
    """Stop the scheduler of a database, and wait until it has ended. Returns its run; None if none was running. Raises
    SchedulerError if it runs on another machine, belongs to another user, or does not stop."""
    if not is_running(database):
        return None
    found = running_scheduler(database)
    if found is None:
        raise SchedulerError("the scheduler is just starting; try again")
    if found.host != (host_name() or ""):
        raise SchedulerError(f"the scheduler runs on {found.host}, pid {found.pid}; stop it there")
    try:
        os.kill(found.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise SchedulerError(f"the scheduler, pid {found.pid}, belongs to another user; stop it as that user") from None
    ends = time.monotonic() + STOP_PATIENCE_S
    while is_running(database):
        if time.monotonic() > ends:
            raise SchedulerError(f"the scheduler, pid {found.pid}, does not stop; kill -9 {found.pid} is safe")
        time.sleep(_POLL_S)
    return found


def start_detached(database: Database, arguments: Sequence[str], log_file: Path) -> JobRun:
    """Start a scheduler that outlives this process, wait until it runs, and return its run. Raises SchedulerError with
    the last line of its log if it ended."""
    try:
        log = open_append(log_file)
    except OSError as error:
        raise SchedulerError(f"{log_file}: {error.strerror}") from None
    try:
        log_start = os.fstat(log).st_size
        process = subprocess.Popen(  # noqa: S603  (this program itself)
            [sys.executable, "-m", "claude_force", "scheduler", "start", "--foreground", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    ends = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise SchedulerError(_last_line(log_file, log_start))
        found = running_scheduler(database)
        if found is not None and found.pid == process.pid:
            return found
        time.sleep(_POLL_S)
    raise SchedulerError(f"the scheduler, pid {process.pid}, did not start in time; see {log_file}")


def _last_line(log_file: Path, start: int) -> str:
    with log_file.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else f"the scheduler ended at once; see {log_file}"
