"""SQLite through the standard library.

One connection per process and thread, in WAL mode: writers say BEGIN IMMEDIATE (a deferred transaction that upgrades
fails at once, whatever the timeout), readers a plain BEGIN. A new file is built beside its place and linked into it, so
nobody ever sees half a database.

Checkpoints: SQLite before 3.51.3 (3.44.6, 3.50.7) can lose commits when one connection checkpoints while another
restarts the log. A restart needs the write lock, so automatic checkpoints are off and ours run under that lock. This
also bounds the log. It is done on every version: one behaviour, and the fixed versions are rare.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from claude_force.database.contract import Database, Progress, Row
from claude_force.database.revisions import HEAD, VERSION_TABLE, refuse_other_schema
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.errors import BUSY_TIMEOUT_S, translate
from claude_force.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseMissing,
    DatabaseUnavailable,
    NotADatabase,
)
from claude_force.files import exclusive_lock, make_folder, open_append

APPLICATION_ID = 0x636C6664
"""Marks the file as ours ("clfd") in its header; a file without it is never written to."""

CHECKPOINT_BYTES = 4 * 1024 * 1024
_CHANGES_BETWEEN_LOOKS = 64
"""Rows that are changed between two looks at the size of the log: asking for it at each takes longer than inserting."""

_PAGE_BYTES = 4096
_PAGES_AT_ONCE = 1024
"""Pages that are copied between two calls of what shows the progress."""

_LOG_KEPT_BYTES = 1024 * 1024
_HEAD_SCHEMA = Path(__file__).with_name("head.sql")


class _Handle:
    """A connection to one file, which closes with the thread that owns it. `lock` is held during a transaction."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.path = path
        self.file = _identity(path)
        self.connection = connect(path)
        self.is_open = True
        self.is_verified = False

    def close(self) -> None:
        """Close the connection; again is nothing. Under the lock, so that no fork comes in the middle of it."""
        with self.lock:
            self.is_open = False
            self.connection.close()

    def __del__(self) -> None:
        if hasattr(self, "is_open"):
            self.close()


_handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
"""Every open connection of this process."""

_handles_lock = threading.Lock()


_blocked_before_fork: list[set[int]] = []
"""The signals that were blocked before the fork that is under way; empty otherwise."""


def _close_before_fork() -> None:
    """Close all connections, each after the transaction that it is in.

    SQLite keeps, in memory, which locks its process holds. A child inherits that memory but not the locks, so that even
    a connection of its own would be taken for locked, and the log could be deleted under it (seen: a child that went on
    recording lost every row after its parent's close). So nothing that is open may cross a fork.
    """
    # An interrupt within these functions would be dropped by Python, and leave locks held for ever.
    _blocked_before_fork.append(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}))
    _handles_lock.acquire()
    for handle in _handles:
        handle.lock.acquire()
        handle.close()


def _release_after_fork() -> None:
    for handle in _handles:
        handle.lock.release()
    _handles.clear()
    _handles_lock.release()
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked_before_fork.pop())


os.register_at_fork(before=_close_before_fork, after_in_parent=_release_after_fork, after_in_child=_release_after_fork)


FileIdentity = tuple[int, int]
"""Device and inode."""


