"""Which folders make a project: see `executions.projects`."""

from __future__ import annotations

from dataclasses import replace

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import Filter
from claude_force.database.queries.names import names
from claude_force.executions.projects import Globs, ProjectNames, name_projects


def repositories(connection: Connection) -> dict[str, str]:
    """The repository that ingestion found for each folder; the folder itself if it is in none, "" if it was not
    there."""
    return dict(connection.fetch_once("SELECT folder, project FROM projects"))


def project_names(connection: Connection, globs: Globs) -> ProjectNames:
    """The project of each folder in the store. `globs` are the projects of the settings."""
    return ProjectNames(globs, name_projects(names(connection, "project"), repositories(connection), globs))


def with_projects(connection: Connection, filters: Filter) -> Filter:
    """The filter with the project of each folder in the store: it then selects whole projects, and groups by them."""
    if filters.project_names.by_folder is not None:
        return filters
    return replace(filters, project_names=project_names(connection, filters.project_names.globs))
