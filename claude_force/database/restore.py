"""Restoring a SQLite file from a backup.

The file stays, and one SQLite transaction replaces its content, so that it is whole if this process is killed.
(Renaming a new file over it does not work: a process that opened the old file at that moment went on with the log of
the new one, and damaged it.) No other process may have the database open; in WAL mode an open connection holds a lock
even when idle. A file that SQLite cannot read is overwritten under the same locks, its first page last. The old content
is kept in a file beside it.
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
from claude_force.database.sqlite.open_files import processes_with_file_open
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
"""The position of the bytes that SQLite locks in a file, and how many (PENDING_BYTE in its source, src/os.h)."""


class Restored(NamedTuple):
    """What a restore did: the file that holds the replaced database (None if there was none), the revision of the
    restored one, and whether this program needs a newer revision."""

    kept: Path | None
    revision: str
    is_outdated: bool


def restorable(database: Database, backup: Path) -> str:
    """The schema revision of a backup that `restore` accepts. Raises DatabaseError for a database on a server,
    DatabaseMissing, NotADatabase, DatabaseCorrupt, and SchemaTooNew for a backup of a newer program."""
    if not isinstance(database, SqliteDatabase):
        raise DatabaseError(
            f"{database.name} is on a server: use pg_restore --clean --if-exists --dbname={database.name} {backup}"
        )
    if not backup.exists():
        raise DatabaseMissing(f"there is no backup {backup}")
    if database.path.exists() and database.path.samefile(backup):
        raise DatabaseError(f"{backup} is the database itself; name a backup of it")
    revision = SqliteDatabase(backup).revision()
    if revision is None:
        raise NotADatabase(f"{backup} holds no schema; it is no backup of claude-force")
    if revision not in REVISIONS:
        refuse_other_schema(str(backup), revision)
    return revision


def restore(database: Database, backup: Path, stamp: str, progress: Progress | None = None) -> Restored:
    """Verify a backup and replace a database by it; the old one is kept beside it, under a name that ends in `stamp`.
    Raises what `restorable` raises, DatabaseBusy if another process has the database open, and DatabaseError; then the
    database is unchanged, unless SQLite could not read it before."""
    revision = restorable(database, backup)
    assert isinstance(database, SqliteDatabase)
    # Follow symlinks: the log lies beside the real file.
    path = database.path.resolve()
    database.close()
    temporary = path.with_name(f".{path.name}.restore.tmp")
    try:
        make_folder(path.parent)
        with folder_lock(path.parent):
            # A restore that was killed may have left it.
            remove_with_log(temporary)
            try:
                kept = _restore(path, backup, temporary, stamp, progress)
            finally:
                remove_with_log(temporary)
    except OSError as error:
        raise DatabaseUnavailable(f"{path}: {error.strerror}") from error
    return Restored(kept, revision, revision != HEAD)


def _restore(path: Path, backup: Path, temporary: Path, stamp: str, progress: Progress | None) -> Path | None:
    """Restore over a readable file, an unreadable one, or none; returns the file that keeps the old content."""
    kept = free_name(path.with_name(f"{path.name}.replaced-{stamp}"))
    raw = _exclusive_connection(path) if path.exists() else None
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
    """Replace the content of a database in one transaction of an exclusive connection."""
    with opened(backup) as source:
        if source.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise DatabaseCorrupt(f"{backup} is damaged: nothing was changed; restore another one")
        _keep(raw, temporary, kept)
        try:
            copy_pages(source, raw, path, progress)
        except BaseException:
            kept.unlink()
            raise
    # A failure is harmless: the log stays longer.
    with suppress(sqlite3.Error):
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _replace_unreadable(path: Path, new: Path, kept: Path) -> None:
    """Write a database over a file that SQLite cannot read."""
    with _locked(path) as descriptor:
        # With this descriptor only: closing another one of the same file would release the locks.
        with open(descriptor, "rb", closefd=False) as old, open(os.open(kept, _NEW_FILE, 0o600), "wb") as copy:
            shutil.copyfileobj(old, copy)
        put_aside_log(path)
        _overwrite(descriptor, new)


def _keep(raw: sqlite3.Connection, temporary: Path, kept: Path) -> None:
    """Copy a database, damaged or not, to a file that only its owner can read."""
    create_empty(temporary)
    with closing(temporary) as copy:
        copy_pages(raw, copy, temporary)
        copy.execute("PRAGMA journal_mode=DELETE")
    os.link(temporary, kept)


def _exclusive_connection(path: Path) -> sqlite3.Connection | None:
    """A connection that locks others out until it is closed; None if SQLite cannot read the file. Raises DatabaseBusy
    if another process has it open, DatabaseError if it is not ours."""
    if path.stat().st_size == 0:
        # SQLite would treat it as a new database, and delete the log.
        return None
    try:
        return _locked_connection(path)
    except sqlite3.Error as error:
        match translate(error, path):
            case DatabaseCorrupt() | NotADatabase():
                return None
            case DatabaseBusy():
                raise _in_use(path) from None
            case other:
                raise other from error


def _locked_connection(path: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
    try:
        raw.execute("PRAGMA locking_mode=EXCLUSIVE")
        # Fails for a damaged file, which must not count as another program's.
        raw.execute("SELECT COUNT(*) FROM sqlite_master").fetchall()
        _refuse_other_programs(raw, path)
        # In exclusive mode a lock stays until the connection is closed.
        raw.execute("BEGIN EXCLUSIVE")
        raw.execute("COMMIT")
    except BaseException:
        raw.close()
        raise
    return raw


def _refuse_other_programs(raw: sqlite3.Connection, path: Path) -> None:
    try:
        refuse_foreign(raw, path)
    except NotADatabase as error:
        # Not NotADatabase, which the caller treats as damage: the file is sound and belongs to another program.
        raise DatabaseError(str(error)) from None


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A descriptor of a file that SQLite cannot read, with every lock that SQLite could take. Raises DatabaseBusy."""
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
    """Write a database over a file. The header comes last, so that an unfinished file is never read as a database."""
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
    return DatabaseBusy(
        f"{path} is in use{f' by {by}' if by else ''}; nothing was changed: close what uses it, and try again"
    )
