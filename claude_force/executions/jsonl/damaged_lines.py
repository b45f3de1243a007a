"""Find the whole records on a line that is not one JSON object.

Two writers at once, a crash, or a full disk leave lines like these:

| the line                         | what is found in it                                      |
|----------------------------------|----------------------------------------------------------|
| `{record}{record}`               | both                                                     |
| NUL bytes, then `{record}`       | the record; nothing is lost                              |
| `{"sessionId":"1f4c{record}`     | the record, and bytes that are lost: a cut-off record    |
| `{record}"}]},"uuid":"9d2e"}`    | the record, and bytes that are lost: the end of another  |

Nothing is taken from within another record, whole or cut off. An object that is followed by `,`, `]` or `}` may be
nested. So may the last object of a record that was cut off, unless only a record has what it has, and the field that it
stands in never has an object. A record that stands where any object may stand is lost, too: nothing tells it apart.

Nothing else is missed. JSON that was cut off anywhere and goes on with `{"name"` is not in order there, or two bytes
later (it was cut off in a string), or takes the new record for a value, and that is the last one that it has. So every
byte is read about once: the time is linear in the length of the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

TOKENS_LIMIT = 500_000
"""After so many tokens outside of whole records, which take about a second, the rest of a line is lost."""

_DEPTH_LIMIT = 1_000
"""The JSON decoders go about as deep."""

_BEGINNING = re.compile(rb'\{[ \t\r\n]*+["}]')
_LONGEST_BEGINNING = 64
_FILLING = re.compile(rb"(?:[\0 \t\r\n]|\xef\xbb\xbf)*+")
"""What may stand between records: NULs, where a crash left a hole, blanks and byte order marks."""

_GOES_ON = re.compile(rb"[ \t\r\n]*+[,\]}]")
"""What follows a nested object."""

_OPENING, _CLOSING, _COMMA, _STRING, _NAME = range(1, 6)
"""The groups of a token: `_NAME` is the colon behind a string. A number, true, false or null has none."""

_VALUE, _FIRST_ITEM, _KEY, _FIRST_KEY, _COLON, _NEXT = range(6)
"""What comes next."""


@cache
def _token() -> re.Pattern[bytes]:
    """A token of JSON. Compiled at the first damaged line: it takes a millisecond."""
    return re.compile(
        rb"[ \t\r\n]*+(?:([{\[])|([}\]])|(,)|"
        rb'("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")([ \t\r\n]*+:)?'
        rb"|true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
    )


class Part(NamedTuple):
    """A part of a line, from byte `start` to byte `end`: a whole JSON object, or bytes that are lost."""

    start: int
    end: int
    is_whole: bool


class RecordKind(NamedTuple):
    """How to tell a record behind damage from an object that is part of one.

    `is_record` says whether a JSON object has what only a record has. `may_end_in` says whether a record that ends in
    an object below these keys was cut off there, because the field never has such a value.
    """

    is_record: Callable[[bytes], bool]
    may_end_in: Callable[[Sequence[bytes]], bool]


def split_damaged(line: bytes, kind: RecordKind) -> list[Part]:
    """The parts of a line that is not one JSON object, in order, without what only fills it: none if it has NULs and
    blanks alone. Records at its beginning, and behind others, need not be of the kind."""
    splitter = _Splitter(line, kind)
    splitter.split()
    return splitter.parts


def lost_bytes(part: Part, shift: int = 0) -> str:
    """The reason for a part that is lost: `not valid JSON: bytes 0 to 113 of the line are not a whole record`. `shift`
    is where the text that was split begins in its line."""
    first, last = part.start + shift, part.end + shift - 1
    return f"not valid JSON: bytes {first:,} to {last:,} of the line are not a whole record"


@dataclass(slots=True)
class _Splitter:
    """`position` is the end of the last record. What is behind it is `is_damaged` once it has more than filling."""

    line: bytes
    kind: RecordKind
    parts: list[Part] = field(default_factory=list)
    position: int = 0
    is_damaged: bool = False
    _is_certain: bool = True
    _certain_start: int = -1

    def split(self) -> None:
        """Fill `parts`."""
        search, tokens_left = 0, TOKENS_LIMIT
        while tokens_left > 0 and (match := _BEGINNING.search(self.line, search)):
            start = match.start()
            self._pass_filling(start)
            found = _Object(self.line, start)
            found.read(tokens_left)
            if found.is_whole:
                search = found.end
                self._add_if_record(start, found.end)
            else:
                search = _next_beginning(self.line, start + 1, found.end)
                self._add_last_value(start, found, search)
            if self.position < search:
                tokens_left -= found.tokens
        self._pass_filling(len(self.line))
        if self.is_damaged:
            self.parts.append(Part(self.position, len(self.line.rstrip(b" \t\r\n")), False))

    def _pass_filling(self, start: int) -> None:
        if not self.is_damaged:
            filled = _FILLING.match(self.line, self.position)
            end = filled.end() if filled else self.position
            self.is_damaged = end < start
            self._is_certain &= self.line.find(b"\0", self.position, start) < 0

    def _add_if_record(self, start: int, end: int) -> None:
        """Add a whole object, if it is at the boundary of a record."""
        is_certain = self._is_certain and not self.is_damaged
        is_nested = start != self._certain_start and _GOES_ON.match(self.line, end) is not None
        if not (self.is_damaged or is_nested) or (
            (is_certain or not is_nested) and self.kind.is_record(self.line[start:end])
        ):
            self._add(start, end, is_certain=is_certain)
        else:
            self.is_damaged, self._certain_start = True, -1

    def _add_last_value(self, start: int, broken: _Object, following: int) -> None:
        """Add the last value of a broken object, if that is a record: it was cut off where a value was to come."""
        is_certain = start == self._certain_start or (self._is_certain and not self.is_damaged)
        # Here no object can go on with an object: if one begins here, it is a record.
        self.is_damaged, self._certain_start = True, following if is_certain else -1
        if broken.last_value is None or not self.kind.may_end_in(broken.path):
            return
        if self.kind.is_record(self.line[broken.last_value : broken.end]):
            self._add(broken.last_value, broken.end, is_certain=False)

    def _add(self, start: int, end: int, *, is_certain: bool) -> None:
        if self.is_damaged:
            self.parts.append(Part(self.position, start, False))
        self.parts.append(Part(start, end, True))
        self.position, self.is_damaged, self._is_certain, self._certain_start = end, False, is_certain, -1


def _next_beginning(line: bytes, start: int, end: int) -> int:
    """Where to look on behind a broken object that was in order up to `end`: there, or before the `{` of `{"` if that
    ended a string."""
    if line[end - 1 : end] == b'"':
        before = line.rfind(b"{", max(start, end - _LONGEST_BEGINNING), end)
        match = _BEGINNING.match(line, before) if before >= 0 else None
        if match is not None and match.end() == end:
            return before
    return max(start, end)


@dataclass(slots=True)
class _Object:
    """A JSON object as far as it could be read: to `end`, behind its last token that was in order. `last_value` is
    where the last value of a broken one begins, if that is an object and nothing came after it. `is_open` are the
    objects and arrays that are open: where each begins, and its current key (None in an array)."""

    line: bytes
    end: int
    tokens: int = 0
    is_whole: bool = False
    last_value: int | None = None
    is_open: list[tuple[int, bytes | None]] = field(default_factory=list)
    _comes: int = _VALUE

    @property
    def path(self) -> list[bytes]:
        """The keys above the end."""
        return [key for _, key in self.is_open if key is not None]

    def read(self, limit: int) -> None:
        """Read on to the end of the object, to what is not in order, or so many tokens."""
        token = _token()
        while not self.is_whole and self.tokens < limit and (match := token.match(self.line, self.end)):
            self.tokens += 1
            kind = match.lastindex
            if kind == _OPENING:
                is_in_order = self._open(match.end() - 1)
            elif kind == _CLOSING:
                is_in_order = self._close(match[_CLOSING])
            elif kind == _COMMA:
                is_in_order = self._pass_comma()
            elif kind is not None and self._comes in (_KEY, _FIRST_KEY):
                self.is_open[-1] = (self.is_open[-1][0], match[_STRING][1:-1])
                self._comes, is_in_order = _VALUE if kind == _NAME else _COLON, True
            else:
                self._comes, is_in_order = _NEXT, self._comes <= _FIRST_ITEM
            if not is_in_order:
                return
            if kind != _CLOSING:
                self.last_value = None
            self.end = match.end(_STRING) if kind == _NAME and self._comes == _NEXT else match.end()

    def _open(self, start: int) -> bool:
        if self._comes > _FIRST_ITEM or len(self.is_open) >= _DEPTH_LIMIT:
            return False
        is_object = self.line[start : start + 1] == b"{"
        self.is_open.append((start, b"" if is_object else None))
        self._comes = _FIRST_KEY if is_object else _FIRST_ITEM
        return True

    def _close(self, mark: bytes) -> bool:
        if self._comes not in (_NEXT, _FIRST_KEY if mark == b"}" else _FIRST_ITEM):
            return False
        start, key = self.is_open[-1]
        if (mark == b"}") != (key is not None):
            return False
        self.is_open.pop()
        self.last_value = start if mark == b"}" else None
        self.is_whole, self._comes = not self.is_open, _NEXT
        return True

    def _pass_comma(self) -> bool:
        if self._comes != _NEXT:
            return False
        self._comes = _VALUE if self.is_open[-1][1] is None else _KEY
        return True
