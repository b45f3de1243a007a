"""A support bundle: what those who help need to know, in a file that may be sent.

It holds no secret and no name: every text passes a `Disguise`, and which other name is whose is kept nowhere. Nothing
of an execution is in it but counts.
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
from claude_force.alerts.channels import settings as channel_settings
from claude_force.alerts.check import load_alert_setup
from claude_force.alerts.rules import DEFAULTS
from claude_force.clock import format_instant
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Dimension, Filter, jobs
from claude_force.database.queries import table_sizes as sizes
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace
from claude_force.doctor.anonymize import Disguise, definition, is_public_model
from claude_force.doctor.examine import Examination
from claude_force.errors import ClaudeForceError, OutputError
from claude_force.executions.origin import host_name
from claude_force.exporters import settings as exporter_settings
from claude_force.files import replacing
from claude_force.scheduler.jobs import JOBS
from claude_force.scheduler.process import LOG_NAME
from claude_force.scheduler.runs import SCHEDULER
from claude_force.settings.home import user_folder

LOG_BYTES = 128 * 1024
"""Of the log of the scheduler the end is taken."""

RUNS = 5
GROUPS = 100
_PACKAGES = (
    *("alembic", "apscheduler", "click", "genai-prices", "httpx2", "msgspec", "orjson", "rich", "sqlalchemy"),
    *("datadog", "elasticsearch", "opentelemetry-sdk", "prometheus-client", "psycopg"),
)
_DIMENSIONS: tuple[tuple[str, Dimension], ...] = (
    ("agent", "agent_name"),
    ("project", "project"),
    ("workflow", "workflow_id"),
)


class Part(NamedTuple):
    """A file of a bundle: its name, what is in it in a few words, and its text."""

    name: str
    purpose: str
    text: str


def write_bundle(found: Examination, file: Path) -> list[Part]:
    """Write what is known of a place to a new file that only its owner can read; what is in it. Raises OutputError."""
    if file.exists():
        raise OutputError(f"{file} exists already; nothing was written")
    parts = parts_of(found)
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


def parts_of(found: Examination) -> list[Part]:
    """What a bundle holds. What cannot be read is said in its place."""
    disguise = Disguise([*JOBS, *vars(builtins)])
    _learn_machine(disguise, found)
    parts = [Part("versions.json", "versions of programs, the system", _json(_versions()))]
    if found.workspace:
        workspace = found.workspace
        if found.intake:
            with suppress(ClaudeForceError):
                _learn_names(disguise, workspace)
            parts += _of_database(disguise, workspace)
        parts += [
            _part("settings.json", "settings, without secrets", disguise, lambda: _settings(disguise, workspace)),
            Part(LOG_NAME, "the end of the scheduler's log", _log(disguise, workspace)),
        ]
    findings = [
        {
            "id": finding.id,
            "level": finding.level,
            "text": disguise.text(finding.text),
            "remedy": finding.remedy and disguise.text(finding.remedy),
        }
        for finding in found.findings
    ]
    parts.insert(0, Part("findings.json", "what the doctor found", _json(findings)))
    return [Part("README.txt", "this list", _contents(parts)), *parts]


def _contents(parts: Iterable[Part]) -> str:
    lines = [f"{part.name:<16}{part.purpose}" for part in parts]
    return (
        "What claude-force knows of an installation, for those who help with it.\n\n"
        + "\n".join(lines)
        + "\n\nNames are replaced (agent-1), and every word that is not claude-force's own is <hidden>.\n"
        "No task, no answer, no secret is in it. Every file is text: look at it before you send it.\n"
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _part(name: str, purpose: str, disguise: Disguise, look: Callable[[], object]) -> Part:
    """A part of JSON; what is wrong, where it cannot be had."""
    try:
        found = look()
    except Exception as error:
        found = {"problem": disguise.text(f"{type(error).__name__}: {error}")}
    return Part(name, purpose, _json(found))


def _learn_machine(disguise: Disguise, found: Examination) -> None:
    """Learn the names that paths and this machine have."""
    paths = [user_folder(), Path.cwd(), *found.waiting]
    if found.workspace:
        paths += [found.workspace.home.folder, found.workspace.home.folder.parent, found.workspace.data_folder]
        disguise.learn("database", [found.workspace.location, found.workspace.database.name])
        settings = found.workspace.settings
        disguise.learn("channel", settings.channels)
        disguise.learn("rule", [name for name in settings.alerts if name not in DEFAULTS])
        disguise.learn("model", [name for name in settings.prices if not is_public_model(name)])
    disguise.learn("path", map(str, paths))
    disguise.learn("host", [host_name() or ""])
    with suppress(KeyError, OSError):
        disguise.learn("user", [getpass.getuser()])


def _learn_names(disguise: Disguise, workspace: Workspace) -> None:
    """Learn the names that the database holds."""
    with workspace.database.read() as connection:
        for kind, dimension in _DIMENSIONS:
            disguise.learn(kind, queries.names(connection, dimension))
        disguise.learn("model", [name for name in queries.names(connection, "model") if not is_public_model(name)])
        disguise.learn(
            "error", [found.error_type for found in queries.errors(connection, Filter()) if found.error_type]
        )
        disguise.learn("host", sizes.hosts(connection))


def _of_database(disguise: Disguise, workspace: Workspace) -> list[Part]:
    def read(look: Callable[[Connection], object]) -> Callable[[], object]:
        def looked() -> object:
            with workspace.database.read() as connection:
                return look(connection)

        return looked

    return [
        _part("tables.json", "rows of each table", disguise, read(_tables)),
        _part("series.json", "executions by agent, model and project", disguise, read(partial(_series, disguise))),
        _part("jobs.json", "the last runs of each job", disguise, read(partial(_jobs, disguise))),
        Part("schema.sql", "tables and indexes", _schema(disguise, workspace)),
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


def _settings(disguise: Disguise, workspace: Workspace) -> object:
    """The settings as they may be printed, and then without names."""
    settings = asdict(workspace.settings)
    shown = settings | {
        "channels": channel_settings.shown(settings["channels"]),
        "exporters": exporter_settings.shown(settings["exporters"]),
    }
    watch = load_alert_setup(workspace)
    return {"settings": disguise.value(shown), "rules": len(watch.rules), "channels": len(watch.channels)}


def _tables(connection: Connection) -> object:
    reach = queries.time_range(connection)
    return {
        "rows": sizes.rows_by_table(connection),
        "rows_by_level": sizes.rollups_by_level(connection),
        "first": reach and _moment(reach.first_us),
        "last": reach and _moment(reach.last_us),
    }


def _series(disguise: Disguise, connection: Connection) -> object:
    """How many executions those have that have the most."""
    found = queries.totals_by(connection, Filter(), "agent_name", "model", "project")
    most = sorted(found.items(), key=lambda item: -item[1].executions)[:GROUPS]
    return [
        {
            "agent": disguise.name("agent", agent or ""),
            "model": disguise.model(model or ""),
            "project": project and disguise.name("project", project),
            "executions": totals.executions,
        }
        for (agent, model, project), totals in most
    ]


def _jobs(disguise: Disguise, connection: Connection) -> object:
    return {job: [_run(disguise, run) for run in jobs.runs(connection, job, 0)[:RUNS]] for job in (SCHEDULER, *JOBS)}


def _run(disguise: Disguise, run: JobRun) -> object:
    return {
        "host": disguise.name("host", run.host),
        "started": _moment(run.started_us),
        "finished": run.finished_us and _moment(run.finished_us),
        "outcome": disguise.text(run.outcome),
        "counts": disguise.value(json.loads(run.counts)),
        "problem": run.problem and disguise.text(run.problem),
    }


def _schema(disguise: Disguise, workspace: Workspace) -> str:
    try:
        return "".join(f"{definition(sql)};\n" for sql in workspace.database.definition())
    except ClaudeForceError as error:
        return f"-- {disguise.text(str(error))}\n"


def _log(disguise: Disguise, workspace: Workspace) -> str:
    try:
        with (workspace.data_folder / LOG_NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - LOG_BYTES, 0))
            # Its first line may be cut.
            lines = file.read().decode(errors="replace").splitlines()[1 if size > LOG_BYTES else 0 :]
    except OSError:
        return "there is none\n"
    return "".join(f"{disguise.text(line)}\n" for line in lines)


def _moment(instant_us: int) -> str:
    return format_instant(instant_us, UTC)
