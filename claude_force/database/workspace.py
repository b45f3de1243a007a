"""A home with its settings and its database: what every command starts from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.executions.projects import ProjectNames
from claude_force.settings.claude_json import Settings, load_settings, project_globs
from claude_force.settings.home import Home, find_home, shared_home
from claude_force.settings.location import database_location


class Workspace(NamedTuple):
    """The home, the settings and the database of a command."""

    home: Home
    settings: Settings
    location: str
    database: Database

    @property
    def project_names(self) -> ProjectNames:
        """The projects of the settings."""
        return ProjectNames(project_globs(self.settings))

    @property
    def data_folder(self) -> Path:
        """The folder for files that belong to the database: that of a SQLite file, for a server the metrics folder."""
        return self.home.metrics_folder if "://" in self.location else Path(self.location).parent


def merge_workspace(location: str | None) -> tuple[Workspace, tuple[str, ...]]:
    """The workspace that other stores are merged into, and the problems in its settings: as everywhere, but a store
    that a project only happens to have is one to merge, not the target. Raises SettingsError."""
    return workspace_at(shared_home(find_home()), location)


def workspace_at(home: Home, location: str | None) -> tuple[Workspace, tuple[str, ...]]:
    """The workspace of a home, with the database that `location` or else the settings name, and the problems in the
    settings (a line each). Raises SettingsError."""
    settings, problems = load_settings(home)
    chosen_location = database_location(settings, home, location)
    return Workspace(home, settings, chosen_location, open_database(chosen_location)), problems
