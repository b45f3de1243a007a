"""The jobs: plain functions that each do one run of a task in a workspace, and return counts.

A job can be called at any time, from any process, and killed at any moment: what it did is saved, and the next run does
the rest. Settings are read again at each run, so a change of claude.json needs no restart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import NamedTuple

from claude_force.clock import DAY_US, MINUTE_US, SECOND_US, Now, local_zone
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.executions.record import NANOUSD
from claude_force.exporters.settings import KINDS, load_exporter
from claude_force.time_windows import Window

HISTORY_KEPT_US = 90 * DAY_US
"""How long transitions of alerts and their deliveries are kept."""

RECONCILED_US = 7 * DAY_US
"""The sessions and days of this long before now are reconciled."""

RUNS_KEPT_US = 14 * DAY_US
"""How long runs of jobs are kept."""


class JobResult(NamedTuple):
    """The result of one run: counts by name, and remarks for a person, one line each."""

    counts: Mapping[str, int]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job: how often it runs by default, what it does, and the function that does it."""

    name: str
    every_us: int
    purpose: str
    run: Callable[[Workspace, Now], JobResult]
    modules: tuple[str, ...]
    """The modules that its runs import."""
    exporter: str | None = None
    """The exporter that it pushes to. The job is off if claude.json does not configure it."""


def ingest_once(workspace: Workspace, now: Now) -> JobResult:
    """Ingest new lines of every source, and the spool."""
    from claude_force.ingest.plan import ingest_inputs, ingest_options
    from claude_force.ingest.run import run_pass
    from claude_force.ingest.sources import INGESTING

    # Two passes at once count nothing twice: this tells reports that they need not read as well.
    with workspace.database.try_exclusive(INGESTING):
        reports = run_pass(workspace.database, ingest_inputs(workspace), ingest_options(workspace, now())).values()
    names = ("files", "added", "known", "changed", "rejected")
    remarks = [f"{path}: {problem}" for report in reports for path, problem in report.problems]
    return JobResult({name: sum(getattr(report, name) for report in reports) for name in names}, tuple(remarks))


def alerts_once(workspace: Workspace, now: Now) -> JobResult:
    """Check the alert rules, and send notifications."""
    from claude_force.alerts.check import load_alert_setup, run_check
    from claude_force.alerts.outbox import counts, deliver

    setup = load_alert_setup(workspace)
    found = run_check(workspace, setup, now())
    sent = deliver(workspace.database, setup.channels, now)
    problems = [f"{message.channel}: {message.outcome.problem}" for message in sent if message.outcome.problem]
    return JobResult(
        {"rules": len(setup.rules), "firing": len(found.firing), "moved": len(found.transitioned), **counts(sent)},
        (*setup.problems, *problems),
    )


def baseline_once(workspace: Workspace, now: Now) -> JobResult:
    """Save a snapshot of the last thirty days, of all executions and of each agent and model."""
    from claude_force.analytics.baselines import create_automatic

    return JobResult(create_automatic(workspace.database, now(), local_zone())._asdict())


def archive_once(workspace: Workspace, now: Now) -> JobResult:
    """Move executions older than `archive_after_days` to archives; none if it is not set."""
    from claude_force.database import archive

    days = workspace.settings.archive_after_days
    if not days:
        return JobResult({"archived": 0, "months": 0})
    folder = archive.archive_folder(workspace.location, workspace.home.metrics_folder)
    found = archive.archive_once(workspace.database, folder, now(), days * DAY_US)
    return JobResult({"archived": found.executions, "months": len(found.months)}, tuple(found.problems))


def reconcile_once(workspace: Workspace, now: Now) -> JobResult:
    """Compare what the sources say of the sessions of the last week, and with a key what Anthropic bills for its days.
    Costs are counted in cents."""
    from claude_force.analytics.anthropic_reports import admin_api
    from claude_force.analytics.reconciled_days import with_bills
    from claude_force.analytics.reconciliation import reconciliation

    chosen = Filter(Window(now() - RECONCILED_US, now(), "last 7 days"))
    found = reconciliation(workspace.database, chosen, local_zone())
    counts = {
        "sessions": found.compared,
        "not_compared": sum(found.unknown.values()),
        "unreconciled_cents": round(found.apart_nanousd / NANOUSD * 100),
    }
    settings, folder = workspace.settings, workspace.home.folder
    days = with_bills(workspace.database, chosen, now(), admin_api(settings, os.environ, folder))
    if days.problem or not days.has_bill:
        return JobResult(counts, (days.problem,) if days.problem else ())
    return JobResult(
        counts | {"days": days.compared, "days_unreconciled_cents": round(days.apart_nanousd / NANOUSD * 100)}
    )


