"""Where the `.claude` folder is, and the files in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from claude_force.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Home:
    """One `.claude` folder: where its files are."""

    folder: Path
    metrics_folder: Path

    @property
    def settings_file(self) -> Path:
        """claude.json."""
        return self.folder / "claude.json"

    @property
    def database_file(self) -> Path:
        """The database unless the settings or the environment name another."""
        return self.metrics_folder / "metrics.db"

    @property
    def rejected_file(self) -> Path:
        """Where lines that could not be imported go, with the reason."""
        return self.metrics_folder / "rejected.jsonl"


def find_home(start: Path | None = None) -> Home:
    """The nearest `.claude` folder at or above `start` (default: the working folder), else `~/.claude`."""
    try:
        here = (start or Path.cwd()).absolute()
    except OSError:
        here = user_folder()
    for folder in (here, *here.parents):
        # Not Path.is_dir, which raises for a folder above that may not be searched.
        if os.path.isdir(folder / ".claude"):  # noqa: PTH112
            return home_at(folder / ".claude")
    return home_at(user_folder() / ".claude")


def user_folder() -> Path:
    """The user's home folder; for a user who has none, one in the folder for temporary files."""
    try:
        return Path.home()
    except RuntimeError:
        import tempfile

        return Path(tempfile.gettempdir()) / f"claude-force-{os.getuid()}"


def home_at(folder: Path | str) -> Home:
    """The home of a `.claude` folder; of its `metrics` folder too, which is what claude-force 1.3 was given."""
    folder = expand(folder)
    return Home(folder.parent, folder) if folder.name == "metrics" else Home(folder, folder / "metrics")


def expand(path: Path | str) -> Path:
    """A path with `~` expanded, absolute. Raises SettingsError for a path that cannot be."""
    if str(path) == ":memory:":
        raise SettingsError("a database in memory would be gone at the end of the command; name a file")
    if str(path).startswith(("postgres:", "postgresql:")):
        raise SettingsError("a database URL begins with postgresql://, with two slashes")
    try:
        os.fsencode(path)
        if "\0" in str(path):
            raise ValueError
        return Path(path).expanduser().absolute()
    except (RuntimeError, ValueError):
        raise SettingsError(f"there can be no file {str(path)!a}") from None
    except OSError:
        raise SettingsError(f"the working folder is gone, so there is no {path}") from None
