"""Queries that somebody writes, on a SQLite file.

The connection is read-only, an authorizer allows nothing but to read, and a handler that SQLite calls all the time
stops what takes too long. A sort that does not fit into memory goes to a temporary file, which is bounded as well.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from claude_force.database.ad_hoc import (
    NAMES_SHOWN,
    QUERY_LIMIT,
    VALUE_LIMIT,
    VALUE_TOO_LARGE,
    Answer,
    QueryLimits,
    gather,
    took_too_long,
)
from claude_force.database.sqlite.errors import translate
from claude_force.errors import DatabaseError, QueryRefused

_READS = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
_FUNCTIONS_REFUSED = ("load_extension", "fts3_tokenizer")
"""Both run code that a query names: of a file, or at an address."""

_PRAGMAS = ("table_info", "table_xinfo", "table_list", "index_list", "index_info")
"""What only says what there is."""

_ACTIONS = (
    "INSERT", "UPDATE", "DELETE", "CREATE_TABLE", "CREATE_TEMP_TABLE", "CREATE_INDEX", "CREATE_TEMP_INDEX",
    "CREATE_VIEW", "CREATE_TEMP_VIEW", "CREATE_TRIGGER", "CREATE_TEMP_TRIGGER", "CREATE_VTABLE", "DROP_TABLE",
    "DROP_TEMP_TABLE", "DROP_INDEX", "DROP_TEMP_INDEX", "DROP_VIEW", "DROP_TEMP_VIEW", "DROP_TRIGGER",
    "DROP_TEMP_TRIGGER", "DROP_VTABLE", "ALTER_TABLE", "REINDEX", "ANALYZE", "ATTACH", "DETACH", "TRANSACTION",
    "SAVEPOINT", "PRAGMA", "FUNCTION",
)  # fmt: skip
_WORDS = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _ACTIONS}

_STEPS = 100
"""Steps of SQLite's machine between two calls of the handler: with values of the largest size they move some megabytes.
Ten times as many would save a twentieth of the time."""

_LOOK_AT_DISK_S = 0.1

_MEMORY_LIMIT = 256_000_000
"""The bytes that SQLite may take: a query of a few names, each of which is the one before twice, takes all there are
before its first step, and no handler is called meanwhile."""

_OF_QUERY = (
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISUSE,
)  # fmt: skip
"""The codes of errors that are the query's and not the file's."""


class _Guard:
    """What a query may do, and for how long. `refusal` says why it was stopped."""

    def __init__(self, limits: QueryLimits) -> None:
        self.refusal: QueryRefused | None = None
        self._limits = limits
        self._until_s = time.monotonic() + limits.seconds
        self._folder = _temporary_folder()
        self._least_free = _free_bytes(self._folder) // 2
        self._look_s = 0.0

    def authorize(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """SQLite asks about everything that a statement would do, before it does anything."""
        if action in _READS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second not in _FUNCTIONS_REFUSED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            # Asked for a table-valued function such as pragma_table_info, and never carried out.
            return sqlite3.SQLITE_OK
        word = _WORDS.get(action, "it")
        name = first if action == sqlite3.SQLITE_PRAGMA else second if action == sqlite3.SQLITE_FUNCTION else None
        self.refusal = QueryRefused(f"a query only reads: {f'{word} {name}' if name else word} is refused")
        return sqlite3.SQLITE_DENY

    def stop(self) -> bool:
        """SQLite asks all the time whether to stop."""
        now_s = time.monotonic()
        if now_s > self._until_s:
            self.refusal = took_too_long(self._limits)
        elif now_s > self._look_s:
            self._look_s = now_s + _LOOK_AT_DISK_S
            if _free_bytes(self._folder) < self._least_free:
                self.refusal = QueryRefused(f"the query sorts more than fits into {self._folder}: ask for less")
        return self.refusal is not None


def _temporary_folder() -> str:
    """Where SQLite writes temporary files."""
    folders = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108
    return next((folder for folder in folders if folder and os.access(folder, os.W_OK | os.X_OK)), ".")


def _free_bytes(folder: str) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def ask(raw: sqlite3.Connection, path: Path, sql: str, limits: QueryLimits) -> Answer:
    """The answer to a query on a connection that is for this query alone. Raises QueryRefused, DatabaseError.

    The limit of memory is one of the process, and stays."""
    raw.execute(f"PRAGMA hard_heap_limit={_MEMORY_LIMIT}").close()
    raw.execute("PRAGMA query_only=ON")
    raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT)
    raw.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * QUERY_LIMIT)
    raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    raw.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
    # Text of a damaged file may be anything.
    raw.text_factory = lambda text: text.decode("utf-8", "replace")
    guard = _Guard(limits)
    raw.set_authorizer(guard.authorize)
    raw.set_progress_handler(guard.stop, _STEPS)
    try:
        cursor = raw.execute(sql)
        if cursor.description is None:
            raise QueryRefused("the query gives no rows: it is only a comment")
        return gather((column[0] for column in cursor.description), cursor, limits)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise guard.refusal or _translated(error, path) from error
    except MemoryError:
        raise QueryRefused(f"the query needs more than {_MEMORY_LIMIT // 10**6} MB of memory; ask for less") from None


def _translated(error: Exception, path: Path) -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    if code & 0xFF not in _OF_QUERY:
        return translate(error, path)
    if code == sqlite3.SQLITE_INTERRUPT:
        # Python drops an interrupt by the user within the handler, which then stops the query.
        raise KeyboardInterrupt from error
    if code == sqlite3.SQLITE_TOOBIG:
        return QueryRefused(VALUE_TOO_LARGE)
    if "one statement at a time" in str(error):
        return QueryRefused("the query is more than one statement")
    if "bindings supplied" in str(error):
        return QueryRefused("the query has a parameter, such as ? or :name, and no value for it")
    return QueryRefused(f"{error}{NAMES_SHOWN if 'no such' in str(error) else ''}")
