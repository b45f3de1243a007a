"""The store that is merged into another one. It is never changed.

A SQLite file is read from a copy, because opening it can already change it: SQLite moves the log of a database into the
file when the last connection closes. A copy of an older revision is upgraded.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_force.database.archive import archive_folder
from claude_force.database.contract import Database, Progress
from claude_force.database.missing import refuse_missing_file
from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD, REVISIONS, refuse_other_schema
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.errors import translate
from claude_force.database.sqlite.files import copy_pages, create_empty, refuse_foreign, revision_of
from claude_force.errors import DatabaseBusy, DatabaseError, DatabaseMissing, DatabaseUnavailable, NotADatabase
from claude_force.files import exclusive_lock, open_append

_SCRATCH = "merge"
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class OtherStore:
    """A store to merge. `location` is its full path or its URL, `name` the same without a password. `database` is what
    is read: the server, or a copy of the file. `archive_folder` has its archives, and `files` are those that make up a
    SQLite store."""

    location: str
    name: str
    database: Database
    archive_folder: Path
    files: tuple[Path, ...] = ()


@contextmanager
def open_other(
    location: str, target: Database, data_folder: Path, metrics_folder: Path, progress: Progress | None = None
) -> Iterator[OtherStore]:
    """The store at a path or URL. The copy of a file is made in `data_folder`, and deleted at the end. The archives of
    a server are in `metrics_folder`.

    Raises DatabaseError: if there is no such store, it is the target itself, a newer program wrote it, or a server has
    an older schema."""
    database = open_database(location)
    refuse_missing_file(database, location)
    if not database.exists():
        raise DatabaseMissing(f"{database.name} has no tables of claude-force; name a store to merge")
    if database.name == target.name or _is_same_file(database, target):
        raise DatabaseError(f"{database.name} is the database itself; name another store to merge into it")
    if not isinstance(database, SqliteDatabase):
        try:
            refuse_other_schema(database.name, database.revision())
            yield OtherStore(location, database.name, database, archive_folder(location, metrics_folder))
        finally:
            database.close()
        return
    with _scratch(data_folder) as folder:
        copy = _copy(database.path, folder / "other.db", progress)
        try:
            archives = archive_folder(str(database.path), metrics_folder)
            yield OtherStore(database.name, database.name, copy, archives, tuple(_files_of(database.path, archives)))
        finally:
            copy.close()


def _is_same_file(database: Database, target: Database) -> bool:
    if not (isinstance(database, SqliteDatabase) and isinstance(target, SqliteDatabase)):
        return False
    return target.path.exists() and target.path.samefile(database.path)


def _files_of(path: Path, archives: Path) -> Iterator[Path]:
    yield from (file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists())
    if archives.is_dir():
        yield archives


@contextmanager
def _scratch(data_folder: Path) -> Iterator[Path]:
    """A folder for the copy. What a merge that was killed left there is deleted."""
    lock = data_folder / f".{_SCRATCH}.lock"
    try:
        descriptor = open_append(lock)
    except OSError as error:
        raise DatabaseUnavailable(f"{data_folder}: {error.strerror}") from error
    with exclusive_lock(descriptor, wait=False) as is_held:
        if not is_held:
            raise DatabaseBusy(f"another merge runs in {data_folder}; nothing was done: wait until it has ended")
        for leftover in data_folder.glob(f".{_SCRATCH}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(dir=data_folder, prefix=f".{_SCRATCH}-") as folder:
                yield Path(folder)
        finally:
            lock.unlink(missing_ok=True)


def _copy(path: Path, copy: Path, progress: Progress | None) -> SqliteDatabase:
    """A copy of a SQLite file at the head revision. Raises DatabaseError."""
    if path.stat().st_size == 0:
        raise NotADatabase(f"{path} is empty (0 bytes)")
    try:
        _copy_file(path, copy, progress)
        with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
            refuse_foreign(raw, copy)
            if raw.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            revision = revision_of(raw)
    except NotADatabase:
        raise NotADatabase(f"{path} is a database of another program; name a store of claude-force") from None
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise DatabaseUnavailable(f"{path} cannot be copied to {copy.parent}: {error.strerror}") from error
    database = SqliteDatabase(copy)
    if revision != HEAD:
        if revision not in REVISIONS:
            refuse_other_schema(str(path), revision)
        # Imported here: alembic takes half a second, and nearly no store is of an older revision.
        from claude_force.database.migrate import upgrade

        upgrade(database)
    return database


def _copy_file(path: Path, copy: Path, progress: Progress | None) -> None:
    """Copy one moment of a database. One without a log is not open, so its bytes are copied; opening it would leave
    files beside it. Otherwise SQLite copies it, read-only. Raises sqlite3.Error and OSError."""
    log = Path(f"{path}-wal")
    for _ in range(_ATTEMPTS):
        if log.exists():
            break
        before = _state_of(path)
        shutil.copyfile(path, copy)
        if not log.exists() and _state_of(path) == before:
            if progress is not None:
                progress(before[0])
            return
    copy.unlink(missing_ok=True)
    create_empty(copy)
    with (
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source,
        closing(sqlite3.connect(copy, isolation_level=None)) as target,
    ):
        copy_pages(source, target, copy, progress)


def _state_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