def _identity(path: Path) -> FileIdentity | None:
    """Which file has this name now; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatabaseUnavailable(f"{path} cannot be reached: {error.strerror}") from error
    return found.st_dev, found.st_ino


class SqliteDatabase(Database):
    """A database file."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._wal = f"{path}-wal"
        self._checkpoint_at = CHECKPOINT_BYTES
        self._local = threading.local()
        # A process that records once and ends looks too.
        self._changes = _CHANGES_BETWEEN_LOOKS

    @contextmanager
    def read(self) -> Iterator[SqliteConnection]:
        found = _identity(self.path)
        if found is None:
            with closing(":memory:") as raw:
                raw.executescript(_HEAD_SCHEMA.read_text())
                yield SqliteConnection(raw)
            return
        with self._transaction("BEGIN", found) as raw:
            yield SqliteConnection(raw)

    @contextmanager
    def write(self) -> Iterator[SqliteConnection]:
        found = _identity(self.path)
        if found is None:
            create_file(self.path)
            found = _identity(self.path)
        with self._transaction("BEGIN IMMEDIATE", found) as raw:
            before = raw.total_changes
            yield SqliteConnection(raw)
            self._changes += raw.total_changes - before + 1
        if self._changes >= _CHANGES_BETWEEN_LOOKS:
            self._changes = 0
            self._bound_log()

    @contextmanager
    def _transaction(self, begin: str, found: FileIdentity | None) -> Iterator[sqlite3.Connection]:
        try:
            handle = self._locked_handle(found)
            try:
                raw = handle.connection
                raw.execute(begin)
                try:
                    yield raw
                    raw.execute("COMMIT")
                except BaseException:
                    if raw.in_transaction:
                        raw.execute("ROLLBACK")
                    raise
            finally:
                handle.lock.release()
        except (sqlite3.Error, OverflowError) as error:
            raise translate(error, self.path) from error

    def _locked_handle(self, found: FileIdentity | None) -> _Handle:
        """The connection of this thread to the file that was found under the name, locked. One that a fork closed, or
        whose file was replaced, makes place for a new one."""
        while True:
            handle: _Handle | None = getattr(self._local, "handle", None)
            if handle is None or not handle.is_open or handle.file != found:
                if handle is not None:
                    handle.close()
                handle = self._open()
            handle.lock.acquire()
            try:
                if handle.is_open:
                    if not handle.is_verified:
                        verify(handle.connection, self.path)
                        handle.is_verified = True
                    return handle
            except BaseException:
                handle.lock.release()
                raise
            handle.lock.release()

    def _open(self) -> _Handle:
        with _handles_lock:
            handle = _Handle(self.path)
            _handles.add(handle)
        self._local.handle = handle
        return handle

    def _bound_log(self) -> None:
        """Checkpoint under the write lock once the log is large. A failure costs nothing but a longer log."""
        try:
            size = os.stat(self._wal).st_size
        except OSError:
            return
        if size < self._checkpoint_at:
            self._checkpoint_at = CHECKPOINT_BYTES
            return
        with suppress(sqlite3.Error, DatabaseError, OSError):
            is_whole = self._checkpoint()
            # A reader that holds the log back would otherwise cost a checkpoint at every commit.
            self._checkpoint_at = CHECKPOINT_BYTES if is_whole else size + CHECKPOINT_BYTES

    def _checkpoint(self) -> bool:
        """Move the log into the database, under the write lock; whether all of it could be moved."""
        with self._transaction("BEGIN IMMEDIATE", _identity(self.path)), closing(self.path) as checkpointer:
            _, logged, moved = checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(logged == moved)

    def optimize(self) -> None:
        if not self.path.exists():
            return
        self._checkpoint()
        with opened(self.path) as raw:
            raw.execute("PRAGMA optimize")

    @contextmanager
    def try_exclusive(self, role: str) -> Iterator[bool]:
        # Beside the database, and not a lock on it: SQLite's own are lost with any file handle on it that is closed.
        path = self.path.with_name(f"{self.path.name}.{role}")
        try:
            descriptor = open_append(path)
        except OSError as error:
            raise DatabaseUnavailable(f"{path}: {error.strerror}") from error
        with exclusive_lock(descriptor, wait=False) as is_held:
            yield is_held

    def exists(self) -> bool:
        return self.path.exists()

    def revision(self) -> str | None:
        if not self.path.exists():
            return None
        with opened(self.path) as raw:
            refuse_foreign(raw, self.path)
            return _revision(raw)

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def definition(self) -> list[str]:
        with opened(self.path) as raw:
            return [row[0] for row in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")]

    def check_integrity(self, *, is_quick: bool = False) -> list[str]:
        if not self.path.exists():
            raise DatabaseMissing(f"no database at {self.path}")
        try:
            with opened(self.path) as raw, closing(":memory:") as wanted:
                found = [row[0] for row in raw.execute(f"PRAGMA {'quick_check' if is_quick else 'integrity_check'}")]
                wanted.executescript(_HEAD_SCHEMA.read_text())
                missing = _objects(wanted) - _objects(raw) if _revision(raw) == HEAD else set()
        except DatabaseCorrupt as error:
            return [str(error)]
        problems = [] if found == ["ok"] else found
        return problems + [f"the {kind} {name} is missing or not as it was made" for kind, name, _ in sorted(missing)]

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        if not self.path.exists():
            raise DatabaseMissing(f"no database at {self.path}")
        if target.exists():
            raise DatabaseError(f"{target} exists already; nothing was written")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            make_folder(target.parent)
            copy_verified(self.path, temporary, progress)
            os.link(temporary, target)
        except FileExistsError:
            raise DatabaseError(f"{target} exists already; it was left as it is") from None
        except OSError as error:
            raise DatabaseUnavailable(f"{target}: {error.strerror}") from error
        finally:
            remove_with_log(temporary)

    def encode_uid(self, uid: bytes) -> bytes:
        return uid

    def decode_uid(self, value: Any) -> bytes:
        assert isinstance(value, bytes)
        return value

    def decode_rows(self, rows: list[Row]) -> list[Row]:
        return rows

    def close(self) -> None:
        self._local = threading.local()
        with _handles_lock:
            mine = [handle for handle in _handles if handle.path == self.path]
        for handle in mine:
            handle.close()


def copy_verified(source: Path, copy: Path, progress: Progress | None = None) -> None:
    """Copy a database, as it is at one moment, to a new file of one piece that only its owner can read. Raises
    DatabaseCorrupt where the copy does not pass its check, DatabaseError and OSError for the rest."""
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
        # What others write from now on is not in the copy; it would begin anew at each of their commits.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchall()
        source.backup(target, pages=_PAGES_AT_ONCE, progress=_in_bytes(progress) if progress else None)
        source.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorname == "SQLITE_FULL":
            # Only what is written can fill a disk.
            raise translate(error, path) from error
        raise


def _in_bytes(progress: Progress) -> Callable[[int, int, int], None]:
    """What SQLite calls during a copy with how many pages are left."""
    copied = 0

    def told(_: int, left: int, pages: int) -> None:
        nonlocal copied
        progress((pages - left - copied) * _PAGE_BYTES)
        copied = pages - left

    return told


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file with our settings, not verified. Raises sqlite3.Error."""
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    if not os.access(path.parent, os.W_OK) and not os.path.exists(f"{path}-wal"):  # noqa: PTH110
        # SQLite reads a WAL database only where it can write beside it, unless it is told that nobody writes.
        mode = "ro&immutable=1"
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in ("synchronous=NORMAL", "wal_autocheckpoint=0", f"journal_size_limit={_LOG_KEPT_BYTES}"):
            raw.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        raw.close()
        raise
    return raw


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own to a file of any revision, closed at the end, its errors translated."""
    try:
        raw = connect(path)
        try:
            yield raw
        finally:
            raw.close()
    except sqlite3.Error as error:
        raise translate(error, path) from error


@contextmanager
def closing(path: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection as SQLite makes it, closed at the end."""
    raw = sqlite3.connect(path, isolation_level=None)
    try:
        yield raw
    finally:
        raw.close()


def verify(raw: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours, or whose schema is not the one that this program needs."""
    refuse_foreign(raw, path)
    refuse_other_schema(str(path), _revision(raw))


def refuse_foreign(raw: sqlite3.Connection, path: Path) -> None:
    """Raise NotADatabase for a file that is not ours."""
    if path.stat().st_size == 0:
        raise NotADatabase(f"{path} is empty (0 bytes): restore a backup, or move it away to start anew")
    if raw.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotADatabase(f"{path} is a database of another program; name another file with --db")


def _objects(raw: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """The kind, name and text of each table and index; white space is not part of it: tools that made them differ."""
    found = raw.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in found}


def _revision(raw: sqlite3.Connection) -> str | None:
    try:
        row = raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return str(row[0]) if row else None


def create_file(path: Path) -> None:
    """Create a database at the head revision. If another process was first, its file stands."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        make_folder(path.parent)
        create_empty(temporary)
        with closing(temporary) as raw:
            if raw.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
                raise DatabaseUnavailable(
                    f"the file system of {path} cannot hold a SQLite database that several processes write; "
                    "choose a local disk, or PostgreSQL, with --db"
                )
            raw.executescript(f"BEGIN IMMEDIATE;\n{_HEAD_SCHEMA.read_text()}\nCOMMIT;")
            # Closing does this too, but says nothing where the disk is full; the log does not go with the file.
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


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """A lock on a folder, for those who create or upgrade a database in it. Not to be nested."""
    with exclusive_lock(os.open(folder, os.O_RDONLY)):
        yield


def put_aside_log(path: Path) -> None:
    """Rename a log that has lost its database: SQLite would play it into the new one. It is kept, for who misses it."""
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    for log in (f"{path}-wal", f"{path}-journal"):
        with suppress(FileNotFoundError):
            os.rename(log, f"{log}.left-{time.time_ns()}")  # noqa: PTH104


def create_empty(path: Path) -> None:
    """An empty file that only its owner can read; SQLite gives the same mode to the files beside it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def remove_with_log(path: Path) -> None:
    """Delete a database that is not needed, with what is beside it; nothing where it is not there."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            os.unlink(f"{path}{suffix}")
