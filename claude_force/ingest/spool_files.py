"""Where executions wait while their database is not available, and signals until they are stored: the names of the
spool files and folders."""

from __future__ import annotations

import os
from pathlib import Path

from claude_force.settings.home import Home, user_folder, user_home
from claude_force.settings.location import names_of_server, without_password

_UNSETTLED = "spool-unsettled"
_DEFAULT_DATABASE = "metrics.db"


def spool_files(location: str, metrics_folder: Path) -> tuple[Path, ...]:
    """The spool files of the database at `location`, best first: beside the database file (for a server: in the metrics
    folder), then in the user's state folder (XDG_STATE_HOME). Each database has its own; its password does not matter,
    nor where that comes from.
    """
    state = os.environ.get("XDG_STATE_HOME")
    base = (Path(state) if state else user_folder() / ".local" / "state") / "claude-force"
    if os.path.isabs(location):  # noqa: PTH117  (a location may be no path)
        return Path(f"{location}.spool.jsonl"), base / _name(without_password(location))
    return tuple(folder / _name(name) for name in names_of_server(location) for folder in (metrics_folder, base))


def telemetry_folders(location: str, metrics_folder: Path) -> tuple[Path, ...]:
    """The folders in which signals wait for the database at `location`: new ones go to the first, and another may have
    some from when a server's password came from elsewhere. Each database has its own."""
    if os.path.isabs(location):  # noqa: PTH117  (a location may be no path)
        path = Path(location)
        return (path.with_name("telemetry") if path.name == _DEFAULT_DATABASE else Path(f"{location}.telemetry"),)
    return tuple(metrics_folder / f"telemetry-{_digest(name)}" for name in names_of_server(location))


def _name(database: str) -> str:
    return f"spool-{_digest(database)}.jsonl"


def _digest(text: str) -> str:
    # Not from hashlib, which loads OpenSSL as well: a status line has no other use for it.
    from _blake2 import blake2b

    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def unsettled_files(home: Home) -> tuple[Path, ...]:
    """The spool files for records whose database is not known, because `claude.json` cannot be read. New ones go to the
    first; the others may have older ones of the same settings.

    A broken claude.json does not say where its project keeps its store: its records wait in the user's folder, in a
    file of their own."""
    own = home.metrics_folder / f"{_UNSETTLED}.jsonl"
    user = user_home()
    if home.folder == user.folder:
        return (own,)
    waiting = user.metrics_folder / f"{_UNSETTLED}-{_digest(str(home.folder))}.jsonl"
    if home.metrics_folder == user.metrics_folder:
        return waiting, own, home.folder / "metrics" / own.name
    return own, waiting


def former_files(location: str, home: Home) -> tuple[Path, ...]:
    """The spool files that a project filled while it had no store but would have got one of its own. They are for the
    store that it uses now, if its settings choose that."""
    folder = home.unused_metrics_folder
    if folder is None:
        return ()
    at = Home(folder.parent, folder)
    return *spool_files(location, folder), *spool_files(str(at.database_file), folder), *unsettled_files(at)
