"""The machine that watches: rules and channels, what nobody heard of, jobs, and what is pushed elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from claude_force.alerts.check import AlertSetup, load_alert_setup
from claude_force.alerts.notification import rule_in
from claude_force.clock import DAY_US, HOUR_US, local_zone, to_datetime
from claude_force.database.queries import alerts
from claude_force.database.queries import export_queue as export_queries
from claude_force.database.rows.alerts import FAILED as UNDELIVERED
from claude_force.database.rows.alerts import WAITING, Delivery
from claude_force.database.workspace import Workspace
from claude_force.database.writes.jobs import FAILED
from claude_force.doctor.findings import Finding, attempt, note, ok, problem
from claude_force.doctor.sources import executions_wait
from claude_force.executions.record import UNKNOWN
from claude_force.exporters.settings import KINDS, load_exporter, unknown_kinds
from claude_force.formatting import duration, quantity
from claude_force.scheduler.process import is_running
from claude_force.scheduler.status import scheduler_report

LOOKED_BACK_US = 7 * DAY_US
"""What could not be delivered is named for so long."""

LATE_US = HOUR_US
"""A job that should have begun so long ago hangs, or waits for one that does."""

_START = "claude-force scheduler start --detach"
_FREE_PORT = "claude-force config set performance.metrics_port PORT"
_RESTART = f"claude-force scheduler stop; {_START}"


def rules(workspace: Workspace) -> Iterator[Finding]:
    """Rules and channels that cannot be used, and rules that nobody evaluates or hears of."""
    setup = load_alert_setup(workspace)
    for line in setup.problems:
        yield problem("alerts", line)
    yield from _unwatched(workspace, setup)
    if not setup.problems:
        yield ok("alerts", f"{quantity(len(setup.rules), 'rule')}, {quantity(len(setup.channels), 'channel')}")


def _unwatched(workspace: Workspace, setup: AlertSetup) -> Iterator[Finding]:
    if setup.rules and not is_running(workspace.database):
        yield note("scheduler", "alert rules are on, and no scheduler runs", _START)
    if setup.rules and not setup.channels:
        yield note(
            "alerts",
            "alert rules are on, and nobody is told",
            "performance.channels in claude.json: docs/how-to/alert-channels.md",
        )


def outbox(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Messages that were not delivered."""
    with workspace.database.read() as connection:
        undelivered = alerts.by_status(connection, UNDELIVERED, now_us - LOOKED_BACK_US)
        waiting = [found for found in alerts.by_status(connection, WAITING) if found.problem]
    for found in undelivered:
        yield problem("outbox", f"could not be delivered: {_told(found)}")
    for found in waiting:
        yield note("outbox", f"waits to be delivered: {_told(found)}")
    if not undelivered and not waiting:
        yield ok("outbox", "every message was delivered")


def _told(delivery: Delivery) -> str:
    at = _minute(delivery.finished_us or delivery.created_us)
    rule = rule_in(delivery.notice)
    tried = quantity(delivery.attempts, "attempt")
    return f"{rule} on {delivery.channel}, {at}, after {tried}: {delivery.problem or UNKNOWN}"


def jobs(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Jobs that are on and whose last run failed, those that should have run, and what the scheduler cannot do."""
    found = scheduler_report(workspace, now_us)
    failed = [job for job in found.jobs if job.every_us is not None and job.last and job.last.outcome == FAILED]
    late = [job for job in found.jobs if job.late_us > LATE_US]
    for job in failed:
        assert job.last
        yield problem(
            "jobs", f"the job {job.name} failed: {job.last.problem}", f"claude-force scheduler run {job.name}"
        )
    for job in late:
        yield problem("jobs", f"the job {job.name} is late by {duration(job.late_us / 1000)}", _RESTART)
    if found.run and found.run.problem:
        yield problem("metrics-page", found.run.problem, f"{_FREE_PORT}, then: {_RESTART}")
    if not failed and not late:
        runs = f"the scheduler runs, pid {found.run.pid}" if found.run else "no scheduler runs"
        yield ok("jobs", f"no job failed; {runs}")


def targets(workspace: Workspace) -> Iterator[Finding]:
    """Targets that do not exist, or cannot be used."""
    configured = workspace.settings.exporters
    for line in unknown_kinds(configured):
        yield problem("exporters", line)
    for kind in KINDS:
        if kind in configured:
            yield from attempt("exporters", partial(_usable, kind, workspace))


def _usable(kind: str, workspace: Workspace) -> list[Finding]:
    load_exporter(kind, workspace.settings.exporters, {}, os.environ, workspace.home.folder)
    return [ok("exporters", f"{kind} can be pushed to")]


def unpushed(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Targets that have not had all that was due for a day; what is due is kept for them, however long."""
    with workspace.database.read() as connection:
        for state in export_queries.exporters(connection, workspace.database):
            at_us = state.pushed_us or state.began_us
            number = export_queries.count_queued(connection, state.kind)
            if (number or state.is_backfilling) and now_us - at_us > DAY_US:
                waits = executions_wait(number) if number else "what was there before it waits"
                yield note(
                    "exporters",
                    f"{waits} for {state.kind} since {_minute(at_us)}",
                    f"claude-force push {state.kind}, or with --forget if it is not to get them",
                )


def _minute(instant_us: int) -> str:
    return f"{to_datetime(instant_us, local_zone()):%Y-%m-%d %H:%M}"
