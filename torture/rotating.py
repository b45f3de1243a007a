"""A file of executions under log rotation: written in pieces, renamed, copied and truncated, replaced.

Every execution has its own `run_id`, and a few are written twice, as two executions. `gone` counts lines that a
rotation removed before they were read; nothing else may be missing in the end.
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
"""The sizes of one write, in bytes."""

_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class _Written(NamedTuple):
    """A line in the file: its execution, and the position of its end."""

    run_id: str
    end: int


@dataclass
class ExecutionsFile:
    """The file that a tracker writes. `written` counts all lines by `run_id`, `gone` those that were possibly removed
    before they were read, and `faults` the rotations."""

    path: Path
    chance: random.Random
    written: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    is_followed: bool = False
    """Whether a whole ingest ran since the last rotation. With two rotations between two ingests the middle file is not
    found (see docs/reference/transcripts.md), so a file is renamed only if this is true."""
    _lines: list[_Written] = field(default_factory=list)
    _pieces: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _number: int = 0

    def write(self) -> bool:
        """Write the next piece. Whether the last line is complete now."""
        piece = next(self._pieces, None)
        if piece is None:
            self._pieces = self._block()
            return True
        with self.path.open("ab") as stream:
            stream.write(piece)
        return False

    def finish(self) -> None:
        """Complete the last line."""
        while not self.write():
            pass

    def missing_before(self, position: int, stored: Counter[str]) -> int:
        """The number of lines before a position that are not stored."""
        read = Counter(line.run_id for line in self._lines if line.end <= position)
        return (read - stored).total()

    def rotate(self, stored: Counter[str]) -> None:
        """Rotate the file in one of four ways. `stored` is a lower bound of the lines that were read: others that are
        removed now may be lost."""
        self.finish()
        if not self.path.exists():
            return
        kinds = [self._rename] if self.is_followed else []
        fault = self.chance.choice([*kinds, self._copy_and_cut, self._cut, self._replace])
        fault(stored)
        self.is_followed = False
        self.faults[fault.__name__.strip("_")] += 1

    def _block(self) -> Iterator[bytes]:
        """Some lines, in pieces of random sizes."""
        data, at = b"", self.path.stat().st_size if self.path.exists() else 0
        for _ in range(self.chance.choice((1, 3, 12, 60))):
            self._number += 1
            run_id = f"{self.path.stem}-{self._number}"
            # A line out of order makes the ingest read everything again. Often that would hide a loss.
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
        """Lines that were not read yet are read from the renamed file."""
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._lines = []

    def _copy_and_cut(self, stored: Counter[str]) -> None:
        shutil.copy(self.path, self.path.with_name(f"{self.path.name}.copy"))
        os.truncate(self.path, 0)
        self._remove_lines(0, stored)

    def _cut(self, stored: Counter[str]) -> None:
        """Truncate after any line, but not between two equal ones."""
        index = self.chance.randrange(len(self._lines)) if self._lines else 0
        while index > 0 and self._lines[index].run_id == self._lines[index - 1].run_id:
            index -= 1
        os.truncate(self.path, self._lines[index - 1].end if index else 0)
        self._remove_lines(index, stored)

    def _replace(self, stored: Counter[str]) -> None:
        """Remove and create the file at once, which gives it the same inode on most file systems."""
        inode = self.path.stat().st_ino
        self.path.unlink()
        self.path.touch()
        self.faults["the same inode again"] += self.path.stat().st_ino == inode
        self._remove_lines(0, stored)

    def _remove_lines(self, index: int, stored: Counter[str]) -> None:
        away = Counter(line.run_id for line in self._lines[index:])
        self._lines = self._lines[:index]
        self.gone += away - stored
