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
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from claude_force.clock import SECOND_US, now_us, to_datetime
from claude_force.database.contract import Database, Role
from claude_force.database.queries import jobs as job_queries
from claude_force.database.rows.jobs import JobRun
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
"""How often the clock and the role are looked at. Nothing is sent for it."""

PATIENCE_S = 8.0
"""How long a stop waits for running jobs."""

_JUMP_S = 60.0
"""If the clock moved this much against the monotonic one, it was set or the machine slept."""


def serve(workspace: Workspace, find_workspace: FindWorkspace) -> None:
    """Run the jobs until SIGTERM or SIGINT, then wait for running jobs. Raises SchedulerError if the database has a
    scheduler already, SettingsError if the schedule has an error, DatabaseError."""
    stop = threading.Event()
    with _stopped_by_signals(stop), closing(_Post(workspace.database)) as post:
        post.take()
        _serve_locked(post, find_workspace, intervals(find_workspace()), stop)


def _serve_locked(
    post: _Post, find_workspace: FindWorkspace, every_us: dict[str, int | None], stop: threading.Event
) -> None:
    database = post.database
    service = _Service(post, find_workspace, every_us)
    with serve_metrics(find_workspace) as metrics, receive_telemetry(find_workspace) as telemetry:
        counts = json.dumps({**metrics.counts, **telemetry.counts})
        problem = "; ".join(filter(None, (metrics.problem, telemetry.problem))) or None
        post.begin(new_run(SCHEDULER, now_us())._replace(counts=counts, problem=problem))
        logger.info("running, pid %d, database %s", os.getpid(), database.name)
        service.run_until(stop)
    post.finish()
    logger.info("stopped")
    if service.running:
        # Hanging threads would keep the process alive. Their work is rolled back, or done again by the next run.
        logging.shutdown()
        os._exit(0)


class _Post:
    """The role of the scheduler of a database. A server that is lost takes it away, and then it is free for any
    scheduler: this one asks for it again, and ends if another has it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._held = ExitStack()
        self._role: Role = False
        self._run: JobRun | None = None

    def take(self) -> None:
        """Take it. Raises SchedulerError if another scheduler has it, DatabaseError."""
        self._held.close()
        self._role = self._held.enter_context(self.database.try_exclusive(SCHEDULER))
        if not self._role:
            raise SchedulerError(_taken_by(self.database))

    def begin(self, run: JobRun) -> None:
        """Record that a run of the scheduler holds it. Raises DatabaseError."""
        self._run = run
        with self.database.write() as connection:
            job_writes.interrupt(connection, run.host, run.started_us)
            job_writes.begin(connection, run)

    def keep(self) -> None:
        """Take it again if it was lost. Raises SchedulerError if another scheduler has it."""
        if self._role:
            return
        try:
            self.take()
            logger.info("the connection that held the role was lost; taken again")
            if self._run is not None:
                # A standby that became the primary may not have it.
                self.begin(self._run)
        except DatabaseError as error:
            # A server that is down gives the role to nobody.
            self._role = False
            logger.debug("the role is not taken again: %s", error)

    def finish(self) -> None:
        """Record the end of the run. Raises DatabaseError."""
        if self._run is not None:
            with self.database.write() as connection:
                finished = self._run._replace(finished_us=now_us(), outcome=job_writes.OK)
                job_writes.finish(connection, finished)

    def close(self) -> None:
        """Give it back."""
        self._held.close()


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

    def __init__(self, post: _Post, find_workspace: FindWorkspace, every_us: dict[str, int | None]) -> None:
        self._post = post
        self._database = post.database
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
        """Run the jobs until the event, then wait for running jobs. Raises SchedulerError if the role was lost and
        another scheduler has it."""
        self._add_jobs()
        self._scheduler.start()
        try:
            offset_s = _clock_offset_s()
            while not stop.wait(TICK_S):
                if abs(_clock_offset_s() - offset_s) > _JUMP_S:
                    offset_s = _clock_offset_s()
                    self._reschedule()
                self._post.keep()
        finally:
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
