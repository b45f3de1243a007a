"""Where the program works: one home, its settings and its database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.home import Home
from claude_force.settings.location import database_location


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a command works: the home, its settings and its database."""

    home: Home
    settings: Settings
    location: str
    database: Database

    @property
    def data_folder(self) -> Path:
        """Where files belong that go with the database: beside a SQLite file, with the metrics of a server's."""
        return self.home.metrics_folder if "://" in self.location else Path(self.location).parent


def workspace_at(home: Home, location: str | None) -> tuple[Workspace, tuple[str, ...]]:
    """The place of a home, with the database that `location` or else the settings name; and the problems of the
    settings. Raises SettingsError."""
    settings, problems = load_settings(home)
    found = database_location(settings, home, location)
    return Workspace(home, settings, found, open_database(found)), problems
