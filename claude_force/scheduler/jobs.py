"""The jobs: plain functions that do one round of something at a place, and say in counts what was done.

Each can be called at any time, from any process, and killed at any moment: what it did stands, and the next round does
the rest. Settings are read anew at each round, so that a change of claude.json needs no restart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import NamedTuple

from claude_force.clock import DAY_US, MINUTE_US, SECOND_US, Now, local_zone
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.exporters.settings import KINDS, load_exporter

HISTORY_KEPT_US = 90 * DAY_US
"""For so long transitions of alerts, and what was said of them, are kept."""

RUNS_KEPT_US = 14 * DAY_US
"""For so long runs of jobs are kept."""


class JobResult(NamedTuple):
    """What a round did: counts by name, and what a person should hear about, in one line each."""

    counts: Mapping[str, int]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job: how often it runs unless the settings say otherwise, what it does, and the function that does it."""

    name: str
    every_us: int
    purpose: str
    run: Callable[[Workspace, Now], JobResult]
    modules: tuple[str, ...]
    """The modules that its rounds import."""
    exporter: str | None = None
    """The exporter of claude.json that it is for: without that the job is off."""


def ingest_once(workspace: Workspace, now: Now) -> JobResult:
    """Read what is new in every source, and take in what waits in the spool."""
    from claude_force.ingest.plan import ingest_inputs, ingest_options
    from claude_force.ingest.run import run_pass

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
    """Keep a snapshot of the last thirty days, of all executions and of each agent and model."""
    from claude_force.analytics.baselines import create_daily

    return JobResult(create_daily(workspace.database, now(), local_zone())._asdict())


def archive_once(workspace: Workspace, now: Now) -> JobResult:
    """Move executions that are older than the settings say to archives; nothing where they do not say."""
    from claude_force.database import archive

    days = workspace.settings.archive_after_days
    if not days:
        return JobResult({"archived": 0, "months": 0})
    folder = archive.archive_folder(workspace.location, workspace.home.metrics_folder)
    found = archive.archive_once(workspace.database, folder, now(), days * DAY_US)
    return JobResult({"archived": found.executions, "months": len(found.months)}, tuple(found.problems))


def maintenance_once(workspace: Workspace, now: Now) -> JobResult:
    """Tidy the database, forget old runs and transitions, and make the backup of the day."""
    from claude_force.database.writes import alerts, jobs
    from claude_force.scheduler import backups

    at_us = now()
    with workspace.database.write() as connection:
        forgotten = alerts.forget_old(connection, at_us - HISTORY_KEPT_US)
        forgotten["job_runs"] = jobs.forget_old(connection, at_us - RUNS_KEPT_US)
    workspace.database.optimize()
    made, removed = backups.rotate(workspace, at_us, local_zone())
    return JobResult({"forgotten": sum(forgotten.values()), "backups_made": made, "backups_removed": removed})


def push_once(kind: str, workspace: Workspace, now: Now) -> JobResult:
    """Push what is due to a target of claude.json."""
    exporters = workspace.settings.exporters
    if kind not in exporters:
        raise SettingsError(
            f"performance.exporters of claude.json has no {kind}; docs/how-to/exporters.md says what to write"
        )
    pushed = load_exporter(kind, exporters, {}, os.environ, workspace.home.folder).push(workspace.database, now)
    return JobResult(pushed.counts, pushed.remarks)


_EXPORTER_MODULES = {
    "prometheus": ("push", "text_format"),
    "datadog": ("push", "dogstatsd"),
    "elasticsearch": ("push", "client", "documents"),
    "otlp": ("push", "points", "transport"),
}
"""The modules of each kind of target, in its folder of `exporters`."""


def _push_job(kind: str) -> Job:
    modules = tuple(f"claude_force.exporters.{kind}.{name}" for name in _EXPORTER_MODULES[kind])
    return Job(f"push-{kind}", MINUTE_US, f"push to {kind}", partial(push_once, kind), modules, kind)


JOBS = {
    job.name: job
    for job in (
        Job(
            "ingest",
            30 * SECOND_US,
            "read what is new in every source",
            ingest_once,
            ("claude_force.ingest.run", "claude_force.ingest.plan"),
        ),
        Job(
            "alerts",
            MINUTE_US,
            "evaluate the alert rules, and tell what is due",
            alerts_once,
            ("claude_force.alerts.outbox", "claude_force.alerts.check"),
        ),
        Job(
            "baseline",
            DAY_US,
            "keep a snapshot to compare with",
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
            "tidy the database, and back it up",
            maintenance_once,
            (
                "claude_force.scheduler.backups",
                "claude_force.database.writes.alerts",
                "claude_force.database.writes.jobs",
            ),
        ),
        *map(_push_job, KINDS),
    )
}
"""Every job, by its name."""


def load(job: Job) -> None:
    """Import what the rounds of a job need. A library that is not installed is said by the round itself."""
    for name in job.modules:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            # A library of an extra. A module of our own that is missing is a defect, and is raised.
            if (error.name or "").startswith("claude_force"):
                raise


def jobs_at(workspace: Workspace) -> dict[str, Job]:
    """The jobs of a place, by name: those of exporters as far as they are configured."""
    exporters = workspace.settings.exporters
    return {name: job for name, job in JOBS.items() if job.exporter is None or job.exporter in exporters}
