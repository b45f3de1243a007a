"""How many equal lines a file had so far, in constant memory.

Two equal lines are two executions, so the second needs an ordinal of its own, however far apart they stand. Identities
begin with the instant and equal lines have equal ones: in a file that is in order of time, only the latest need to be
remembered. Older ones are written to a scratch file, and when the file does go back in time, a scratch database is made
of them to look in.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

from claude_force.errors import InputError

REMEMBERED = 50_000
"""Identities in memory; when they are twice as many, the older half goes to disk."""

_SIZE = 16


class OccurrenceCounter:
    """Counts occurrences of sixteen-byte identities. `asked` is how often it was asked for any."""

    def __init__(self) -> None:
        self.asked = 0
        self._recent: dict[bytes, int] = {}
        self._written: IO[bytes] | None = None
        self._indexed: sqlite3.Connection | None = None
        self._last_on_disk = b""

    def next(self, identity: bytes) -> int:
        """How often an identity was asked for before. Raises InputError where the disk for scratch files is full."""
        self.asked += 1
        ordinal = self._recent.get(identity)
        if ordinal is None:
            if len(self._recent) >= 2 * REMEMBERED:
                self._move_older()
            ordinal = self._on_disk(identity) if identity <= self._last_on_disk else 0
        self._recent[identity] = ordinal + 1
        return ordinal

    def clear(self) -> None:
        """Forget everything."""
        for scratch in (self._written, self._indexed):
            if scratch is not None:
                # What is not written yet is not wanted any more.
                with suppress(OSError):
                    scratch.close()
        self._recent, self._written, self._indexed, self._last_on_disk = {}, None, None, b""

    def _move_older(self) -> None:
        ordered = sorted(self._recent.items())
        older, self._recent = ordered[:REMEMBERED], dict(ordered[REMEMBERED:])
        self._last_on_disk = max(self._last_on_disk, older[-1][0])
        try:
            if self._indexed is not None:
                _index(self._indexed, older)
                return
            if self._written is None:
                self._written = tempfile.TemporaryFile()  # noqa: SIM115  (open until the end)
            # As often as it occurred.
            self._written.write(b"".join([identity * count for identity, count in older]))
        except (OSError, sqlite3.Error) as error:
            raise _no_room(error) from error

    def _on_disk(self, identity: bytes) -> int:
        try:
            if self._indexed is None:
                self._indexed = self._make_index()
            found = self._indexed.execute("SELECT count FROM seen WHERE identity = ?", (identity,)).fetchone()
        except (OSError, sqlite3.Error) as error:
            raise _no_room(error) from error
        return int(found[0]) if found else 0

    def _make_index(self) -> sqlite3.Connection:
        # An empty name is a file of SQLite's own, gone when it is closed.
        index = sqlite3.connect("", isolation_level=None)
        index.execute("PRAGMA journal_mode = OFF")
        index.execute("CREATE TABLE seen (identity BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")
        if self._written is not None:
            self._written.seek(0)
            while part := self._written.read(_SIZE * REMEMBERED):
                identities = (part[place : place + _SIZE] for place in range(0, len(part), _SIZE))
                index.executemany(
                    "INSERT INTO seen VALUES (?, 1) ON CONFLICT (identity) DO UPDATE SET count = count + 1",
                    ((identity,) for identity in identities),
                )
            self._written.close()
            self._written = None
        return index


def _index(index: sqlite3.Connection, counts: Iterable[tuple[bytes, int]]) -> None:
    index.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", counts)


def _no_room(error: Exception) -> InputError:
    return InputError(f"the folder for temporary files cannot hold what this import must remember: {error}")
