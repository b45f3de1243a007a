"""Checks of alerts, the scheduler and exporters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from claude_force.alerts.check import AlertSetup, load_alert_setup
from claude_force.alerts.notification import rule_in
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.queries import alerts
from claude_force.database.queries import export_queue as export_queries
from claude_force.database.queries.plan_limits import latest
from claude_force.database.rows.alerts import FAILED as UNDELIVERED
from claude_force.database.rows.alerts import WAITING, Delivery
from claude_force.database.workspace import Workspace
from claude_force.database.writes.jobs import FAILED
from claude_force.doctor.findings import Finding, attempt, note, ok, problem
from claude_force.doctor.text import format_minute, format_waiting
from claude_force.executions.record import UNKNOWN
from claude_force.exporters.settings import KINDS, load_exporter, unknown_kinds
from claude_force.formatting import duration, quantity
from claude_force.scheduler.process import is_running
from claude_force.scheduler.status import NOT_RECEIVED, scheduler_report

UNDELIVERED_SHOWN_US = 7 * DAY_US
"""Messages that failed for good are reported for this long."""

LATE_US = HOUR_US
"""A job that is later than this hangs, or waits for one that does."""

_START = "claude-force scheduler start --detach"
_FREE_PORT = "claude-force config set performance.metrics_port PORT"
_FREE_OTLP_PORT = "claude-force config set performance.otlp_port PORT"
_RESTART = f"claude-force scheduler stop; {_START}"


def check_alerts(workspace: Workspace) -> Iterator[Finding]:
    """Invalid rules and channels, and rules without a scheduler or a channel."""
    setup = load_alert_setup(workspace)
    for line in setup.problems:
        yield problem("alerts", line)
    yield from _check_rules_are_used(workspace, setup)
    if not setup.problems:
        yield ok("alerts", f"{quantity(len(setup.rules), 'rule')}, {quantity(len(setup.channels), 'channel')}")


def _check_rules_are_used(workspace: Workspace, setup: AlertSetup) -> Iterator[Finding]:
    if setup.rules and not is_running(workspace.database):
        yield note("scheduler", "alert rules are on, but no scheduler runs", _START)
    if setup.rules and not setup.channels:
        remedy = """claude-force config set performance.channels.desk '{"type": "desktop"}'"""
        yield note("alerts", "alert rules are on, but there is no channel to notify", remedy)


def check_outbox(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Messages that were not delivered."""
    with workspace.database.read() as connection:
        failed = alerts.by_status(connection, UNDELIVERED, now_us - UNDELIVERED_SHOWN_US)
        waiting = [delivery for delivery in alerts.by_status(connection, WAITING) if delivery.problem]
    for delivery in failed:
        yield problem("outbox", f"could not be delivered: {_describe(delivery)}")
    for delivery in waiting:
        yield note("outbox", f"waits to be delivered: {_describe(delivery)}")
    if not failed and not waiting:
        yield ok("outbox", "every message was delivered")


def _describe(delivery: Delivery) -> str:
    at = format_minute(delivery.finished_us or delivery.created_us)
    attempts = quantity(delivery.attempts, "attempt")
    rule = rule_in(delivery.notice)
    return f"{rule} on {delivery.channel}, {at}, after {attempts}: {delivery.problem or UNKNOWN}"


def check_jobs(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Jobs whose last run failed, jobs that are late, and ports that the scheduler could not open."""
    report = scheduler_report(workspace, now_us)
    failed = [job for job in report.jobs if job.every_us is not None and job.last and job.last.outcome == FAILED]
    late = [job for job in report.jobs if job.late_us > LATE_US]
    for job in failed:
        assert job.last
        text = f"the job {job.name} failed: {job.last.problem}"
        yield problem("jobs", text, f"claude-force scheduler run {job.name}")
    for job in late:
        yield problem("jobs", f"the job {job.name} is late by {duration(job.late_us / 1000)}", _RESTART)
    for text in (report.run.problem or "").split("; ") if report.run else ():
        if text.startswith(NOT_RECEIVED):
            yield problem("receiver", text, f"{_FREE_OTLP_PORT}, then: {_RESTART}")
        elif text:
            yield problem("metrics-page", text, f"{_FREE_PORT}, then: {_RESTART}")
    if not failed and not late:
        state = f"the scheduler runs, pid {report.run.pid}" if report.run else "no scheduler runs"
        yield ok("jobs", f"no job failed; {state}")


def check_plan_limits(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Plan limits that the status line could not store when it last tried."""
    path = workspace.home.plan_limits_problem_file
    if path.exists():
        at, why = format_minute(path.stat().st_mtime_ns // 1000), path.read_text(errors="replace").strip()
        yield note("plan-limits", f"the status line could not store them at {at}, and tries again: {why}")
        return
    with workspace.database.read() as connection:
        number = sum(limit.is_current(now_us) for limit in latest(connection, now_us))
    yield ok("plan-limits", f"{quantity(number, 'limit')} known" if number else "none is known at present")


def check_exporters(workspace: Workspace) -> Iterator[Finding]:
    """Exporters that do not exist, or have an error in their settings."""
    configured = workspace.settings.exporters
    for line in unknown_kinds(configured):
        yield problem("exporters", line)
    for kind in KINDS:
        if kind in configured:
            yield from attempt("exporters", partial(_check_exporter, kind, workspace))


def _check_exporter(kind: str, workspace: Workspace) -> list[Finding]:
    load_exporter(kind, workspace.settings.exporters, {}, os.environ, workspace.home.folder)
    return [ok("exporters", f"the settings of {kind} are valid")]


def check_export_queue(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """Exporters that are more than a day behind. Their queue is kept until they catch up."""
    with workspace.database.read() as connection:
        for state in export_queries.exporters(connection):
            since_us = state.pushed_us or state.began_us
            number = 0 if state.is_backfilling else export_queries.count_due(connection, state)
            if (number or state.is_backfilling) and now_us - since_us > DAY_US:
                waits = format_waiting(number) if number else "the older history waits"
                remedy = f"claude-force push {state.kind}; add --forget to drop the queue instead"
                yield note("exporters", f"{waits} for {state.kind} since {format_minute(since_us)}", remedy)
