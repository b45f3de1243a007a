"""The scheduler: runs each job at its times, one scheduler for each database. The only importer of APScheduler.

APScheduler keeps times in memory; what must survive is in our tables. A job that was due while the machine was off or
asleep runs once when the scheduler runs again. A job that raises or hangs does not stop the others.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from claude_force.clock import SECOND_US, now_us, to_datetime
from claude_force.database.contract import Database
from claude_force.database.queries import jobs as job_queries
from claude_force.database.workspace import Workspace
from claude_force.database.writes import jobs as job_writes
from claude_force.errors import ClaudeForceError, DatabaseError, SchedulerError
from claude_force.scheduler.http_endpoint import serve_metrics
from claude_force.scheduler.jobs import JOBS, import_modules
from claude_force.scheduler.process import running_scheduler
from claude_force.scheduler.runs import SCHEDULER, FindWorkspace, new_run, run_job
from claude_force.scheduler.schedule import intervals
from claude_force.scheduler.telemetry import receive_telemetry

logger = logging.getLogger("claude_force.scheduler")

TICK_S = 5.0
"""How often the clock is checked."""

PATIENCE_S = 8.0
"""How long a stop waits for running jobs."""

_LOCK_CHECK_S = 60.0
"""How often the lock is checked."""

_JUMP_S = 60.0
"""If the clock moved this much against the monotonic one, it was set or the machine slept."""


def serve(workspace: Workspace, find_workspace: FindWorkspace) -> None:
    """Run the jobs until SIGTERM or SIGINT, then wait for running jobs. Raises SchedulerError if the database has a
    scheduler already, SettingsError if the schedule has an error, DatabaseError."""
    stop = threading.Event()
    with _stopped_by_signals(stop):
        # A restart of the PostgreSQL server ends the connection that holds the lock: take it again.
        while not stop.is_set():
            with workspace.database.try_exclusive(SCHEDULER) as is_exclusive:
                if not is_exclusive:
                    raise SchedulerError(_taken_by(workspace.database))
                _serve_locked(workspace.database, find_workspace, intervals(find_workspace()), stop)


def _serve_locked(
    database: Database, find_workspace: FindWorkspace, every_us: dict[str, int | None], stop: threading.Event
) -> None:
    service = _Service(database, find_workspace, every_us)
    with serve_metrics(find_workspace) as metrics, receive_telemetry(find_workspace) as telemetry:
        counts = json.dumps({**metrics.counts, **telemetry.counts})
        problem = "; ".join(filter(None, (metrics.problem, telemetry.problem))) or None
        me = new_run(SCHEDULER, now_us())._replace(counts=counts, problem=problem)
        with database.write() as connection:
            job_writes.interrupt(connection, me.host, me.started_us)
            job_writes.begin(connection, me)
        logger.info("running, pid %d, database %s", me.pid, database.name)
        service.run_until(stop)
    with database.write() as connection:
        job_writes.finish(connection, me._replace(finished_us=now_us(), outcome=job_writes.OK))
    logger.info("stopped" if stop.is_set() else "the lock on the database was lost; taking it again")
    if service.running and stop.is_set():
        # Hanging threads would keep the process alive. Their work is rolled back, or done again by the next run.
        logging.shutdown()
        os._exit(0)


def _taken_by(database: Database) -> str:
    found = running_scheduler(database)
    if found is None:
        return f"another scheduler is just starting for {database.name}"
    return f"{database.name} has a scheduler already: pid {found.pid} on {found.host}; claude-force scheduler stop"


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Service:
    """Runs the jobs of one database at their times. `running` are the names of those that run now."""

    def __init__(self, database: Database, find_workspace: FindWorkspace, every_us: dict[str, int | None]) -> None:
        self._database = database
        self._find_workspace = find_workspace
        self._every_us = {name: every for name, every in every_us.items() if every is not None}
        self._changed = threading.Condition()
        self.running: set[str] = set()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max(len(self._every_us), 1))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_log_skipped, EVENT_JOB_MAX_INSTANCES)

    def run_until(self, stop: threading.Event) -> None:
        """Run the jobs until the event, or until the lock is lost, then wait for running jobs."""
        self._add_jobs()
        self._scheduler.start()
        offset_s = _clock_offset_s()
        checked_s = time.monotonic()
        while not stop.wait(TICK_S):
            if abs(_clock_offset_s() - offset_s) > _JUMP_S:
                offset_s = _clock_offset_s()
                self._reschedule()
            if time.monotonic() - checked_s > _LOCK_CHECK_S:
                checked_s = time.monotonic()
                if self._has_lost_lock():
                    break
        self._scheduler.shutdown(wait=False)
        self._wait_for_jobs()

    def _add_jobs(self) -> None:
        for name in self._every_us:
            # Before there are threads: two threads that import a package and a module in it at the same time would
            # deadlock, and Python lets one of them fail.
            import_modules(JOBS[name])
            self._scheduler.add_job(
                self._run,
                IntervalTrigger(seconds=self._every_us[name] / SECOND_US, timezone=UTC),
                args=(name,),
                id=name,
                next_run_time=self._next_run(name),
            )

    def _has_lost_lock(self) -> bool:
        """Whether the lock is free for others, although this process should hold it."""
        try:
            with self._database.try_exclusive(SCHEDULER) as is_free:
                return is_free
        except DatabaseError:
            # A server that is down gives the lock to nobody.
            return False

    def _next_run(self, name: str) -> datetime:
        """One interval after the last start of a job; now if that has passed, or if the clock was set back."""
        with self._database.read() as connection:
            last = job_queries.last_run(connection, name)
        at_us, every_us = now_us(), self._every_us[name]
        due_us = at_us if last is None else last.started_us + every_us
        return to_datetime(due_us if at_us <= due_us <= at_us + every_us else at_us, UTC)

    def _reschedule(self) -> None:
        logger.info("the clock was set, or the machine slept; due jobs run now")
        for name in self._every_us:
            self._scheduler.modify_job(name, next_run_time=self._next_run(name))

    def _run(self, name: str) -> None:
        with self._changed:
            self.running.add(name)
        try:
            run_job(JOBS[name], self._database, self._find_workspace, now_us)
        except ClaudeForceError as error:
            logger.error("%s did not run: %s", name, error)  # noqa: TRY400
        finally:
            with self._changed:
                self.running.discard(name)
                self._changed.notify_all()

    def _wait_for_jobs(self) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: not self.running, PATIENCE_S):
                return
            logger.warning("not waiting for %s any longer; the next run does the rest", ", ".join(self.running))


def _clock_offset_s() -> float:
    """How far the wall clock is ahead of the monotonic one, which stops while the machine sleeps."""
    return time.time() - time.monotonic()


def _log_skipped(event: JobSubmissionEvent | Any) -> None:
    logger.warning("%s is still running; this run of it is skipped", event.job_id)