def maintenance_once(workspace: Workspace, now: Now) -> JobResult:
    """Optimize the database, delete what is old (runs, transitions, which records of telemetry were counted), and make
    the backup of the day."""
    from claude_force.database.writes import alerts, jobs, telemetry
    from claude_force.scheduler import backups

    at_us = now()
    may_forget = not _has_signals(workspace)
    with workspace.database.write() as connection:
        forgotten = alerts.forget_old(connection, at_us - HISTORY_KEPT_US)
        forgotten["job_runs"] = jobs.forget_old(connection, at_us - RUNS_KEPT_US)
        if may_forget:
            forgotten["counted_outcomes"] = telemetry.forget_counted(connection, at_us)
    workspace.database.optimize()
    made, removed = backups.rotate(workspace, at_us, local_zone())
    return JobResult({"forgotten": sum(forgotten.values()), "backups_made": made, "backups_removed": removed})


def _has_signals(workspace: Workspace) -> bool:
    """Whether signals wait to be stored. Some may have been counted by a pass that was killed before it deleted them,
    so what was counted must not be forgotten yet."""
    from claude_force.ingest.spool_files import telemetry_folders
    from claude_force.ingest.telemetry.segments import sealed_segments

    folders = telemetry_folders(workspace.location, workspace.home.metrics_folder)
    return any(map(sealed_segments, folders))


def push_once(kind: str, workspace: Workspace, now: Now) -> JobResult:
    """Push what is due to an exporter of claude.json."""
    exporters = workspace.settings.exporters
    if kind not in exporters:
        raise SettingsError(f"performance.exporters of claude.json has no {kind}: claude-force push {kind} --help")
    pushed = load_exporter(kind, exporters, {}, os.environ, workspace.home.folder).push(workspace.database, now)
    return JobResult(pushed.counts, pushed.remarks)


_EXPORTER_MODULES = {
    "prometheus": ("push", "text_format"),
    "datadog": ("push", "dogstatsd"),
    "elasticsearch": ("push", "client", "documents"),
    "otlp": ("push", "points", "transport"),
    "team": ("push", "recipients", "disclosure"),
}
"""The modules of each exporter, in its folder."""


def _push_job(kind: str) -> Job:
    modules = tuple(f"claude_force.exporters.{kind}.{name}" for name in _EXPORTER_MODULES[kind])
    return Job(f"push-{kind}", MINUTE_US, f"push to {kind}", partial(push_once, kind), modules, kind)


JOBS = {
    job.name: job
    for job in (
        Job(
            "ingest",
            30 * SECOND_US,
            "ingest new lines of every source",
            ingest_once,
            ("claude_force.ingest.run", "claude_force.ingest.plan"),
        ),
        Job(
            "alerts",
            MINUTE_US,
            "check the alert rules, and send notifications",
            alerts_once,
            ("claude_force.alerts.outbox", "claude_force.alerts.check"),
        ),
        Job(
            "baseline",
            DAY_US,
            "save a snapshot to compare with",
            baseline_once,
            ("claude_force.analytics.baselines.automatic",),
        ),
        Job(
            "archive",
            DAY_US,
            "move executions older than archive_after_days",
            archive_once,
            ("claude_force.database.archive",),
        ),
        Job(
            "maintenance",
            DAY_US,
            "optimize the database, and back it up",
            maintenance_once,
            (
                "claude_force.scheduler.backups",
                "claude_force.database.writes.alerts",
                "claude_force.database.writes.jobs",
                "claude_force.database.writes.telemetry",
            ),
        ),
        Job(
            "reconcile",
            DAY_US,
            "compare what the sources of costs say",
            reconcile_once,
            ("claude_force.analytics.reconciliation", "claude_force.analytics.reconciled_days"),
        ),
        *map(_push_job, KINDS),
    )
}
"""Every job, by name."""


def import_modules(job: Job) -> None:
    """Import what the runs of a job need. A library that is not installed is reported by the run."""
    for name in job.modules:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            # The library of an extra may be missing; a module of this package may not.
            if (error.name or "").startswith("claude_force"):
                raise


def configured_jobs(workspace: Workspace) -> dict[str, Job]:
    """The jobs of a workspace, by name, without those of exporters that are not configured."""
    exporters = workspace.settings.exporters
    return {name: job for name, job in JOBS.items() if job.exporter is None or job.exporter in exporters}
