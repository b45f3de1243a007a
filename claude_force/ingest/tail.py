"""Read what is new in a file.

| since the last read                          | what is read                                          |
|----------------------------------------------|-------------------------------------------------------|
| lines were appended                          | the new lines                                         |
| it was truncated, rewritten or replaced      | all of it                                             |
| it was renamed, and a new file took its name | the rest of the renamed file, then all of the new one |

A file continues the one that was read if its first bytes, and the bytes before the position that was reached, are the
same. Its inode decides nothing, because file systems reuse inodes.

Only whole lines are read. Text after the last newline is left for the next time, unless it is a whole JSON object. If a
file is rewritten while it is read, the bytes may be of both versions: `Tail.advance` raises, and the next pass reads
the file from its beginning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.jsonl.damaged_lines import RecordKind, split_damaged
from claude_force.executions.jsonl.lines import LINE_LIMIT_BYTES, Lines
from claude_force.ingest.find_files import INODE_MASK, FoundFile, found_file

HASHED_BYTES = 256
_BLOCK_BYTES = 64 * 1024
_BUFFER_BYTES = 128 * 1024
"""Reading with Python's default of 8 KiB takes three times as long."""

_NOTHING = RecordKind(lambda _data: False, lambda _path: False)
"""No record is taken from behind damage: the rest of a line that still grows may show that it is a part of one."""

_Fingerprint = tuple[str, str]
"""Hashes of the first bytes of a file, and of the bytes before a position."""


def is_unchanged(known: Cursor | None, file: FoundFile) -> bool:
    """Whether a file was read to its end and has not changed since."""
    return (
        known is not None
        and known.problem is None
        and (known.size, known.mtime_ns, known.inode, known.device)
        == (file.size, file.mtime_ns, file.inode, file.device)
    )


def unread(file: FoundFile, *, host: str, source: str) -> Cursor:
    """The cursor of a file before anything is read."""
    return Cursor(host=host, path=file.name, source=source, position=0, head="", tail="", **_partly_read(0, file))


def _partly_read(position: int, file: FoundFile) -> dict[str, Any]:
    """The fields by which `is_unchanged` tells that a file was not read to its end, should reading stop here."""
    return {"device": file.device, "inode": file.inode, "size": position, "mtime_ns": -1}


@dataclass(slots=True)
class Tail:
    """The unread whole lines of an open file. `cursor` says how far it was read, and moves with `advance` and `finish`.
    `renamed` are the files to read first, each with its cursor: they had this file's name when they were last read."""

    stream: BinaryIO
    file: FoundFile
    cursor: Cursor
    renamed: list[tuple[FoundFile, Cursor]] = field(default_factory=list)
    _unread_bytes: int = 0
    _fingerprint: _Fingerprint = ("", "")

    def __post_init__(self) -> None:
        position, size = self.cursor.position, self.file.size
        self.stream.seek(position)
        self._fingerprint = _fingerprint(self.stream, size)
        self._unread_bytes = _end_of_whole_lines(self.stream.fileno(), position, size) - position

    def rest(self) -> Lines:
        """What is not read yet: in memory if it is less than the longest line. Raises OSError."""
        if self._unread_bytes >= LINE_LIMIT_BYTES:
            return self
        return BytesIO(self.stream.read(self._unread_bytes))

    def readline(self, limit: int, /) -> bytes:
        """The next line, or its first `limit` bytes; empty at the end. Raises OSError."""
        data = self.stream.readline(min(limit, self._unread_bytes))
        self._unread_bytes -= len(data)
        return data

    def advance(self, position: int, **counts: Any) -> Cursor:
        """The cursor after reading to a position; `counts` are other fields of it to change. Raises OSError, also where
        the file was rewritten since it was opened."""
        # In a file that is now shorter than the last position, everything up to here was read before it was truncated.
        is_longer = os.fstat(self.stream.fileno()).st_size > self.cursor.position
        if is_longer and _fingerprint(self.stream, self.file.size) != self._fingerprint:
            raise OSError("rewritten while it was read; the next pass reads it from its beginning")
        head, tail = _fingerprint(self.stream, position)
        size = max(position, self.cursor.size)
        self.cursor = replace(self.cursor, position=position, size=size, head=head, tail=tail, **counts)
        return self.cursor

    def finish(self) -> Cursor:
        """The cursor after reading every whole line. Raises OSError, like `advance`."""
        self.advance(self.cursor.position)
        self.cursor = replace(self.cursor, size=self.file.size, mtime_ns=self.file.mtime_ns)
        return self.cursor

    def from_beginning(self) -> Tail:
        """The same file with nothing read. Raises OSError."""
        return Tail(self.stream, self.file, unread(self.file, host=self.cursor.host, source=self.cursor.source))


@contextmanager
def resume(file: FoundFile, known: Cursor | None, *, host: str, source: str) -> Iterator[Tail]:
    """Open a file where the last read stopped (`known`; None: it was never read), or at its beginning if it is another
    file by now. `host` and `source` are those of a new cursor. Raises OSError."""
    with file.path.open("rb", _BUFFER_BYTES) as stream:
        # It may have changed since it was found.
        file = found_file(file.path, os.fstat(stream.fileno()))
        if known is None:
            yield Tail(stream, file, unread(file, host=host, source=source))
        elif _is_continuation(stream, known, file.size):
            yield Tail(stream, file, replace(known, **_partly_read(known.position, file), problem=None))
        else:
            yield Tail(stream, file, unread(file, host=host, source=source), list(_renamed(file, known)))


def _renamed(file: FoundFile, known: Cursor) -> Iterator[tuple[FoundFile, Cursor]]:
    """The file that was read under this name, if it was renamed within its folder (log rotation) and has grown."""
    try:
        with os.scandir(file.path.parent) as entries:
            paths = [Path(entry.path) for entry in entries if entry.inode() & INODE_MASK == known.inode]
    except OSError:
        return
    for path in paths:
        try:
            other = found_file(path)
            if other.name == file.name or (other.device, other.inode) != (known.device, known.inode):
                continue
            with path.open("rb") as stream:
                is_continuation = _is_continuation(stream, known, other.size)
        except OSError:
            continue
        if is_continuation and other.size > known.position:
            yield other, replace(known, path=other.name)


def _is_continuation(stream: BinaryIO, known: Cursor, size: int) -> bool:
    return size >= known.position and _fingerprint(stream, known.position) == (known.head, known.tail)


def _fingerprint(stream: BinaryIO, position: int) -> _Fingerprint:
    """Does not move the stream."""
    length, descriptor = min(HASHED_BYTES, position), stream.fileno()
    return _hash(os.pread(descriptor, length, 0)), _hash(os.pread(descriptor, length, position - length))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32] if data else ""


def _end_of_whole_lines(descriptor: int, position: int, size: int) -> int:
    end = _after_last_newline(descriptor, position, size)
    rest = os.pread(descriptor, min(size - end, LINE_LIMIT_BYTES), end)
    # A whole object cannot be the beginning of a longer one.
    return size if rest and len(rest) == size - end and _has_objects_alone(rest) else end


def _after_last_newline(descriptor: int, position: int, size: int) -> int:
    """The position after the last newline; `position` where there is none after it."""
    end = size
    while end > position:
        start = max(position, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return end


def _has_objects_alone(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        parts = [] if b"\0" in data else split_damaged(data, _NOTHING)
        return bool(parts) and all(part.is_whole for part in parts)
