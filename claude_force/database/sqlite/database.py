"""A SQLite file as a Database, through the standard library.

One connection per process and thread, in WAL mode. Writers begin with BEGIN IMMEDIATE: a deferred transaction that
upgrades to a write fails at once, whatever the timeout. Readers use a plain BEGIN.

Checkpoints: SQLite before 3.51.3 (3.44.6, 3.50.7) can lose commits when one connection checkpoints while another
restarts the log. A restart needs the write lock, so automatic checkpoints are off and ours run under that lock. This
also bounds the size of the log. All versions are treated alike, since fixed ones are still rare.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from claude_force.database.contract import AT_ONCE_S, Database, Integrity, Progress, Role
from claude_force.database.revisions import HEAD
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.errors import BUSY_TIMEOUT_S, READ_TIMEOUT_S, translate
from claude_force.database.sqlite.files import (
    closing,
    connect,
    copy_verified,
    create_file,
    empty_database,
    missing_objects,
    opened,
    refuse_foreign,
    remove_with_log,
    revision_of,
    verify,
)
from claude_force.errors import DatabaseCorrupt, DatabaseError, DatabaseMissing, DatabaseUnavailable
from claude_force.files import exclusive_lock, make_folder, open_append

if TYPE_CHECKING:
    from claude_force.database.ad_hoc import Answer, QueryLimits

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""The size of the log from which on a write is followed by a checkpoint."""

_UNREAD_INDEXES = "the content of indexes, which --full reads"

_SQLITE_ERRORS = (sqlite3.Error, OverflowError)

_CHANGES_BETWEEN_SIZE_CHECKS = 64
"""Rows changed between two looks at the size of the log: looking after each would take longer than inserting."""


class _Handle:
    """A connection to one file, closed with the thread that owns it. `lock` is held during a transaction."""

    def __init__(self, path: Path, wait_s: float) -> None:
        self.lock = threading.RLock()
        self.path = path
        self.file = _identity(str(path))
        self.connection = connect(path, wait_s)
        self.writer = SqliteConnection(self.connection)
        self.is_open = True
        self.is_verified = False
        self._wait_s = wait_s

    def wait_for(self, wait_s: float) -> None:
        """Wait so long for a lock from now on."""
        if wait_s != self._wait_s:
            self.connection.execute(f"PRAGMA busy_timeout={wait_s * 1000:.0f}")
            self._wait_s = wait_s

    def commit(self) -> None:
        """Commit. If that fails, nothing is changed."""
        try:
            self.connection.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Roll back what is not committed."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection. Idempotent. Takes the lock, so that no fork happens in the middle of it."""
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
"""The signals that were blocked before the current fork; empty when no fork is under way."""


