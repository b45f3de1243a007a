"""Everything that is looked at, in one go. It never raises: what cannot be looked at is a finding."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.database.open import open_database
from claude_force.database.workspace import Workspace
from claude_force.doctor import backups as copies
from claude_force.doctor import integrity as contents
from claude_force.doctor import monitoring, storage
from claude_force.doctor import settings as configuration
from claude_force.doctor import sources as intake
from claude_force.doctor.findings import Finding, attempt, note, problem
from claude_force.doctor.sources import Intake
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.ingest.plan import spool_files
from claude_force.ingest.spool import unsettled_file
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.home import Home
from claude_force.settings.location import DATABASE_VARIABLE, database_location

Check = tuple[str, Callable[[], Iterable[Finding]]]

WATCHING = ("alerts", "scheduler", "outbox", "jobs", "exporters")
"""The findings about the machine that watches."""


class Examination(NamedTuple):
    """What was found at a place (None where there cannot be one). `intake` is None where the database cannot be read;
    `waiting` are the files in which executions wait."""

    workspace: Workspace | None
    findings: list[Finding]
    intake: Intake | None
    waiting: list[Path]

    def of(self, level: str) -> list[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        watching = [finding for finding in self.findings if finding.id in WATCHING]
        return {
            "database": self.workspace and self.workspace.database.name,
            "findings": [finding.to_dict() for finding in self.findings],
            "sources": [state.to_dict() for state in self.intake.states] if self.intake else [],
            "folders": self.intake.folders if self.intake else [],
            "waiting_files": [str(path) for path in self.waiting],
            "reported_usages_waiting": self.intake.reported if self.intake else 0,
            "watching": {
                "problems": [finding.text for finding in watching if finding.level == "problem"],
                "remarks": [finding.text for finding in watching if finding.level == "note"],
            },
        }


def examine(home: Home, location: str | None, now_us: int, *, is_full: bool) -> Examination:
    """Look at the database that `location` or else the settings name, and at all that is around it. A full examination
    reads every index, and adds up every sum."""
    settings, findings = _settings_of(home)
    if settings is None and not (location or os.environ.get(DATABASE_VARIABLE)):
        waiting = [path for path in [unsettled_file(home.metrics_folder)] if path.exists()]
        unknown = note("database", "nothing else was looked at: which database is meant is not known")
        return Examination(None, [*findings, unknown], None, waiting)
    try:
        found = database_location(settings or Settings(), home, location)
        workspace = Workspace(home, settings or Settings(), found, open_database(found))
    except ClaudeForceError as error:
        return Examination(None, [*findings, problem("database", str(error))], None, [])
    if settings is not None:
        findings += attempt("secrets", lambda: configuration.secrets(workspace))
    return _examine(workspace, findings, now_us, is_full=is_full)


def _settings_of(home: Home) -> tuple[Settings | None, list[Finding]]:
    """The settings, None where claude.json cannot be used; and what is wrong with them."""
    try:
        settings, _ = load_settings(home)
    except SettingsError as error:
        return None, [problem("settings", str(error), "mend it; executions wait in a file meanwhile")]
    return settings, attempt("settings", lambda: configuration.keys(home.settings_file))


def _examine(workspace: Workspace, findings: list[Finding], now_us: int, *, is_full: bool) -> Examination:
    waiting = [path for path in spool_files(workspace) if path.exists()]
    schema = attempt("schema", lambda: storage.schema(workspace))
    findings += [*_run(_around(workspace, now_us)), *schema, *attempt("spool", lambda: intake.spool(waiting, now_us))]
    if any(finding.level == "problem" for finding in schema):
        findings.append(note("database", "what is in the database was not looked at, since it cannot be read"))
        return Examination(workspace, findings, None, waiting)
    taken, of_sources = _intake(workspace)
    findings += [*of_sources, *_run(_within(workspace, now_us, is_full=is_full))]
    return Examination(workspace, findings, taken, waiting)


def _run(checks: list[Check]) -> list[Finding]:
    return [finding for name, check in checks for finding in attempt(name, check)]


def _around(workspace: Workspace, now_us: int) -> list[Check]:
    """What can be looked at without reading the database."""
    if "://" in workspace.location:
        return []
    path = Path(workspace.location)
    is_own = path.parent == workspace.home.metrics_folder
    checks: list[Check] = [
        ("file-system", lambda: storage.file_system(path)),
        ("free-space", lambda: storage.free_space(path)),
        ("permissions", lambda: storage.permissions(path, is_own_folder=is_own)),
    ]
    if path.is_file():
        checks += [
            ("wal-size", lambda: storage.log_size(path)),
            ("backups", lambda: copies.backups(workspace, now_us)),
            ("left-behind", lambda: copies.left_behind(path)),
        ]
    return checks


def _within(workspace: Workspace, now_us: int, *, is_full: bool) -> list[Check]:
    """What is asked of a database that can be read; of one that is not there yet, what the settings say."""
    database = workspace.database
    always: list[Check] = [
        (f"{database.dialect}-version", lambda: storage.engine(database)),
        ("alerts", lambda: monitoring.rules(workspace)),
        ("exporters", lambda: monitoring.targets(workspace)),
    ]
    if not database.exists():
        return always
    return [
        *always,
        ("integrity", lambda: contents.integrity(workspace, is_full=is_full)),
        ("roll-ups", lambda: contents.roll_ups(database, is_full=is_full)),
        ("clock", lambda: contents.clock(database, now_us)),
        ("outbox", lambda: monitoring.outbox(workspace, now_us)),
        ("jobs", lambda: monitoring.jobs(workspace, now_us)),
        ("exporters", lambda: monitoring.unpushed(workspace, now_us)),
    ]


def _intake(workspace: Workspace) -> tuple[Intake | None, list[Finding]]:
    try:
        found = intake.intake_of(workspace.database)
    except (ClaudeForceError, OSError) as error:
        return None, [problem("sources", str(error))]
    return found, [*intake.sources(found), *intake.rejected(found, workspace.home.rejected_file)]
