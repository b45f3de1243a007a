"""SQLite's errors translated to ours, each with its remedy."""

from __future__ import annotations

import os
from pathlib import Path

from claude_force.errors import (
    DatabaseBusy,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnavailable,
    NotADatabase,
)

BUSY_TIMEOUT_S = 30
"""How long a transaction waits for the lock of another."""

READ_TIMEOUT_S = 1
"""How long a read waits for a lock of a program that does not use the log. With the log, no read waits for a write."""

_LITTLE_SPACE_BYTES = 1024 * 1024


def translate(error: Exception, path: Path, waited_s: float = BUSY_TIMEOUT_S) -> DatabaseError:
    """The DatabaseError for an error of SQLite. `waited_s` is how long a lock was waited for."""
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what = "try again" if waited_s == READ_TIMEOUT_S else "nothing was written, try again"
        return DatabaseBusy(f"{path} was locked by another process for {waited_s:g} s; {what}")
    if code == "SQLITE_FULL" or (code.startswith("SQLITE_IOERR") and _free_bytes(path) < _LITTLE_SPACE_BYTES):
        return DatabaseFull(
            f"the disk of {path} is full ({_free_bytes(path):,} bytes free): free some space, try again"
        )
    if code.startswith("SQLITE_IOERR"):
        return DatabaseUnavailable(f"{path} could not be read or written ({code}); trying again is safe")
    if code.startswith("SQLITE_READONLY"):
        return DatabaseReadOnly(f"{path} cannot be written by this user; change its permissions, or use --db")
    if path.is_dir():
        return NotADatabase(f"{path} is a folder; name a file in it")
    if code.startswith("SQLITE_CANTOPEN"):
        return DatabaseUnavailable(f"{path} cannot be opened; SQLite needs to read it and to write in its folder")
    if code.startswith("SQLITE_NOTADB"):
        return NotADatabase(f"{path} is not a SQLite database; name another file")
    if code.startswith("SQLITE_CORRUPT"):
        return DatabaseCorrupt(f"{path} is damaged ({error}); restore a backup")
    return DatabaseError(f"{path}: {error}")


def _free_bytes(path: Path) -> int:
    try:
        status = os.statvfs(path.parent)
        return status.f_bavail * status.f_frsize
    except OSError:
        return 0
