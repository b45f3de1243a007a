"""A file of executions as programs and log rotation treat it: written in pieces, renamed, copied and cut off, replaced.

Every execution has a `run_id` of its own, and a few stand there twice, as two executions. What a rotation takes away
before it was read is counted in `gone`, and nothing else may be missing in the end.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from tests.builders import a_line

_PIECES = (1, 7, 60, 400, 3000)
"""Bytes of one write."""

_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class _Written(NamedTuple):
    """A line that stands in the file: its execution, and where it ends."""

    run_id: str
    end: int


@dataclass
class ExecutionsFile:
    """The file that a tracker writes. `written` are the executions by how often they stand in it or stood there; `gone`
    those that were taken away before they were read, or may have been; `faults` counts what was done to the file."""

    path: Path
    chance: random.Random
    written: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    is_followed: bool = False
    """Whether a whole pass was made since the last fault. Of two rotations between two passes the file in the middle is
    not found (see docs/reference/transcripts.md), so that only a file that is followed is renamed."""
    _lines: list[_Written] = field(default_factory=list)
    _pieces: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _number: int = 0

    def write(self) -> bool:
        """The next piece; whether a line is whole now."""
        piece = next(self._pieces, None)
        if piece is None:
            self._pieces = self._block()
            return True
        with self.path.open("ab") as stream:
            stream.write(piece)
        return False

    def finish(self) -> None:
        """Write what was begun."""
        while not self.write():
            pass

    def missing_before(self, position: int, stored: Counter[str]) -> int:
        """How many lines before a position of the file are not stored."""
        read = Counter(line.run_id for line in self._lines if line.end <= position)
        return (read - stored).total()

    def rotate(self, stored: Counter[str]) -> None:
        """Do to the file what rotation does. `stored` is what was read of it at the least: the rest of what is taken
        away now may never be."""
        self.finish()
        if not self.path.exists():
            return
        kinds = [self._rename] if self.is_followed else []
        fault = self.chance.choice([*kinds, self._copy_and_cut, self._cut, self._replace])
        fault(stored)
        self.is_followed = False
        self.faults[fault.__name__.strip("_")] += 1

    def _block(self) -> Iterator[bytes]:
        """Some lines, in pieces of any size."""
        data, at = b"", self.path.stat().st_size if self.path.exists() else 0
        for _ in range(self.chance.choice((1, 3, 12, 60))):
            self._number += 1
            run_id = f"{self.path.stem}-{self._number}"
            # One that comes late has all be read again; often that would make up for what was lost.
            seconds = self._number - 500 * (self.chance.random() < 0.001)
            moment = _START + timedelta(seconds=seconds)
            line = a_line(run_id=run_id, timestamp=moment.isoformat(), error_type="é" * self.chance.randrange(1, 90))
            copies = 1 + (self.chance.random() < 0.01)
            for _ in range(copies):
                data += line
                self._lines.append(_Written(run_id, at + len(data)))
            self.written[run_id] += copies
        while data:
            size = self.chance.choice(_PIECES)
            yield data[:size]
            data = data[size:]

    def _rename(self, _: Counter[str]) -> None:
        """What was not read of it yet is read from where it stands now."""
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._lines = []

    def _copy_and_cut(self, stored: Counter[str]) -> None:
        shutil.copy(self.path, self.path.with_name(f"{self.path.name}.copy"))
        os.truncate(self.path, 0)
        self._take_away(0, stored)

    def _cut(self, stored: Counter[str]) -> None:
        """After any line, but not between two that are equal."""
        place = self.chance.randrange(len(self._lines)) if self._lines else 0
        while place > 0 and self._lines[place].run_id == self._lines[place - 1].run_id:
            place -= 1
        os.truncate(self.path, self._lines[place - 1].end if place else 0)
        self._take_away(place, stored)

    def _replace(self, stored: Counter[str]) -> None:
        """Removed and made again at once, which gives it the same inode on most file systems."""
        inode = self.path.stat().st_ino
        self.path.unlink()
        self.path.touch()
        self.faults["the same inode again"] += self.path.stat().st_ino == inode
        self._take_away(0, stored)

    def _take_away(self, place: int, stored: Counter[str]) -> None:
        away = Counter(line.run_id for line in self._lines[place:])
        self._lines = self._lines[:place]
        self.gone += away - stored
