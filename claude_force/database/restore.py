"""Putting a backup in the place of a SQLite file.

The file stays, and what is in it is replaced in one transaction of SQLite, so that it is whole whenever this is killed.
(Renaming another file into the place was tried: a process that had opened the old one in that very moment went on with
the log of the new one, and damaged it.) That is done only where nobody else has the database open: in WAL mode whoever
has holds a lock on it, even while he does nothing. A file that SQLite cannot read is overwritten under the same locks,
its first page last. What was there is kept in a file beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from claude_force.database.contract import Database, Progress
from claude_force.database.revisions import HEAD, REVISIONS, refuse_other_schema
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.errors import translate
from claude_force.database.sqlite.files import (
    closing,
    copy_pages,
    copy_verified,
    create_empty,
    folder_lock,
    opened,
    put_aside_log,
    refuse_foreign,
    remove_with_log,
)
from claude_force.database.sqlite.open_by import processes_with_file_open
from claude_force.errors import (
    DatabaseBusy,
    DatabaseCorrupt,
    DatabaseError,
    DatabaseMissing,
    DatabaseUnavailable,
    NotADatabase,
)
from claude_force.files import free_name, make_folder

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_HEADER_BYTES = 100
"""The header of a SQLite file (https://sqlite.org/fileformat2.html)."""

_LOCKS_AT, _LOCKS = 0x40000000, 512
"""Where in a file the bytes are that SQLite locks, and how many (PENDING_BYTE in its source, src/os.h)."""


class Restored(NamedTuple):
    """What a restore did: where the database is that was replaced (None where there was none), the revision of the new
    one, and whether the program needs a newer one."""

    kept: Path | None
    revision: str
    is_outdated: bool


def restorable(database: Database, backup: Path) -> str:
    """The schema revision of a backup that can take the place of a database. Raises DatabaseError for a database on a
    server, DatabaseMissing, NotADatabase, DatabaseCorrupt, and SchemaTooNew for a backup of a newer program."""
    if not isinstance(database, SqliteDatabase):
        raise DatabaseError(
            f"{database.name} is on a server: use pg_restore --clean --if-exists --dbname={database.name} {backup}"
        )
    if not backup.exists():
        raise DatabaseMissing(f"there is no backup {backup}")
    if database.path.exists() and database.path.samefile(backup):
        raise DatabaseError(f"{backup} is the database itself; name a backup of it")
    found = SqliteDatabase(backup).revision()
    if found is None:
        raise NotADatabase(f"{backup} holds no schema; it is no backup of claude-force")
    if found not in REVISIONS:
        refuse_other_schema(str(backup), found)
    return found


def restore(database: Database, backup: Path, stamp: str, progress: Progress | None = None) -> Restored:
    """Put what is in a backup in the place of a database, once the backup was checked; what was there is kept beside
    it, under a name that ends in `stamp`. Raises what `restorable` does, DatabaseBusy where another process has the
    database open, and DatabaseError; then it is as it was, but for a file that could not be read anyway."""
    revision = restorable(database, backup)
    assert isinstance(database, SqliteDatabase)
    # Of a link the file: the log of SQLite stands beside that.
    path = database.path.resolve()
    database.close()
    temporary = path.with_name(f".{path.name}.restore.tmp")
    try:
        make_folder(path.parent)
        with folder_lock(path.parent):
            # Of a restore that was killed.
            remove_with_log(temporary)
            try:
                kept = _restore(path, backup, temporary, stamp, progress)
            finally:
                remove_with_log(temporary)
    except OSError as error:
        raise DatabaseUnavailable(f"{path}: {error.strerror}") from error
    return Restored(kept, revision, revision != HEAD)


def _restore(path: Path, backup: Path, temporary: Path, stamp: str, progress: Progress | None) -> Path | None:
    """Restore what is there, or is not, in its own way; where it is kept."""
    kept = free_name(path.with_name(f"{path.name}.replaced-{stamp}"))
    raw = _sole_connection(path) if path.exists() else None
    if raw is not None:
        try:
            _replace_content(raw, path, backup, temporary, kept, progress)
        finally:
            raw.close()
        return kept
    copy_verified(backup, temporary, progress)
    with opened(temporary) as copy:
        copy.execute("PRAGMA journal_mode=WAL")
    if path.exists():
        _replace_unreadable(path, temporary, kept)
        return kept
    put_aside_log(path)
    os.link(temporary, path)
    return None


def _replace_content(
    raw: sqlite3.Connection, path: Path, backup: Path, temporary: Path, kept: Path, progress: Progress | None
) -> None:
    """Replace what is in a database, in one transaction of a connection that has it for itself."""
    with opened(backup) as source:
        if source.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise DatabaseCorrupt(f"{backup} is damaged: nothing was changed; restore another one")
        _keep(raw, temporary, kept)
        try:
            copy_pages(source, raw, path, progress)
        except BaseException:
            kept.unlink()
            raise
    # A failure costs nothing but a longer log.
    with suppress(sqlite3.Error):
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _replace_unreadable(path: Path, new: Path, kept: Path) -> None:
    """Write a database over a file that SQLite cannot read."""
    with _locked(path) as descriptor:
        # By this descriptor alone: closing another one of the same file would give up the locks.
        with open(descriptor, "rb", closefd=False) as old, open(os.open(kept, _NEW_FILE, 0o600), "wb") as copy:
            shutil.copyfileobj(old, copy)
        put_aside_log(path)
        _overwrite(descriptor, new)


def _keep(raw: sqlite3.Connection, temporary: Path, kept: Path) -> None:
    """Copy a database as it is, damaged or not, to a file that only its owner can read."""
    create_empty(temporary)
    with closing(temporary) as copy:
        copy_pages(raw, copy, temporary)
        copy.execute("PRAGMA journal_mode=DELETE")
    os.link(temporary, kept)


def _sole_connection(path: Path) -> sqlite3.Connection | None:
    """A connection that has a database for itself alone until it is closed; None where SQLite cannot read it. Raises
    DatabaseBusy where another process has it open, DatabaseError where it is none of ours."""
    if path.stat().st_size == 0:
        # SQLite would take it for new, and delete the log.
        return None
    try:
        raw = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
        try:
            raw.execute("PRAGMA locking_mode=EXCLUSIVE")
            # What is damaged is not taken for another program's.
            raw.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
            _refuse_other_programs(raw, path)
            # In exclusive mode a lock once taken stays.
            raw.execute("BEGIN EXCLUSIVE")
            raw.execute("COMMIT")
        except BaseException:
            raw.close()
            raise
    except sqlite3.Error as error:
        match translate(error, path):
            case DatabaseCorrupt() | NotADatabase():
                return None
            case DatabaseBusy():
                raise _in_use(path) from None
            case other:
                raise other from error
    return raw


def _refuse_other_programs(raw: sqlite3.Connection, path: Path) -> None:
    try:
        refuse_foreign(raw, path)
    except NotADatabase as error:
        # Not one that is read as damage: it is sound, and somebody's.
        raise DatabaseError(str(error)) from None


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A file that SQLite cannot read, with all locks that SQLite could take. Raises DatabaseBusy."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKS, _LOCKS_AT)
        except BlockingIOError:
            raise _in_use(path) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, new: Path) -> None:
    """Write a database over a file; until the last step it is none, so that no half of it is ever read."""
    os.pwrite(descriptor, bytes(_HEADER_BYTES), 0)
    with new.open("rb") as source, open(descriptor, "r+b", closefd=False) as file:
        header = source.read(_HEADER_BYTES)
        file.seek(_HEADER_BYTES)
        shutil.copyfileobj(source, file)
        file.truncate()
        file.flush()
        os.fsync(descriptor)
    os.pwrite(descriptor, header, 0)
    os.fsync(descriptor)


def _in_use(path: Path) -> DatabaseBusy:
    by = ", ".join(processes_with_file_open(path))
    return DatabaseBusy(f"{path} is in use{f' by {by}' if by else ''}; nothing was changed. End that, and try again")
