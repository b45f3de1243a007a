"""A home with its settings and its database: what every command starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.executions.projects import ProjectNames
from claude_force.settings.claude_json import Settings, load_settings, project_globs
from claude_force.settings.home import Home
from claude_force.settings.location import database_location


@dataclass(frozen=True, slots=True)
class Workspace:
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


def workspace_at(home: Home, location: str | None) -> tuple[Workspace, tuple[str, ...]]:
    """The workspace of a home, with the database that `location` or else the settings name, and the problems in the
    settings (a line each). Raises SettingsError."""
    settings, problems = load_settings(home)
    chosen_location = database_location(settings, home, location)
    return Workspace(home, settings, chosen_location, open_database(chosen_location)), problems
