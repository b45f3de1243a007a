"""A database that was named and does not exist: a misspelt path must not read as an empty store."""

from __future__ import annotations

import os
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.workspace import Workspace
from claude_force.errors import DatabaseMissing
from claude_force.settings.location import DATABASE_VARIABLE, named_location

_HEADER_BYTES = 72
_FORMAT = b"SQLite format 3\0"
"""How a SQLite file begins (https://sqlite.org/fileformat2.html). Its bytes 68 to 71 are the application id."""

_LEAST_LIKENESS = 0.6
"""Of two names without their suffixes, as `difflib.get_close_matches` has it."""

_FILES_LOOKED_AT = 1000
"""Files of a folder among which the nearest name is sought."""


def is_missing(workspace: Workspace) -> bool:
    """Whether the database is a file that does not exist. False if that cannot be known: opening it says why."""
    if "://" in workspace.location:
        return False
    try:
        os.stat(workspace.location)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def refuse_missing(workspace: Workspace, flag: str | None) -> None:
    """Raise DatabaseMissing, with the nearest name in the folder, for a file that does not exist although `flag` or
    CLAUDE_FORCE_DB names it. A file that claude.json names may be absent, as the user's own store, if its folder is
    there. A server is asked when it is read."""
    if not is_missing(workspace):
        return
    named = named_location(flag)
    path = Path(workspace.location)
    if named is not None:
        variable = "" if flag else f" ({DATABASE_VARIABLE})"
        raise DatabaseMissing(f"no database at {named}{variable}{_remedy(path, named)}")
    if workspace.settings.database is not None and not path.parent.is_dir():
        raise DatabaseMissing(
            f"no database at {path} (performance.database in claude.json): there is no folder {path.parent}; correct "
            "it, or make a new database: claude-force ingest"
        )


def refuse_missing_file(database: Database, named: str) -> None:
    """Raise DatabaseMissing for a file that a user named and that does not exist. For a command that cannot make it."""
    if "://" not in database.name and not database.exists():
        raise DatabaseMissing(f"no database at {named}{_guess(Path(database.name), named)}")


def _guess(path: Path, named: str) -> str:
    """The nearest database of the folder, as the user wrote the other; empty if none is near."""
    near = nearest_database(path)
    return f"; did you mean {named.removesuffix(path.name)}{near.name}?" if near else ""


def _remedy(path: Path, named: str) -> str:
    if guess := _guess(path, named):
        return guess
    import shlex

    where = "" if path.parent.is_dir() else f": there is no folder {path.parent}"
    return f"{where}; to make a new one: claude-force ingest --db {shlex.quote(named)}"


def nearest_database(path: Path) -> Path | None:
    """The database of ours in the folder of a path whose name is nearest to it; None if no name is near."""
    near = [file for file in _databases(path.parent) if _likeness(path.stem, file.stem) >= _LEAST_LIKENESS]
    return max(near, key=lambda file: _likeness(path.name, file.name), default=None)


def _likeness(one: str, other: str) -> float:
    # Imported here, as below: a database is rarely missing.
    from difflib import SequenceMatcher

    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _databases(folder: Path) -> list[Path]:
    """The files of a folder that are databases of ours."""
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError:
        return []
    return [file for file in files[:_FILES_LOOKED_AT] if is_ours(file)]


def is_ours(path: Path) -> bool:
    """Whether a file is a SQLite database of claude-force, going by its header."""
    from claude_force.database.sqlite.files import APPLICATION_ID

    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError:
        return False
    return header.startswith(_FORMAT) and header[68:72] == APPLICATION_ID.to_bytes(4, "big")