def _close_before_fork() -> None:
    """Close all connections, each after its current transaction.

    SQLite keeps in memory which locks its process holds. A child inherits that memory but not the locks, so that even
    a new connection would count as locked, and the log could be deleted under it (seen: a child that kept recording
    lost every row after its parent closed). So no open connection may cross a fork.
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


def _identity(path: str) -> FileIdentity | None:
    """The identity of the file at a path; None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatabaseUnavailable(f"{path} cannot be reached: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What a write to a file changes; None if there is no file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatabaseUnavailable(f"{path} cannot be reached: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns


class SqliteDatabase(Database):
    """A database file."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._wal = f"{path}-wal"
        self._checkpoint_at = CHECKPOINT_BYTES
        self._wait_s: float = BUSY_TIMEOUT_S
        self._local = threading.local()
        # Starts at the limit, so that a process that records once and ends looks at the log, too.
        self._changes = _CHANGES_BETWEEN_SIZE_CHECKS

    @contextmanager
    def read(self) -> Iterator[SqliteConnection]:
        file = _identity(self.name)
        if file is None:
            with empty_database() as raw:
                yield SqliteConnection(raw, is_snapshot=True)
            return
        with _Transaction(self, "BEGIN", file, self._read_wait_s()) as handle:
            yield SqliteConnection(handle.connection, is_snapshot=True)

    def ask(self, sql: str, limits: QueryLimits) -> Answer:
        from claude_force.database.ad_hoc import checked
        from claude_force.database.sqlite import ad_hoc

        query = checked(sql)
        if not self.exists():
            with empty_database() as raw:
                return ad_hoc.ask(raw, self.path, query, limits)
        with opened(self.path, self._read_wait_s(), may_write=False) as raw:
            verify(raw, self.path)
            return ad_hoc.ask(raw, self.path, query, limits)

    def _read_wait_s(self) -> float:
        """How long a read waits for a lock. Without a log nobody has the file open as we do: whoever locks it keeps
        reads out, perhaps for long."""
        return BUSY_TIMEOUT_S if os.path.exists(self._wal) else READ_TIMEOUT_S  # noqa: PTH110

    @contextmanager
    def write(self) -> Iterator[SqliteConnection]:
        file = _identity(self.name)
        if file is None:
            create_file(self.path)
            file = _identity(self.name)
        with _Transaction(self, "BEGIN IMMEDIATE", file, self._wait_s) as handle:
            before = handle.connection.total_changes
            yield handle.writer
            self._changes += handle.connection.total_changes - before + 1
        if self._changes >= _CHANGES_BETWEEN_SIZE_CHECKS:
            self._changes = 0
            self._bound_log()

    @contextmanager
    def write_at_once(self) -> Iterator[SqliteConnection]:
        file = _identity(self.name)
        if file is None:
            raise DatabaseMissing(f"no database at {self.path}")
        with _Transaction(self, "BEGIN IMMEDIATE", file, AT_ONCE_S) as handle:
            yield handle.writer

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        self._wait_s = AT_ONCE_S
        try:
            yield
        finally:
            self._wait_s = BUSY_TIMEOUT_S

    def locked_handle(self, file: FileIdentity | None, wait_s: float) -> _Handle:
        """This thread's connection to `file`, locked, which waits so long for locks. A connection that a fork closed,
        or whose file was replaced, is closed and replaced by a new one."""
        while True:
            handle: _Handle | None = getattr(self._local, "handle", None)
            if handle is None or not handle.is_open or handle.file != file:
                if handle is not None:
                    handle.close()
                handle = self._open(wait_s)
            handle.lock.acquire()
            try:
                if handle.is_open:
                    handle.wait_for(wait_s)
                    if not handle.is_verified:
                        verify(handle.connection, self.path)
                        handle.is_verified = True
                    return handle
            except BaseException:
                handle.lock.release()
                raise
            handle.lock.release()

    def _open(self, wait_s: float) -> _Handle:
        with _handles_lock:
            handle = _Handle(self.path, wait_s)
            _handles.add(handle)
        self._local.handle = handle
        return handle

    def _bound_log(self) -> None:
        """Checkpoint if the log is large. A failure is harmless: the log stays longer."""
        try:
            size = os.stat(self._wal).st_size
        except OSError:
            return
        if size < self._checkpoint_at:
            self._checkpoint_at = CHECKPOINT_BYTES
            return
        with suppress(sqlite3.Error, DatabaseError, OSError):
            is_complete = self._checkpoint()
            # A long read keeps the log from shrinking, and would otherwise cost a checkpoint at every commit.
            self._checkpoint_at = CHECKPOINT_BYTES if is_complete else size + CHECKPOINT_BYTES

    def _checkpoint(self) -> bool:
        """Move the log into the database, under the write lock; returns whether all of it could be moved."""
        with (
            _Transaction(self, "BEGIN IMMEDIATE", _identity(self.name), self._wait_s),
            closing(self.path) as checkpointer,
        ):
            _, logged, moved = checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(logged == moved)

    def optimize(self) -> None:
        if not self.path.exists():
            return
        self._checkpoint()
        with opened(self.path) as raw:
            raw.execute("PRAGMA optimize")

    @contextmanager
    def try_exclusive(self, role: str) -> Iterator[Role]:
        # A file beside the database, not a lock on it: closing any descriptor of a file gives up SQLite's locks on it.
        path = self.path.with_name(f"{self.path.name}.{role}")
        try:
            descriptor = open_append(path)
        except OSError as error:
            raise DatabaseUnavailable(f"{path}: {error.strerror}") from error
        with exclusive_lock(descriptor, wait=False) as is_held:
            yield is_held

    def exists(self) -> bool:
        return self.path.exists()

    def change_mark(self) -> object:
        return _stamp(self.name), _stamp(self._wal)

    def revision(self) -> str | None:
        if not self.path.exists():
            return None
        with opened(self.path, self._read_wait_s()) as raw:
            refuse_foreign(raw, self.path)
            return revision_of(raw)

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def definition(self) -> list[str]:
        with opened(self.path) as raw:
            return [row[0] for row in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")]

    def check_integrity(self, *, is_quick: bool = False) -> Integrity:
        if not self.path.exists():
            raise DatabaseMissing(f"no database at {self.path}")
        check = "quick_check" if is_quick else "integrity_check"
        try:
            with opened(self.path) as raw:
                lines = [row[0] for row in raw.execute(f"PRAGMA {check}")]
                missing = missing_objects(raw) if revision_of(raw) == HEAD else []
        except DatabaseCorrupt as error:
            return Integrity([str(error)], "")
        defects = ([] if lines == ["ok"] else lines) + missing
        if is_quick:
            return Integrity(defects, "all pages", _UNREAD_INDEXES)
        return Integrity(defects, "all pages and indexes")

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        if not self.path.exists():
            raise DatabaseMissing(f"no database at {self.path}")
        if target.exists():
            raise DatabaseError(f"{target} exists already; nothing was written; name another file")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            make_folder(target.parent)
            copy_verified(self.path, temporary, progress)
            os.link(temporary, target)
        except FileExistsError:
            raise DatabaseError(f"{target} exists already; it was left as it is; name another file") from None
        except OSError as error:
            raise DatabaseUnavailable(f"{target}: {error.strerror}") from error
        finally:
            remove_with_log(temporary)

    def uid_literal(self, uid: bytes) -> str:
        return f"X'{uid.hex()}'"

    def close(self) -> None:
        self._local = threading.local()
        with _handles_lock:
            mine = [handle for handle in _handles if handle.path == self.path]
        for handle in mine:
            handle.close()


class _Transaction:
    """A transaction on this thread's connection: committed at the end of the block, rolled back if it raises. Raises
    DatabaseError in place of the errors of SQLite.

    A class, because a generator would take longer than the statements of a recorded execution.
    """

    __slots__ = ("_begin", "_database", "_file", "_handle", "_wait_s")

    def __init__(self, database: SqliteDatabase, begin: str, file: FileIdentity | None, wait_s: float) -> None:
        self._database, self._begin, self._file, self._wait_s = database, begin, file, wait_s

    def __enter__(self) -> _Handle:
        try:
            handle = self._handle = self._database.locked_handle(self._file, self._wait_s)
            try:
                handle.connection.execute(self._begin)
                if self._begin != "BEGIN":
                    # A read takes its lock with its first statement only.
                    handle.wait_for(BUSY_TIMEOUT_S)
            except BaseException:
                handle.roll_back()
                handle.lock.release()
                raise
        except _SQLITE_ERRORS as error:
            raise translate(error, self._database.path, self._wait_s) from error
        return handle

    def __exit__(
        self, _: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if raised is None:
                self._handle.commit()
            else:
                self._handle.roll_back()
        except _SQLITE_ERRORS as error:
            raised = error
        finally:
            self._handle.lock.release()
        if isinstance(raised, _SQLITE_ERRORS):
            raise translate(raised, self._database.path, self._wait_s) from raised
