"""Bytes to lines, in constant memory.

Only a newline byte ends a line (text methods also cut at U+2028 and others, in the middle of a JSON string). A line
longer than the limit is skipped, not read into memory, and still has its number and offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LINE_LIMIT_BYTES = 8 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


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


def read_lines(stream: BinaryIO, limit: int = LINE_LIMIT_BYTES) -> Iterator[Line]:
    """The lines of a stream that are not blank; a byte order mark at its very start is left out."""
    number = end = 0
    while data := stream.readline(limit):
        number += 1
        offset, end = end, end + len(data)
        kept, too_long = data, not data.endswith(b"\n") and len(data) == limit
        while not data.endswith(b"\n") and len(data) == limit:
            data = stream.readline(limit)
            end += len(data)
        complete = data.endswith(b"\n")
        content = kept.removeprefix(BOM) if offset == 0 else kept
        content = content.strip(b" \t\r\n")
        if content or too_long:
            yield Line(number, offset, end, content, too_long, complete)
