"""The support bundle: a zip file for people who help with an installation.

It holds no secret and no name: every text passes an `Anonymizer`, whose mapping is not stored. Of executions it holds
only counts.
"""

from __future__ import annotations

import builtins
import getpass
import json
import os
import platform
import sqlite3
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from claude_force import __version__
from claude_force.alerts.budget_rules import rules_of
from claude_force.alerts.channels import settings as channel_settings
from claude_force.alerts.check import load_alert_setup
from claude_force.alerts.rules import DEFAULTS
from claude_force.clock import format_instant
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Dimension, Filter, jobs, table_sizes
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace
from claude_force.doctor.anonymize import Anonymizer, anonymize_sql, is_public_model
from claude_force.doctor.examine import Examination
from claude_force.doctor.findings import Finding
from claude_force.errors import ClaudeForceError, OutputError
from claude_force.executions.origin import host_name
from claude_force.exporters import settings as exporter_settings
from claude_force.files import replacing
from claude_force.network.redaction import HIDDEN
from claude_force.scheduler.jobs import JOBS
from claude_force.scheduler.process import LOG_NAME
from claude_force.scheduler.runs import SCHEDULER
from claude_force.settings.home import user_folder

LOG_BYTES = 128 * 1024
"""How much of the end of the scheduler's log is included."""

RUNS_PER_JOB = 5
MAXIMUM_SERIES = 100
_PACKAGES = (
    *("alembic", "apscheduler", "click", "genai-prices", "httpx2", "msgspec", "orjson", "rich", "sqlalchemy"),
    *("datadog", "elasticsearch", "opentelemetry-sdk", "prometheus-client", "psycopg"),
)
_NAMED_DIMENSIONS: tuple[tuple[str, Dimension], ...] = (
    ("agent", "agent_name"),
    ("project", "project"),
    ("workflow", "workflow_id"),
    ("session", "session_id"),
    ("branch", "git_branch"),
    ("host", "host"),
    ("user", "user_name"),
)


class Part(NamedTuple):
    """One file of a bundle: its name, a short description, and its content."""

    name: str
    purpose: str
    text: str


