"""Counts by key in a temporary SQLite file: for more keys than fit in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from claude_force.errors import DatabaseError


class CountTable:
    """A count for each key of bytes. The file is SQLite's own and gone when it is closed. Every method raises
    DatabaseError, for example when the disk is full."""

    def __init__(self) -> None:
        with _translated():
            # An empty name is a temporary file.
            self._raw = sqlite3.connect("", isolation_level=None)
            self._raw.execute("PRAGMA journal_mode = OFF")
            self._raw.execute("CREATE TABLE counts (key BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")

    def get(self, key: bytes) -> int:
        """The count of a key; 0 for a new one."""
        with _translated():
            row = self._raw.execute("SELECT count FROM counts WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def set(self, counts: Iterable[tuple[bytes, int]]) -> None:
        """Store the counts of some keys, in place of earlier ones."""
        with _translated():
            self._raw.executemany("INSERT OR REPLACE INTO counts VALUES (?, ?)", counts)

    def increment(self, keys: Iterable[bytes]) -> None:
        """Add one to the count of a key, each time that it occurs in `keys`."""
        sql = "INSERT INTO counts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1"
        with _translated():
            self._raw.executemany(sql, ((key,) for key in keys))

    def close(self) -> None:
        """Delete the file."""
        with _translated():
            self._raw.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(str(error)) from error
