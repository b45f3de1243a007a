"""How often each line of a file has occurred so far, in constant memory.

Two equal lines are two executions, so the second one needs an ordinal of its own, however far apart they stand. An
identity begins with the instant, and equal lines have equal identities: in a file in order of time it is enough to
remember the latest ones. Older identities are appended to a scratch file. When the file does go back in time, they are
loaded into a temporary table and looked up there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from claude_force.database.sqlite.count_table import CountTable
from claude_force.errors import DatabaseError, InputError

REMEMBERED = 50_000
"""Identities kept in memory: when there are twice as many, the older half moves to the disk."""

_IDENTITY_BYTES = 16


class OccurrenceCounter:
    """Counts occurrences of sixteen-byte identities. `asked` is the number of all calls of `increment`."""

    def __init__(self) -> None:
        self.asked = 0
        self._recent: dict[bytes, int] = {}
        self._written: IO[bytes] | None = None
        self._table: CountTable | None = None
        self._last_on_disk = b""

    def increment(self, identity: bytes) -> int:
        """Count an occurrence; returns the number of earlier ones. Raises InputError if the disk for scratch files is
        full."""
        self.asked += 1
        ordinal = self._recent.get(identity)
        if ordinal is None:
            if len(self._recent) >= 2 * REMEMBERED:
                self._move_older()
            ordinal = self._count_on_disk(identity) if identity <= self._last_on_disk else 0
        self._recent[identity] = ordinal + 1
        return ordinal

    def increment_all(self, identities: Sequence[bytes]) -> list[int]:
        """`increment` for many identities, in their order."""
        new = dict.fromkeys(identities, 1)
        is_first = len(new) == len(identities) and self._recent.keys().isdisjoint(new)
        if not (is_first and identities and min(new) > self._last_on_disk):
            return [self.increment(identity) for identity in identities]
        self.asked += len(new)
        self._recent |= new
        while len(self._recent) > 2 * REMEMBERED:
            self._move_older()
        return [0] * len(new)

    def clear(self) -> None:
        """Forget everything."""
        for scratch in (self._written, self._table):
            if scratch is not None:
                # Bytes that are still buffered are not needed any more.
                with suppress(OSError):
                    scratch.close()
        self._recent, self._written, self._table, self._last_on_disk = {}, None, None, b""

    def _move_older(self) -> None:
        ordered = sorted(self._recent.items())
        older, self._recent = ordered[:REMEMBERED], dict(ordered[REMEMBERED:])
        self._last_on_disk = max(self._last_on_disk, older[-1][0])
        try:
            if self._table is not None:
                self._table.set(older)
                return
            if self._written is None:
                self._written = tempfile.TemporaryFile()  # noqa: SIM115  (open until the end)
            # Each identity as often as it occurred.
            self._written.write(b"".join([identity * count for identity, count in older]))
        except (OSError, DatabaseError) as error:
            raise _no_room(error) from error

    def _count_on_disk(self, identity: bytes) -> int:
        try:
            if self._table is None:
                self._table = self._load_table()
            return self._table.get(identity)
        except (OSError, DatabaseError) as error:
            raise _no_room(error) from error

    def _load_table(self) -> CountTable:
        """A table of the identities in the scratch file, which is closed."""
        table = CountTable()
        if self._written is not None:
            self._written.seek(0)
            while part := self._written.read(_IDENTITY_BYTES * REMEMBERED):
                table.increment(part[start : start + _IDENTITY_BYTES] for start in range(0, len(part), _IDENTITY_BYTES))
            self._written.close()
            self._written = None
        return table


def _no_room(error: Exception) -> InputError:
    return InputError(f"the folder for temporary files cannot hold what this import must remember: {error}")
