"""Which claude.json and which store apply in a folder.

There is one store for each user, `~/.claude/metrics`. The nearest `.claude` folder of a project takes part as follows:

| the project's `.claude` has | settings | store |
|---|---|---|
| neither of the following | the user's | the user's |
| a claude.json with a section `performance` | the project's | the user's |
| one that names a database, or a metrics file in this `.claude` that exists | the project's | the project's |
| `metrics/metrics.db`, which nothing names | as above | the project's, "found" |

A user without a home folder, as in some containers, has the nearest `.claude` as their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.errors import SettingsError

SECTION = "performance"
"""The key of claude.json that holds our settings."""


class Home(NamedTuple):
    """The folder of claude.json, the folder of the store, and the paths of the files in both.

    `is_found` says that the store is used only because it is there: nothing names it. `shared_settings_file` is the
    claude.json that names the database if the one in `folder` does not. `unused_metrics_folder` is where a project kept
    its store before it had the user's: something may still wait there.
    """

    folder: Path
    metrics_folder: Path
    is_found: bool = False
    shared_settings_file: Path | None = None
    unused_metrics_folder: Path | None = None

    @property
    def settings_file(self) -> Path:
        """claude.json."""
        return self.folder / "claude.json"

    @property
    def database_file(self) -> Path:
        """The default database."""
        return self.metrics_folder / "metrics.db"

    @property
    def working_folder(self) -> Path:
        """A folder in which `find_home` finds this home."""
        return self.metrics_folder.parent.parent if self.is_found else self.folder.parent

    @property
    def rejected_file(self) -> Path:
        """The file for lines that could not be imported, with the reason."""
        return self.metrics_folder / "rejected.jsonl"

    @property
    def plan_limits_problem_file(self) -> Path:
        """Why the status line could not store plan limits when it last tried; absent if it could."""
        return self.metrics_folder / "plan-limits.problem"


def find_home(start: Path | None = None) -> Home:
    """The home of a folder (default: the working folder), by the rules at the top of this module."""
    folders = list(_projects(start))
    if not folders:
        return user_home()
    nearest = folders[0]
    if _home_folder() is None:
        return home_at(nearest)
    found = (_home_of_project(folder, nearest) for folder in folders)
    user = user_home()._replace(unused_metrics_folder=nearest / "metrics")
    return next((home for home in found if home is not None), user)


def shared_home(home: Home) -> Home:
    """The same home with the user's store, if it has a store that was only found."""
    if not home.is_found:
        return home
    user, unused = user_home(), home.metrics_folder
    return user._replace(unused_metrics_folder=unused) if home.folder == user.folder else _sharing(home.folder, unused)


def _projects(start: Path | None) -> Iterator[Path]:
    """The `.claude` folders at and above a folder, nearest first, up to the user's own, which is not one of them."""
    try:
        here = (start or Path.cwd()).absolute()
    except OSError:
        return
    own = str(user_home().folder)
    for folder in (here, *here.parents):
        # Not Path.is_dir, which raises if a parent folder denies access.
        if not os.path.isdir(folder / ".claude"):  # noqa: PTH112
            continue
        if os.path.exists(own) and os.path.samefile(own, folder / ".claude"):  # noqa: PTH110, PTH121
            return
        yield folder / ".claude"


def _home_of_project(folder: Path, nearest: Path) -> Home | None:
    """The home of a project's `.claude` folder; None if it has neither settings nor a store."""
    section, own = _section_of(folder / "claude.json"), Home(folder, folder / "metrics")
    if section is not None and _names_store(section, folder):
        return own
    if os.path.isfile(own.database_file):  # noqa: PTH113
        return own._replace(folder=user_home().folder if section is None else folder, is_found=True)
    return None if section is None else _sharing(folder, nearest / "metrics")


def _sharing(folder: Path, unused: Path) -> Home:
    """The home of a project with settings of its own that uses the user's store."""
    user = user_home()
    return Home(folder, user.metrics_folder, False, user.settings_file, unused)


def _section_of(path: Path) -> dict[str, Any] | None:
    """Our section of a claude.json; None if there is none. Empty if it cannot be read, which is an error that loading
    it reports."""
    try:
        text = "" if path.is_fifo() else path.read_bytes().decode("utf-8-sig")
        content = json.loads(text) if text.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or SECTION not in content:
        return None
    return section if isinstance(section := content[SECTION], dict) else {}


def _names_store(section: dict[str, Any], folder: Path) -> bool:
    """Whether the settings of a project name a database, or a metrics file in the project's `.claude` that exists."""
    if section.get("database"):
        return True
    file = section.get("metrics_file")
    if not isinstance(file, str):
        return False
    path = os.path.normpath(os.path.join(folder.parent, os.path.expanduser(file)))  # noqa: PTH111, PTH118
    return Path(path).is_relative_to(folder) and os.path.isfile(path)  # noqa: PTH113


def user_home() -> Home:
    """The user's `~/.claude`, with the store in it."""
    return home_at(user_folder() / ".claude")


def user_folder() -> Path:
    """The user's home folder; for a user without one, a folder in the folder for temporary files."""
    found = _home_folder()
    if found is not None:
        return found
    import tempfile

    return Path(tempfile.gettempdir()) / f"claude-force-{os.getuid()}"


def _home_folder() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def home_at(folder: Path | str) -> Home:
    """The home of a `.claude` folder, with the store in it, whatever its settings say. Its `metrics` folder, which
    claude-force 1.3 expected, works too."""
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
