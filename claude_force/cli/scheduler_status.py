"""The page of `scheduler status`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from claude_force import clock
from claude_force.formatting import NONE, count, duration
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table
from claude_force.scheduler.status import JobReport, SchedulerReport

_LATE_US = 10 * clock.SECOND_US
"""A shorter delay is not shown."""


def status_page(found: SchedulerReport) -> Page:
    """The scheduler, its jobs, and the problems of their last runs."""
    columns = [
        Column("Job", "name"), Column("Every", "text"), Column("Last", "text"), Column("Took"),
        Column("Outcome", "text"), Column("Next", "text"), Column("Failures\nin a day"),
    ]  # fmt: skip
    page = Page(f"Scheduler of {found.database}", [Section(None, _state_lines(found))])
    page.parts.append(Table(columns, [_row(job, found.now_us) for job in found.jobs]))
    did = [f"{job.name}: {_counts(job)}" for job in found.jobs if _counts(job)]
    if did:
        page.parts.append(Section("Last runs", did))
    problems = list(_problems(found))
    if problems:
        page.parts.append(Section("Problems", problems))
    return page


def _problems(found: SchedulerReport) -> Iterator[str]:
    if found.run and found.run.problem:
        yield f"scheduler: {found.run.problem}"
    for job in found.jobs:
        if job.last and job.last.problem:
            yield f"{job.name}: {job.last.problem}"


def _state_lines(found: SchedulerReport) -> list[str]:
    lines = [_state(found)]
    if found.metrics_url:
        lines.append(f"Metrics on {found.metrics_url}")
    if found.telemetry_url:
        lines.append(f"Telemetry on {found.telemetry_url}")
    if found.other_otlp_port is not None:
        wanted = f"port {found.other_otlp_port}" if found.other_otlp_port else "no port"
        lines.append(f"The settings name {wanted} for telemetry. To apply that:")
        lines.append("  claude-force scheduler stop; claude-force scheduler start --detach")
    return lines


def _state(found: SchedulerReport) -> str:
    if not found.is_running:
        return "Not running: claude-force scheduler start --detach"
    if found.run is None:
        return "Starting"
    return f"Running, pid {found.run.pid} on {found.run.host}, since {_time(found.run.started_us)}"


def _time(instant_us: int) -> str:
    return f"{clock.to_datetime(instant_us, clock.local_zone()):%Y-%m-%d %H:%M}"


def _row(job: JobReport, now_us: int) -> list[str]:
    last = job.last
    took = last.finished_us - last.started_us if last and last.finished_us is not None else None
    every = "off" if job.every_us is None else clock.span_name(job.every_us)
    return [
        job.name,
        every,
        _clock_time(last.started_us, now_us) if last else "never",
        duration(None if took is None else took / 1000),
        last.outcome if last else NONE,
        _next(job, now_us),
        count(job.failures),
    ]


def _next(job: JobReport, now_us: int) -> str:
    if job.next_us is None:
        return NONE
    if job.late_us > _LATE_US:
        return f"late {duration(job.late_us / 1000)}"
    return "now" if job.next_us <= now_us else _clock_time(job.next_us, now_us)


def _clock_time(instant_us: int, now_us: int) -> str:
    """The time of day, or the date and time if it is not today."""
    zone = clock.local_zone()
    moment, today = clock.to_datetime(instant_us, zone), clock.to_datetime(now_us, zone).date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%m-%d %H:%M}"


def _counts(job: JobReport) -> str:
    """The counts of the last run that are not 0."""
    found = json.loads(job.last.counts) if job.last else {}
    return ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in found.items() if number)