def write_bundle(found: Examination, file: Path) -> list[Part]:
    """Write a bundle to a new file with mode 0600, and return its parts. Raises OutputError."""
    if file.exists():
        raise OutputError(f"{file} exists already; nothing was written; name another file")
    parts = make_parts(found)
    try:
        with (
            replacing(file, 0o600) as descriptor,
            open(descriptor, "wb", closefd=False) as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for part in parts:
                archive.writestr(part.name, part.text)
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    return parts


def make_parts(found: Examination) -> list[Part]:
    """The parts of a bundle. A part that cannot be read holds the error instead."""
    anonymizer = Anonymizer([*JOBS, *vars(builtins)])
    _add_machine_names(anonymizer, found)
    parts = [Part("versions.json", "versions of programs, the system", _json(_versions()))]
    if found.workspace:
        workspace = found.workspace
        if found.sources:
            with suppress(ClaudeForceError):
                _add_stored_names(anonymizer, workspace)
            parts += _database_parts(anonymizer, workspace)
        parts += [
            _json_part("settings.json", "settings, without secrets", anonymizer, partial(_settings, workspace)),
            Part(LOG_NAME, "the end of the scheduler's log", _log(anonymizer, workspace)),
        ]
    findings = [_finding(anonymizer, finding) for finding in found.findings]
    parts.insert(0, Part("findings.json", "the findings of the doctor", _json(findings)))
    return [Part("README.txt", "this list", _readme(parts)), *parts]


def _finding(anonymizer: Anonymizer, finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "level": finding.level,
        "text": anonymizer.text(finding.text),
        "remedy": finding.remedy and anonymizer.text(finding.remedy),
    }


def _readme(parts: Iterable[Part]) -> str:
    lines = [f"{part.name:<16}{part.purpose}" for part in parts]
    return (
        "The state of a claude-force installation, for people who help with it.\n\n"
        + "\n".join(lines)
        + "\n\nNames are replaced (agent-1), and every word that is not claude-force's own is <hidden>.\n"
        "It holds no task, no answer and no secret. Every file is text: look at it before you send it.\n"
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _json_part(name: str, purpose: str, anonymizer: Anonymizer, read: Callable[[Anonymizer], object]) -> Part:
    """A part from what `read` returns, or from the error that it raises."""
    try:
        found = read(anonymizer)
    except Exception as error:
        found = {"problem": anonymizer.text(f"{type(error).__name__}: {error}")}
    return Part(name, purpose, _json(found))


def _add_machine_names(anonymizer: Anonymizer, found: Examination) -> None:
    """Add the names of paths, settings, the user and this machine."""
    paths = [user_folder(), Path.cwd(), *found.spool_files]
    if found.workspace:
        home, settings = found.workspace.home, found.workspace.settings
        paths += [home.folder, home.folder.parent, found.workspace.data_folder]
        anonymizer.add_names("database", [found.workspace.location, found.workspace.database.name])
        anonymizer.add_names("channel", settings.channels)
        anonymizer.add_names("project", settings.projects)
        anonymizer.add_names("rule", [name for name in rules_of(settings) if name not in DEFAULTS])
        anonymizer.add_names("model", [name for name in settings.prices if not is_public_model(name)])
    anonymizer.add_names("path", map(str, paths))
    anonymizer.add_names("host", [host_name() or ""])
    with suppress(KeyError, OSError):
        anonymizer.add_names("user", [getpass.getuser()])


def _add_stored_names(anonymizer: Anonymizer, workspace: Workspace) -> None:
    """Add the names that the database holds."""
    with workspace.database.read() as connection:
        for kind, dimension in _NAMED_DIMENSIONS:
            anonymizer.add_names(kind, queries.names(connection, dimension))
        models = [name for name in queries.names(connection, "model") if not is_public_model(name)]
        anonymizer.add_names("model", models)
        errors = [group.error_type for group in queries.errors(connection, Filter()) if group.error_type]
        anonymizer.add_names("error", errors)
        anonymizer.add_names("host", table_sizes.hosts(connection))


def _database_parts(anonymizer: Anonymizer, workspace: Workspace) -> list[Part]:
    def part(name: str, purpose: str, query: Callable[[Connection, Anonymizer], object]) -> Part:
        def read(anonymizer: Anonymizer) -> object:
            with workspace.database.read() as connection:
                return query(connection, anonymizer)

        return _json_part(name, purpose, anonymizer, read)

    return [
        part("tables.json", "rows of each table", _tables),
        part("series.json", "executions by agent, model and project", _series),
        part("jobs.json", "the last runs of each job", _jobs),
        Part("schema.sql", "tables and indexes", _schema(anonymizer, workspace)),
    ]


def _versions() -> dict[str, Any]:
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "claude-force": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": packages,
    }


def _settings(workspace: Workspace, anonymizer: Anonymizer) -> object:
    """The settings without secrets and names."""
    settings = asdict(workspace.settings)
    shown = settings | {
        "admin_api_key": settings["admin_api_key"] and HIDDEN,
        "channels": channel_settings.shown(settings["channels"]),
        "exporters": exporter_settings.shown(settings["exporters"]),
    }
    setup = load_alert_setup(workspace)
    return {"settings": anonymizer.value(shown), "rules": len(setup.rules), "channels": len(setup.channels)}


def _tables(connection: Connection, _: Anonymizer) -> object:
    history = queries.time_range(connection)
    return {
        "rows": table_sizes.rows_by_table(connection),
        "rows_by_level": table_sizes.rollups_by_level(connection),
        "first": history and _format(history.first_us),
        "last": history and _format(history.last_us),
    }


def _series(connection: Connection, anonymizer: Anonymizer) -> object:
    """The series with the most executions."""
    found = queries.totals_by(connection, Filter(), "agent_name", "model", "project")
    largest = sorted(found.items(), key=lambda item: -item[1].executions)[:MAXIMUM_SERIES]
    return [
        {
            "agent": anonymizer.alias("agent", agent or ""),
            "model": anonymizer.model(model or ""),
            "project": project and anonymizer.alias("project", project),
            "executions": totals.executions,
        }
        for (agent, model, project), totals in largest
    ]


def _jobs(connection: Connection, anonymizer: Anonymizer) -> object:
    return {
        job: [_run(anonymizer, run) for run in jobs.runs(connection, job, 0)[:RUNS_PER_JOB]]
        for job in (SCHEDULER, *JOBS)
    }


def _run(anonymizer: Anonymizer, run: JobRun) -> object:
    return {
        "host": anonymizer.alias("host", run.host),
        "started": _format(run.started_us),
        "finished": run.finished_us and _format(run.finished_us),
        "outcome": anonymizer.text(run.outcome),
        "counts": anonymizer.value(json.loads(run.counts)),
        "problem": run.problem and anonymizer.text(run.problem),
    }


def _schema(anonymizer: Anonymizer, workspace: Workspace) -> str:
    try:
        return "".join(f"{anonymize_sql(sql)};\n" for sql in workspace.database.definition())
    except ClaudeForceError as error:
        return f"-- {anonymizer.text(str(error))}\n"


def _log(anonymizer: Anonymizer, workspace: Workspace) -> str:
    try:
        with (workspace.data_folder / LOG_NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - LOG_BYTES, 0))
            # The first line may be cut off.
            lines = file.read().decode(errors="replace").splitlines()[1 if size > LOG_BYTES else 0 :]
    except OSError:
        return "there is no log\n"
    return "".join(f"{anonymizer.text(line)}\n" for line in lines)


def _format(instant_us: int) -> str:
    return format_instant(instant_us, UTC)
