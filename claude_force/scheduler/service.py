"""The scheduler: the jobs at their times, one scheduler a database. The only importer of APScheduler.

APScheduler keeps the times in memory; what has to survive is in our tables. A job that was due while nothing ran (a
machine asleep or off) runs once when the scheduler is there again. A job that raises or hangs does not stop the others.
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
from claude_force.scheduler.http_endpoint import metrics_page
from claude_force.scheduler.jobs import JOBS, load
from claude_force.scheduler.process import running_instance
from claude_force.scheduler.runs import SCHEDULER, FindPlace, begun, intervals, run_job

logger = logging.getLogger("claude_force.scheduler")

TICK_S = 5.0
"""So often the clock is looked at."""

PATIENCE_S = 8.0
"""For so long a stop waits for the jobs in hand."""

_LOCK_LOOK_S = 60.0
"""So often it is made sure that the lock is still held."""

_JUMP_S = 60.0
"""A clock that moved so much against the steady one was set, or slept."""


def serve(workspace: Workspace, find_workspace: FindPlace) -> None:
    """Run the jobs until SIGTERM or an interrupt, then finish those in hand. Raises SchedulerError where the database
    has a scheduler already, SettingsError for a schedule that cannot be, DatabaseError."""
    stop = threading.Event()
    with _stopped_by_signals(stop):
        # Again where the lock was lost with the connection to a server that was restarted.
        while not stop.is_set():
            with workspace.database.try_exclusive(SCHEDULER) as is_exclusive:
                if not is_exclusive:
                    raise SchedulerError(_taken_by(workspace.database))
                _serve_alone(workspace.database, find_workspace, intervals(find_workspace()), stop)


def _serve_alone(
    database: Database, find_workspace: FindPlace, every_us: dict[str, int | None], stop: threading.Event
) -> None:
    service = _Service(database, find_workspace, every_us)
    with metrics_page(find_workspace) as served:
        me = begun(SCHEDULER, now_us())._replace(counts=json.dumps(served.counts), problem=served.problem)
        with database.write() as connection:
            job_writes.interrupt(connection, me.host, me.started_us)
            job_writes.begin(connection, me)
        logger.info("running, pid %d, database %s", me.pid, database.name)
        service.run_until(stop)
    with database.write() as connection:
        job_writes.finish(connection, me._replace(finished_us=now_us(), outcome=job_writes.OK))
    logger.info("stopped" if stop.is_set() else "the lock on the database was lost; taking it again")
    if service.in_hand and stop.is_set():
        # Threads that hang would keep the process; what they were doing is undone or done again.
        logging.shutdown()
        os._exit(0)


def _taken_by(database: Database) -> str:
    found = running_instance(database)
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
    """The jobs of one database at their times. `in_hand` are the names of those that run now."""

    def __init__(self, database: Database, find_workspace: FindPlace, every_us: dict[str, int | None]) -> None:
        self._database = database
        self._find_place = find_workspace
        self._every_us = {name: every for name, every in every_us.items() if every is not None}
        self._changed = threading.Condition()
        self.in_hand: set[str] = set()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max(len(self._every_us), 1))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_say_skipped, EVENT_JOB_MAX_INSTANCES)

    def run_until(self, stop: threading.Event) -> None:
        """Run the jobs until the event, or until the lock is lost, and finish those in hand."""
        for name in self._every_us:
            # Before there are threads: two that import a package and a module in it at once wait for each other, and
            # Python lets one of them fail.
            load(JOBS[name])
            self._scheduler.add_job(
                self._run,
                IntervalTrigger(seconds=self._every_us[name] / SECOND_US, timezone=UTC),
                args=(name,),
                id=name,
                next_run_time=self._due(name),
            )
        self._scheduler.start()
        ahead = _clock_ahead()
        looked = time.monotonic()
        while not stop.wait(TICK_S):
            if abs(_clock_ahead() - ahead) > _JUMP_S:
                ahead = _clock_ahead()
                self._catch_up()
            if time.monotonic() - looked > _LOCK_LOOK_S:
                looked = time.monotonic()
                if self._has_lost_lock():
                    break
        self._scheduler.shutdown(wait=False)
        self._wait_for_jobs()

    def _has_lost_lock(self) -> bool:
        """Whether another one could take the lock, which this one believes to have."""
        try:
            with self._database.try_exclusive(SCHEDULER) as is_free:
                return is_free
        except DatabaseError:
            # A server that is away gives it to nobody.
            return False

    def _due(self, name: str) -> datetime:
        """When a job is due: an interval after it began last, and at once where that is over or lies ahead of a clock
        that was set back."""
        with self._database.read() as connection:
            last = job_queries.last_run(connection, name)
        at_us, every_us = now_us(), self._every_us[name]
        due_us = at_us if last is None else last.started_us + every_us
        return to_datetime(due_us if at_us <= due_us <= at_us + every_us else at_us, UTC)

    def _catch_up(self) -> None:
        logger.info("the clock was set, or the machine slept; due jobs run now")
        for name in self._every_us:
            self._scheduler.modify_job(name, next_run_time=self._due(name))

    def _run(self, name: str) -> None:
        with self._changed:
            self.in_hand.add(name)
        try:
            run_job(JOBS[name], self._database, self._find_place, now_us)
        except ClaudeForceError as error:
            logger.error("%s was not run: %s", name, error)  # noqa: TRY400
        finally:
            with self._changed:
                self.in_hand.discard(name)
                self._changed.notify_all()

    def _wait_for_jobs(self) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: not self.in_hand, PATIENCE_S):
                return
            logger.warning("not waiting for %s any longer; the next round does the rest", ", ".join(self.in_hand))


def _clock_ahead() -> float:
    """How far the clock on the wall is ahead of the steady one, which stands still while the machine sleeps."""
    return time.time() - time.monotonic()


def _say_skipped(event: JobSubmissionEvent | Any) -> None:
    logger.warning("%s still runs; this round of it is left out", event.job_id)
