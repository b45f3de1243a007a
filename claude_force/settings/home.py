"""Locates the `.claude` folder and the files in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from claude_force.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Home:
    """A `.claude` folder and the paths of its files."""

    folder: Path
    metrics_folder: Path

    @property
    def settings_file(self) -> Path:
        """claude.json."""
        return self.folder / "claude.json"

    @property
    def database_file(self) -> Path:
        """The default database."""
        return self.metrics_folder / "metrics.db"

    @property
    def rejected_file(self) -> Path:
        """The file for lines that could not be imported, with the reason."""
        return self.metrics_folder / "rejected.jsonl"

    @property
    def plan_limits_problem_file(self) -> Path:
        """Why the status line could not store plan limits when it last tried; absent if it could."""
        return self.metrics_folder / "plan-limits.problem"


def find_home(start: Path | None = None) -> Home:
    """The nearest `.claude` folder at or above `start` (default: the working folder), else `~/.claude`."""
    try:
        here = (start or Path.cwd()).absolute()
    except OSError:
        here = user_folder()
    for folder in (here, *here.parents):
        # Not Path.is_dir, which raises if a parent folder denies access.
        if os.path.isdir(folder / ".claude"):  # noqa: PTH112
            return home_at(folder / ".claude")
    return home_at(user_folder() / ".claude")


def user_folder() -> Path:
    """The user's home folder; for a user without one, a folder in the folder for temporary files."""
    try:
        return Path.home()
    except RuntimeError:
        import tempfile

        return Path(tempfile.gettempdir()) / f"claude-force-{os.getuid()}"


def home_at(folder: Path | str) -> Home:
    """The home of a `.claude` folder. Its `metrics` folder, which claude-force 1.3 expected, works too."""
    folder = expand(folder)
    return Home(folder.parent, folder) if folder.name == "metrics" else Home(folder, folder / "metrics")


def expand(path: Path | str) -> Path:
    """An absolute path with `~` expanded. Raises SettingsError for an impossible path."""
    if str(path) == ":memory:":
        raise SettingsError("a database in memory is lost when the command ends; name a file")
    if str(path).startswith(("postgres:", "postgresql:")):
        raise SettingsError("a database URL starts with postgresql:// (two slashes)")
    try:
        os.fsencode(path)
        if "\0" in str(path):
            raise ValueError
        return Path(path).expanduser().absolute()
    except (RuntimeError, ValueError):
        raise SettingsError(f"{str(path)!a} is not a possible file name") from None
    except OSError:
        raise SettingsError(f"{path} is relative, and the working folder does not exist") from None
