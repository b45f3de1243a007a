"""SQLite files: creating, opening, copying and checking them, whatever their revision.

A new file is built under a temporary name and linked to its own, so that nobody ever sees half a database.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from claude_force.database.contract import Progress
from claude_force.database.revisions import VERSION_TABLE, refuse_other_schema
from claude_force.database.sqlite.errors import BUSY_TIMEOUT_S, translate
from claude_force.errors import DatabaseCorrupt, DatabaseUnavailable, NotADatabase
from claude_force.files import exclusive_lock, make_folder

APPLICATION_ID = 0x636C6664
"""Marks the file as ours ("clfd") in its header. A file without it is never written to."""

_PAGE_BYTES = 4096
_PAGES_AT_ONCE = 1024
"""Pages copied between two calls of the progress callback."""

_LOG_KEPT_BYTES = 3840 * 1024
"""What a checkpoint leaves of the log: most of it, since writing over it takes less time than making it longer. It must
be below `database.CHECKPOINT_BYTES`: that size says that the log is full."""
_CACHE_KIB = 16_000
"""The most memory of a connection's pages, of which SQLite itself would take 2,000. Identities lie anywhere in their
table: to store 5,000 of them changes up to 5,000 pages."""

_HEAD_SCHEMA = Path(__file__).with_name("head.sql")


def connect(path: Path, wait_s: float = BUSY_TIMEOUT_S, *, may_write: bool = True) -> sqlite3.Connection:
    """A connection to an existing file with our settings, not verified, which waits so long for a lock. Raises
    sqlite3.Error."""
    mode = "rw" if may_write and os.access(path, os.W_OK) else "ro"
    if not os.access(path.parent, os.W_OK) and not os.path.exists(f"{path}-wal"):  # noqa: PTH110
        # SQLite reads a WAL database in a folder that it cannot write only if it knows that nobody writes.
        mode = "ro&immutable=1"
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=wait_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in (
            "synchronous=NORMAL",
            "wal_autocheckpoint=0",
            f"cache_size=-{_CACHE_KIB}",
            f"journal_size_limit={_LOG_KEPT_BYTES}",
        ):
            raw.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        raw.close()
        raise
    return raw


@contextmanager
def opened(path: Path, wait_s: float = BUSY_TIMEOUT_S, *, may_write: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection to a file of any revision, closed at the end. Its errors are translated."""
    try:
        raw = connect(path, wait_s, may_write=may_write)
        try:
            yield raw
        finally:
            raw.close()
    except sqlite3.Error as error:
        raise translate(error, path, wait_s) from error


@contextmanager
def closing(path: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection with SQLite's own settings, closed at the end."""
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        yield raw
    finally:
        raw.close()


@contextmanager
def empty_database() -> Iterator[sqlite3.Connection]:
    """A database in memory, of the head revision and without rows."""
    with closing(":memory:") as raw:
        raw.executescript(_HEAD_SCHEMA.read_text())
        yield raw


def verify(raw: sqlite3.Connection, path: Path) -> None:
    """Raise NotADatabase for a file that is not ours, SchemaOutdated or SchemaTooNew for another revision."""
    refuse_foreign(raw, path)
    refuse_other_schema(str(path), revision_of(raw))


def refuse_foreign(raw: sqlite3.Connection, path: Path) -> None:
    """Raise NotADatabase for a file that is not ours."""
    if path.stat().st_size == 0:
        raise NotADatabase(f"{path} is empty (0 bytes): restore a backup, or move it away to start with a new one")
    if raw.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotADatabase(f"{path} is a database of another program; name another file")


def revision_of(raw: sqlite3.Connection) -> str | None:
    """The schema revision; None if the file has no schema."""
    try:
        row = raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(row[0]) if row else None


def missing_objects(raw: sqlite3.Connection) -> list[str]:
    """A line for each table or index of the head revision that the database lacks or defines differently."""
    with empty_database() as expected:
        missing = _objects(expected) - _objects(raw)
    return [f"the {kind} {name} is missing or was changed" for kind, name, _ in sorted(missing)]


def _objects(raw: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """The kind, name and SQL of each table and index. Ignores white space: the makers of a file differ in it."""
    rows = raw.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in rows}


def create_file(path: Path) -> None:
    """Create a database of the head revision. If another process creates it first, that file stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        make_folder(path.parent)
        create_empty(temporary)
        with closing(temporary) as raw:
            _use_wal(raw, path)
            raw.executescript(f"BEGIN IMMEDIATE;\n{_HEAD_SCHEMA.read_text()}\nCOMMIT;")
            # Closing checkpoints too, but reports no full disk; and only the database file is linked, not its log.
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with folder_lock(path.parent):
            if not path.exists():
                put_aside_log(path)
                os.link(temporary, path)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise DatabaseUnavailable(f"cannot create {path}: {error.strerror}") from error
    finally:
        remove_with_log(temporary)


def _use_wal(raw: sqlite3.Connection, path: Path) -> None:
    if raw.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise DatabaseUnavailable(
            f"the file system of {path} cannot hold a SQLite database that several processes write; "
            "choose a local disk, or PostgreSQL, with --db"
        )


def copy_verified(source: Path, copy: Path, progress: Progress | None = None) -> None:
    """Copy one moment of a database to a new file (without a log beside it) that only its owner can read. Raises
    DatabaseCorrupt if the copy does not pass its integrity check, DatabaseError and OSError for other failures."""
    try:
        create_empty(copy)
        with opened(source) as raw, closing(copy) as target:
            copy_pages(raw, target, copy, progress)
            # A copy of a damaged database must never take the place of a good backup.
            if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise DatabaseCorrupt(f"{source} is damaged: the copy did not pass its check and was removed")
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise translate(error, copy) from error


def copy_pages(
    source: sqlite3.Connection, target: sqlite3.Connection, path: Path, progress: Progress | None = None
) -> None:
    """Copy a database over another, the file `path`, in one transaction. Raises sqlite3.Error, and DatabaseFull."""
    try:
        # A read transaction: without one the copy would start again at each commit of another process.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchall()
        source.backup(target, pages=_PAGES_AT_ONCE, progress=_in_bytes(progress) if progress else None)
        source.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorname == "SQLITE_FULL":
            # Only the target is written, so the full disk is the one of `path`.
            raise translate(error, path) from error
        raise


def _in_bytes(progress: Progress) -> Callable[[int, int, int], None]:
    """SQLite's callback during a copy (status, pages left, pages in all), which calls `progress` with bytes."""
    copied = 0

    def report(_: int, left: int, pages: int) -> None:
        nonlocal copied
        progress((pages - left - copied) * _PAGE_BYTES)
        copied = pages - left

    return report


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock under which databases of a folder are created and upgraded. Waits for it; not reentrant."""
    with exclusive_lock(os.open(folder, os.O_RDONLY)):
        yield


def put_aside_log(path: Path) -> None:
    """Rename a log whose database is gone: SQLite would replay it into the new one. It is kept for its owner."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    for log in (f"{path}-wal", f"{path}-journal"):
        with suppress(FileNotFoundError):
            os.rename(log, f"{log}.left-{time.time_ns()}")  # noqa: PTH104


def create_empty(path: Path) -> None:
    """Create an empty file that only its owner can read; SQLite gives the same mode to the files beside it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def remove_with_log(path: Path) -> None:
    """Delete a database and the files beside it. Idempotent."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            os.unlink(f"{path}{suffix}")
