"""Open what `claude-force import` reads: plain files, gzip files (known by their first bytes) and standard input."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from claude_force.errors import InputError

STDIN, STDIN_NAME = "-", "standard input"
_EXPORT = "import what `claude-force analytics export --format jsonl` writes"
_OTHER_FORMATS = (
    (rb"SQLite format 3\0", "a SQLite database", "look at it with --db, or import its JSONL export"),
    (rb"\[\s*\{", "a JSON array", _EXPORT),
    (rb"timestamp,agent_name,", "a CSV file", _EXPORT),
)
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Input:
    """An open file. `size` is in bytes on disk; None for a stream."""

    name: str
    stream: BinaryIO
    size: int | None
    _raw: BinaryIO

    def position(self) -> int:
        """How many bytes on disk were read; 0 for a stream."""
        return self._raw.tell() if self.size is not None else 0


@contextmanager
def open_input(path: str) -> Iterator[Input]:
    """Open a file, or standard input for "-". Raises InputError, also for a SQLite database, a JSON array or CSV."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("the standard input is closed")
        yield Input(STDIN_NAME, _unzipped(sys.stdin.buffer), None, sys.stdin.buffer)
        return
    try:
        raw = open(path, "rb")  # noqa: SIM115  (closed below; errors of the caller must not be caught here)
        size = Path(path).stat().st_size if raw.seekable() else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    with raw:
        try:
            stream = _unzipped(raw)
            _refuse_other_formats(path, stream)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (EOFError, zlib.error):
            # A broken gzip file is read as far as possible; the rest becomes one rejected line.
            pass
        yield Input(path, stream, size, raw)


def _refuse_other_formats(path: str, stream: BinaryIO) -> None:
    """Raise InputError for a known format that is not JSONL, rather than reject each of its lines."""
    head = stream.peek(200)[:200].lstrip() if isinstance(stream, (io.BufferedReader, gzip.GzipFile)) else b""
    for pattern, kind, remedy in _OTHER_FORMATS:
        if re.match(pattern, head):
            raise InputError(f"{path} is {kind}; {remedy}")


def _unzipped(raw: io.BufferedReader | BinaryIO) -> BinaryIO:
    peeked = raw.peek(2)[:2] if isinstance(raw, io.BufferedReader) else b""
    return gzip.open(raw) if peeked == _GZIP_MAGIC else raw  # type: ignore[return-value]
