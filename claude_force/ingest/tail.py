"""Following files: where to read on, in a file that may have grown, been cut off, rewritten, renamed or replaced.

Two states of a file are the same file as long as its first bytes and those before the place that was read to are the
same; whether it has the same inode says little (see `cursor`). Only whole lines are read: what stands after the last
newline waits for its rest, unless it is a whole object already. A file that is written anew while it is read gives
bytes of both: these become nothing, and the next pass begins anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.jsonl.lines import LINE_LIMIT_BYTES

HASHED_BYTES = 256
_BLOCK_BYTES = 64 * 1024
_INODES = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it stands in its folder. `name` is its path as text that can be stored."""

    path: Path
    name: str
    device: int
    inode: int
    size: int
    mtime_ns: int


def found_file(path: Path, status: os.stat_result | None = None) -> FoundFile:
    """The file of a path. Raises OSError, also for what is no regular file: a pipe would wait for ever."""
    status = status or path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return FoundFile(
        path, storable(path), status.st_dev & _INODES, status.st_ino & _INODES, status.st_size, status.st_mtime_ns
    )


def storable(path: Path) -> str:
    """A path as text that both engines take: bytes that are no UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_unchanged(known: Cursor | None, file: FoundFile) -> bool:
    """Whether nothing can be new in a file since it was read."""
    return (
        known is not None
        and known.problem is None
        and (known.size, known.mtime_ns, known.inode, known.device)
        == (file.size, file.mtime_ns, file.inode, file.device)
    )


def begin(stream: BinaryIO, file: FoundFile, known: Cursor | None, *, host: str, source: str) -> tuple[Cursor, bool]:
    """Place the stream where reading goes on. The cursor to begin with, and whether the file is another one than the
    one that was read before under its name. Raises OSError."""
    if known is not None and _goes_on(stream, known, file.size):
        stream.seek(known.position)
        return replace(known, **_partly(known.position, file), problem=None), False
    stream.seek(0)
    return unread(file, host=host, source=source), known is not None


def unread(file: FoundFile, *, host: str, source: str) -> Cursor:
    """The cursor of a file of which nothing was read."""
    return Cursor(host=host, path=file.name, source=source, position=0, head="", tail="", **_partly(0, file))


def _partly(position: int, file: FoundFile) -> dict[str, Any]:
    """What a cursor says of a file that is not read to its end yet: it must not look like one in which nothing can be
    new, should reading end here."""
    return {"device": file.device, "inode": file.inode, "size": position, "mtime_ns": -1}


def read_whole(cursor: Cursor, file: FoundFile) -> Cursor:
    """The cursor of a file of which everything was read that was whole."""
    return replace(cursor, size=file.size, mtime_ns=file.mtime_ns)


def read_to(lines: WholeLines, cursor: Cursor, position: int) -> Cursor:
    """The cursor after reading to a position. Raises OSError, also where what was read since the cursor may be of two
    files."""
    # Of a file that is shorter than where the cursor stands, all that came after it was read before it was cut off.
    if os.fstat(lines.stream.fileno()).st_size > cursor.position and lines.are_of_another_file():
        raise OSError("written anew while it was read; the next pass reads it from its beginning")
    head, tail = _hashes(lines.stream, position)
    return replace(cursor, position=position, size=max(position, cursor.size), head=head, tail=tail)


def _goes_on(stream: BinaryIO, known: Cursor, size: int) -> bool:
    return size >= known.position and _hashes(stream, known.position) == (known.head, known.tail)


def _hashes(stream: BinaryIO, position: int) -> tuple[str, str]:
    """The hashes of the first bytes, and of those before a position. Does not move the stream."""
    length, descriptor = min(HASHED_BYTES, position), stream.fileno()
    return _hash(os.pread(descriptor, length, 0)), _hash(os.pread(descriptor, length, position - length))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32] if data else ""


@dataclass(slots=True)
class WholeLines:
    """The lines of a file from where it stands to `end`. `size` is that of the file when it was opened, and `begun` are
    the hashes of its first bytes and of its last then."""

    stream: BinaryIO
    left: int
    size: int
    begun: tuple[str, str]

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as the limit allows; empty at the end."""
        data = self.stream.readline(min(limit, self.left))
        self.left -= len(data)
        return data

    def are_of_another_file(self) -> bool:
        """Whether the file no longer begins with what it held when it was opened."""
        return _hashes(self.stream, self.size) != self.begun


def whole_lines(stream: BinaryIO, position: int, size: int) -> WholeLines:
    """The lines of a file that are whole, from a position, where the stream stands. Raises OSError."""
    begun = _hashes(stream, size)
    return WholeLines(stream, _end_of_lines(stream.fileno(), position, size) - position, size, begun)


def _end_of_lines(descriptor: int, position: int, size: int) -> int:
    end = size
    while end > position:
        start = max(position, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    rest = os.pread(descriptor, min(size - end, LINE_LIMIT_BYTES), end)
    # What is a whole object does not begin a longer one.
    return size if rest and len(rest) == size - end and _is_object(rest) else end


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


def renamed(file: FoundFile, known: Cursor) -> Iterator[FoundFile]:
    """Where the file that was read under this name stands now, if it was renamed within its folder (a log that was
    rotated): as long as it still goes on where it was read to."""
    try:
        with os.scandir(file.path.parent) as entries:
            paths = [Path(entry.path) for entry in entries if entry.inode() & _INODES == known.inode]
    except OSError:
        return
    for path in paths:
        try:
            other = found_file(path)
            if other.name == file.name or (other.device, other.inode) != (known.device, known.inode):
                continue
            with path.open("rb") as stream:
                goes_on = _goes_on(stream, known, other.size)
        except OSError:
            continue
        if goes_on and other.size > known.position:
            yield other
