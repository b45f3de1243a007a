"""Split a stream into lines, in constant memory.

Only a newline byte ends a line; `str.splitlines` would also split at U+2028, which may be inside a JSON string. A line
over the limit is not read into memory, and still has its number and offset.

Lines come in chunks of raw bytes. Number, offset and stripped content are computed only for the few lines that need
them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from typing import Protocol

LINE_LIMIT_BYTES = 8 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
CHUNK_BYTES = 16 * 1024 * 1024
"""A chunk ends once it holds more than this."""

READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a broken file raises; the last two come from gzip."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank. `offset` is where it begins, `start` where `data` begins in it (behind blanks), `end`
    where the next line does. `data` has no line end. If the line is over the limit, `too_long` is set and `data` is its
    beginning. `complete` is False without a newline."""

    number: int
    offset: int
    start: int
    end: int
    data: bytes
    too_long: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive lines. The first has `number` and begins at `offset`. `raw` has the bytes of each, with line ends,
    blank lines included. If the last line is over the limit, `raw` has its beginning, `skipped` is the number of bytes
    after that, and `ended` says whether it ended in a newline."""

    number: int
    offset: int
    raw: list[bytes]
    limit: int
    skipped: int = 0
    ended: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether the last line is over the limit."""
        return bool(self.raw) and len(self.raw[-1]) == self.limit and not self.raw[-1].endswith(b"\n")

    @property
    def end(self) -> int:
        """Where the next chunk begins."""
        return self.offset + sum(map(len, self.raw)) + self.skipped

    def lines(self, indexes: Iterable[int]) -> Iterator[tuple[int, Line | None]]:
        """Index and line for each of these indexes in `raw`; None for a blank line."""
        offsets = list(accumulate(map(len, self.raw), initial=self.offset))
        for index in indexes:
            data, offset = self.raw[index], offsets[index]
            complete = data.endswith(b"\n")
            too_long = not complete and len(data) == self.limit
            content = (data.removeprefix(BOM) if offset == 0 else data).strip(b" \t\r\n")
            start = data.index(content)
            if not (content or too_long):
                yield index, None
            elif too_long:
                yield index, Line(self.number + index, offset, start, self.end, content, True, self.ended)
            else:
                yield index, Line(self.number + index, offset, start, offsets[index + 1], content, False, complete)


class Lines(Protocol):
    """A stream with `readline`, such as a file opened in binary mode."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or its first `limit` bytes; empty at the end."""


def read_chunks(
    stream: Lines, size: int, limit: int = LINE_LIMIT_BYTES, *, number: int = 1, offset: int = 0
) -> Iterator[Chunk]:
    """Split a stream into chunks of at most `size` lines. `number` and `offset` are those of its first line. Raises one
    of READ_ERRORS if reading fails, after the lines before that."""
    lines = iter(partial(stream.readline, limit), b"")
    while True:
        raw: list[bytes] = []
        held = 0
        try:
            for data in islice(lines, size):
                raw.append(data)
                held += len(data)
                if held > CHUNK_BYTES or len(data) == limit:
                    break
        except READ_ERRORS:
            if raw:
                yield Chunk(number, offset, raw, limit)
            raise
        if not raw:
            return
        chunk = Chunk(number, offset, raw, limit)
        if chunk.is_cut:
            try:
                chunk = Chunk(number, offset, raw, limit, *_skip_line(stream, limit))
            except READ_ERRORS:
                yield Chunk(number, offset, raw[:-1], limit)
                raise
        yield chunk
        number, offset = number + len(raw), chunk.end


def _skip_line(stream: Lines, limit: int) -> tuple[int, bool]:
    """Read to the end of a line. Returns how many bytes that were, and whether it ended in a newline."""
    skipped = 0
    while data := stream.readline(limit):
        skipped += len(data)
        if data.endswith(b"\n"):
            return skipped, True
    return skipped, False
