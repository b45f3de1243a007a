"""Runs every check. A check that fails is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.database.missing import refuse_missing
from claude_force.database.open import open_database
from claude_force.database.workspace import Workspace
from claude_force.doctor import backups, integrity, monitoring, prices, sources, storage, telemetry
from claude_force.doctor import settings as settings_checks
from claude_force.doctor.ages import Ages, check_ages, read_ages
from claude_force.doctor.findings import Finding, attempt, note, problem
from claude_force.doctor.rejected import check_rejected
from claude_force.doctor.sources import SourceOverview
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.ingest.sources import waiting_files
from claude_force.ingest.spool_files import unsettled_files
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.home import Home
from claude_force.settings.location import database_location, named_location

Check = tuple[str, Callable[[], Iterable[Finding]]]
"""The id of the finding if the check itself fails, and the check."""

MONITORING = ("alerts", "scheduler", "outbox", "jobs", "exporters")
"""The findings about alerts, the scheduler and exporters."""


class Examination(NamedTuple):
    """All findings about one database. `workspace` is None if its location is unknown or invalid, `sources` is None if
    the database cannot be read. `spool_files` hold executions that are not in the database yet."""

    workspace: Workspace | None
    findings: list[Finding]
    sources: SourceOverview | None
    spool_files: list[Path]
    ages: Ages = Ages()

    def of(self, level: str) -> list[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        monitored = [finding for finding in self.findings if finding.id in MONITORING]
        return {
            "database": self.workspace and self.workspace.database.name,
            "findings": [finding.to_dict() for finding in self.findings],
            "sources": [state.to_dict() for state in self.sources.states] if self.sources else [],
            "rejected": [lines.to_dict() for lines in self.sources.rejected] if self.sources else [],
            "ages": self.ages._asdict(),
            "folders": self.sources.folders if self.sources else [],
            "spool_files": [str(path) for path in self.spool_files],
            "reported_usages_waiting": self.sources.reported_usages if self.sources else 0,
            "watching": {
                "problems": [finding.text for finding in monitored if finding.level == "problem"],
                "remarks": [finding.text for finding in monitored if finding.level == "note"],
            },
        }


def examine(home: Home, location: str | None, now_us: int, *, is_full: bool) -> Examination:
    """Check the database at `location` (None: the one in the settings) and everything around it. `is_full` also reads
    every index and recomputes every sum. Raises DatabaseMissing if a database was named that does not exist."""
    settings, findings = _load_settings(home)
    if settings is None and not named_location(location):
        spooled = [path for path in unsettled_files(home) if path.exists()]
        unknown = note("database", "the database was not checked: without claude.json its location is unknown")
        return Examination(None, [*findings, unknown], None, spooled)
    try:
        found = database_location(settings or Settings(), home, location)
        workspace = Workspace(home, settings or Settings(), found, open_database(found))
    except ClaudeForceError as error:
        return Examination(None, [*findings, problem("database", str(error))], None, [])
    if named_location(location):
        refuse_missing(workspace, location)
    if settings is not None:
        findings += attempt("secrets", lambda: settings_checks.check_secrets(workspace))
    return _examine_workspace(workspace, findings, now_us, is_full=is_full)


def _load_settings(home: Home) -> tuple[Settings | None, list[Finding]]:
    """The settings, None if claude.json cannot be used; and the findings about them."""
    try:
        settings, _ = load_settings(home)
    except SettingsError as error:
        return None, [problem("settings", str(error), "fix claude.json; executions are spooled until then")]
    return settings, attempt("settings", lambda: settings_checks.check_keys(home.settings_file))


def _examine_workspace(workspace: Workspace, findings: list[Finding], now_us: int, *, is_full: bool) -> Examination:
    spooled = [path for path in waiting_files(workspace) if path.exists()]
    schema = attempt("schema", lambda: storage.check_schema(workspace))
    findings += _run(_file_checks(workspace, now_us))
    servers = [] if _has_problem(schema) else attempt("cluster", lambda: storage.check_cluster(workspace.database))
    findings += [*schema, *servers, *attempt("spool", lambda: sources.check_spool(spooled, now_us))]
    if _has_problem(schema) or (_has_problem(servers) and not storage.is_readable(workspace.database)):
        findings.append(note("database", "the contents were not checked, because the database cannot be read"))
        return Examination(workspace, findings, None, spooled)
    overview, of_sources = _examine_sources(workspace)
    ages, of_ages = _examine_ages(workspace, now_us)
    findings += [*of_sources, *of_ages, *_run(_database_checks(workspace, now_us, is_full=is_full))]
    return Examination(workspace, findings, overview, spooled, ages)


def _has_problem(findings: list[Finding]) -> bool:
    return any(finding.level == "problem" for finding in findings)


def _run(checks: list[Check]) -> list[Finding]:
    return [finding for finding_id, check in checks for finding in attempt(finding_id, check)]


def _file_checks(workspace: Workspace, now_us: int) -> list[Check]:
    """Checks of the file and its disk, which do not open the database. Of a server only what is not checked is said."""
    if "://" in workspace.location:
        return [("backups", lambda: backups.check_backups(workspace, now_us))]
    path = Path(workspace.location)
    is_own_folder = path.parent == workspace.home.metrics_folder
    checks: list[Check] = [
        ("file-system", lambda: storage.check_file_system(path)),
        ("free-space", lambda: storage.check_free_space(path)),
        ("permissions", lambda: storage.check_permissions(path, is_own_folder=is_own_folder)),
    ]
    if path.is_file():
        checks += [
            ("wal-size", lambda: storage.check_wal_size(path)),
            ("backups", lambda: backups.check_backups(workspace, now_us)),
            ("left-behind", lambda: backups.check_left_behind(path)),
        ]
    return checks


def _database_checks(workspace: Workspace, now_us: int, *, is_full: bool) -> list[Check]:
    """Checks of a readable database. If it does not exist yet, only those of the engine and the settings."""
    database = workspace.database
    always: list[Check] = [
        (f"{database.dialect}-version", lambda: storage.check_version(database)),
        ("alerts", lambda: monitoring.check_alerts(workspace)),
        ("exporters", lambda: monitoring.check_exporters(workspace)),
    ]
    if not database.exists():
        return always
    return [
        *always,
        ("integrity", lambda: integrity.check_pages(workspace, is_full=is_full)),
        ("roll-ups", lambda: integrity.check_rollups(database, is_full=is_full)),
        ("clock", lambda: integrity.check_clock(database, now_us)),
        ("prices", lambda: prices.check_prices(workspace)),
        ("outbox", lambda: monitoring.check_outbox(workspace, now_us)),
        ("jobs", lambda: monitoring.check_jobs(workspace, now_us)),
        ("exporters", lambda: monitoring.check_export_queue(workspace, now_us)),
        ("plan-limits", lambda: monitoring.check_plan_limits(workspace, now_us)),
        ("telemetry", lambda: telemetry.check_telemetry(workspace, now_us)),
    ]


def _examine_sources(workspace: Workspace) -> tuple[SourceOverview | None, list[Finding]]:
    try:
        found = sources.read_sources(workspace.database, workspace.home.rejected_file)
    except (ClaudeForceError, OSError) as error:
        return None, [problem("sources", str(error))]
    return found, [*sources.check_sources(found), *check_rejected(found.rejected, workspace.home.rejected_file)]


def _examine_ages(workspace: Workspace, now_us: int) -> tuple[Ages, list[Finding]]:
    try:
        found = read_ages(workspace)
    except (ClaudeForceError, OSError) as error:
        return Ages(), [problem("newest-data", str(error))]
    return found, list(check_ages(found, now_us))
