"""Open what `claude-force import` reads: plain files, gzip files (known by their first bytes) and standard input."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from claude_force.errors import InputError
from claude_force.executions.jsonl.lines import LINE_LIMIT_BYTES, READ_ERRORS

STDIN, STDIN_NAME = "-", "standard input"
_GZIP_MAGIC = b"\x1f\x8b"
_PEEKED_BYTES = 16 * 1024 * 1024
"""No more than this is read of the first lines, whatever they are."""


class _Stream:
    """A stream that cannot go back. Lines that were looked at can be put back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def readline(self, limit: int, /) -> bytes:
        """The next line, or its first `limit` bytes; empty at the end."""
        return self._lines.pop() if self._lines else self._stream.readline(limit)

    def put_back(self, lines: Sequence[bytes]) -> None:
        """Read these lines again, as they were read."""
        self._lines += reversed(lines)


@dataclass(frozen=True, slots=True)
class Input:
    """An open file. `size` is in bytes on disk; None for a stream. `is_packed` says that gzip packed it."""

    name: str
    stream: BinaryIO | _Stream
    size: int | None
    is_packed: bool
    _raw: BinaryIO

    def position(self) -> int:
        """How many bytes on disk were read; 0 for a stream."""
        return self._raw.tell() if self.size is not None else 0

    def first_lines(self, number: int) -> list[bytes]:
        """The first lines that are not blank, fewer if they are long or the file cannot be read; they are read again
        afterwards."""
        read: list[bytes] = []
        found: list[bytes] = []
        with suppress(*READ_ERRORS):
            while len(found) < number and sum(map(len, read)) < _PEEKED_BYTES:
                line = self.stream.readline(LINE_LIMIT_BYTES)
                if not line:
                    break
                read.append(line)
                if not line.isspace():
                    found.append(line)
        if isinstance(self.stream, _Stream):
            self.stream.put_back(read)
        else:
            self.stream.seek(0)
        return found


@contextmanager
def open_input(path: str) -> Iterator[Input]:
    """Open a file, or standard input for "-". Raises InputError."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("the standard input is closed")
        stream, is_packed = _unpacked(sys.stdin.buffer)
        yield Input(STDIN_NAME, _Stream(stream), None, is_packed, sys.stdin.buffer)
        return
    try:
        raw = open(path, "rb")  # noqa: SIM115  (closed below; errors of the caller must not be caught here)
        size = Path(path).stat().st_size if raw.seekable() else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    with raw:
        try:
            stream, is_packed = _unpacked(raw)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        yield Input(path, _Stream(stream) if size is None else stream, size, is_packed, raw)


def _unpacked(raw: io.BufferedReader | BinaryIO) -> tuple[BinaryIO, bool]:
    """What to read, and whether gzip packed it."""
    peeked = raw.peek(2)[:2] if isinstance(raw, io.BufferedReader) else b""
    return (gzip.open(raw), True) if peeked == _GZIP_MAGIC else (raw, False)  # type: ignore[return-value]
