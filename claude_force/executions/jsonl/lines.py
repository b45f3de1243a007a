"""Bytes to lines, in constant memory.

Only a newline byte ends a line (text methods also cut at U+2028 and others, in the middle of a JSON string). A line
longer than the limit is skipped, not read into memory, and still has its number and offset.

Lines come by the chunk, as they are: where one stands, and what it holds without its ends, is worked out for those few
that somebody asks about.
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
"""A chunk ends when it holds more."""

READ_ERRORS = (OSError, EOFError, zlib.error)
"""What a file that cannot be read on raises; the last two are of archives."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank. `offset` is where it begins, `end` where the next one does. `data` has no line end;
    of a line over the limit it is the beginning, and `too_long` is set. `complete` is false without a newline."""

    number: int
    offset: int
    end: int
    data: bytes
    too_long: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of a stream, the first of which has `number` and begins at `offset`. `raw` are their bytes, line ends and
    blank lines included; of a last line over the limit the beginning, and `skipped` and `ended` tell of the rest."""

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

    def lines(self, places: Iterable[int]) -> Iterator[tuple[int, Line | None]]:
        """Place and line of each of some places in `raw`, ascending; None for a blank line."""
        offsets = list(accumulate(map(len, self.raw), initial=self.offset))
        for place in places:
            data, offset = self.raw[place], offsets[place]
            complete = data.endswith(b"\n")
            too_long = not complete and len(data) == self.limit
            content = (data.removeprefix(BOM) if offset == 0 else data).strip(b" \t\r\n")
            if not (content or too_long):
                yield place, None
            elif too_long:
                yield place, Line(self.number + place, offset, self.end, content, True, self.ended)
            else:
                yield place, Line(self.number + place, offset, offsets[place + 1], content, False, complete)


class Lines(Protocol):
    """What lines can be read from."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as the limit allows; empty at the end."""


def read_chunks(
    stream: Lines, size: int, limit: int = LINE_LIMIT_BYTES, *, number: int = 1, offset: int = 0
) -> Iterator[Chunk]:
    """Everything in a stream, in chunks of at most `size` lines; `number` and `offset` are those of its first line.
    Raises one of READ_ERRORS where it cannot be read on, after what came before."""
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
                chunk = Chunk(number, offset, raw, limit, *_skip(stream, limit))
            except READ_ERRORS:
                yield Chunk(number, offset, raw[:-1], limit)
                raise
        yield chunk
        number, offset = number + len(raw), chunk.end


def _skip(stream: Lines, limit: int) -> tuple[int, bool]:
    """Read to the end of a line: how many bytes there were, and whether it has one."""
    skipped = 0
    while data := stream.readline(limit):
        skipped += len(data)
        if data.endswith(b"\n"):
            return skipped, True
    return skipped, False
