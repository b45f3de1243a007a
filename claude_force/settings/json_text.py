"""Changes to the text of a JSON document. One value is set or removed; every other character stays as it was written.

A new value is written as its neighbours are: indented as the document is, or on the line that it stands on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_SPACE = re.compile(r"[ \t\r\n]*")
_INDENTATION = re.compile(r"[ \t]*")
_FIRST_INDENTATION = re.compile(r"\n([ \t]+)\S")
_DEFAULT_INDENTATION = "  "
# A number is not converted: Python refuses some that JSON allows.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


class _Member(NamedTuple):
    """A member of an object: its key, and where the key, the value and what follows it begin."""

    key: str
    start: int
    value: int
    end: int


class _Object(NamedTuple):
    """An object: where its braces are, and its members."""

    opening: int
    closing: int
    members: list[_Member]

    def find(self, key: str) -> _Member | None:
        """The member that counts: of several with the same key, the last."""
        return next((member for member in reversed(self.members) if member.key == key), None)


def replaced(text: str, path: Sequence[str], value: object) -> str:
    """The text with a value at a path. Objects that are missing on the way are added at the end of their parent.

    A part of the path that exists before the last, and is no object, is replaced. `text` holds an object. Raises
    ValueError for NaN and Infinity, which JSON does not have.
    """
    found = _object_at(text, _skip(text, 0))
    for depth, key in enumerate(path, start=1):
        member = found.find(key)
        if member is None:
            return _inserted(text, found, key, _nested(path[depth:], value))
        if depth == len(path) or text[member.value] != "{":
            new = _written(text, member.start, _nested(path[depth:], value))
            return text[: member.value] + new + text[member.end :]
        found = _object_at(text, member.value)
    raise AssertionError("a path has at least one part")


def removed(text: str, path: Sequence[str]) -> str:
    """The text without the value at a path; the same text if there is none."""
    found = _object_at(text, _skip(text, 0))
    for key in path[:-1]:
        member = found.find(key)
        if member is None or text[member.value] != "{":
            return text
        found = _object_at(text, member.value)
    for index in reversed(range(len(found.members))):
        if found.members[index].key == path[-1]:
            text = _without(text, found, index)
            del found.members[index]
    return text


def _without(text: str, found: _Object, index: int) -> str:
    """The text without one member of an object."""
    members = found.members
    if index:
        return text[: members[index - 1].end] + text[members[index].end :]
    if len(members) > 1:
        return text[: members[0].start] + text[members[1].start :]
    # Later members are gone already, so the old position of the closing brace is not used.
    return text[: found.opening + 1] + text[_skip(text, members[0].end) :]


def _object_at(text: str, opening: int) -> _Object:
    assert text[opening] == "{"
    members = []
    at = _skip(text, opening + 1)
    while text[at] != "}":
        start = at
        key, at = _DECODER.raw_decode(text, start)
        value = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value)
        members.append(_Member(key, start, value, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return _Object(opening, at, members)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _nested(path: Sequence[str], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _inserted(text: str, found: _Object, key: str, value: object) -> str:
    """The text with a new member at the end of an object."""
    if found.members:
        last = found.members[-1]
        between = f",{_line_break(text, last.start)}" if _begins_line(text, last.start) else f",{_gap(text)}"
        return text[: last.end] + between + _member(text, last.start, key, value) + text[last.end :]
    if _is_one_line(text):
        return text[: found.opening + 1] + _member(text, found.opening, key, value) + text[found.closing :]
    outer = _line_break(text, found.opening)
    inner = outer + _unit(text)
    written = f"{_dumped(text, key, None)}: {_dumped(text, value, inner)}"
    return text[: found.opening + 1] + inner + written + outer + text[found.closing :]


def _member(text: str, neighbour: int, key: str, value: object) -> str:
    return f"{_dumped(text, key, None)}:{_gap(text)}{_written(text, neighbour, value)}"


def _written(text: str, start: int, value: object) -> str:
    """A value of a member that starts at a position, or next to it: on one line if the member shares its line."""
    return _dumped(text, value, _line_break(text, start) if _begins_line(text, start) else None)


def _dumped(text: str, value: object, line_break: str | None) -> str:
    """A value as JSON, its further lines after `line_break`; None: on one line."""
    options: dict[str, Any] = {"allow_nan": False}
    if line_break is None:
        options["separators"] = (f",{_gap(text)}", f":{_gap(text)}")
    else:
        options["indent"] = _unit(text)
    try:
        found = json.dumps(value, ensure_ascii=False, **options)
        found.encode()
    except UnicodeEncodeError:
        # A lone surrogate, which UTF-8 cannot encode.
        found = json.dumps(value, **options)
    return found if line_break is None else found.replace("\n", line_break)


def _line_break(text: str, at: int) -> str:
    """A line break with the indentation of the line at a position."""
    found = _INDENTATION.match(text, text.rfind("\n", 0, at) + 1)
    assert found is not None
    return ("\r\n" if "\r\n" in text else "\n") + found[0]


def _begins_line(text: str, at: int) -> bool:
    """Whether only spaces are before a position on its line, which is not the first line."""
    before = text.rfind("\n", 0, at)
    return before >= 0 and not text[before:at].strip()


def _is_one_line(text: str) -> bool:
    """Whether a document with content is on one line."""
    return "\n" not in text.strip() and text.split() not in (["{}"], ["{", "}"])


def _unit(text: str) -> str:
    """The indentation of one level."""
    found = _FIRST_INDENTATION.search(text)
    return found[1] if found else _DEFAULT_INDENTATION


def _gap(text: str) -> str:
    """What follows a comma or colon on one line: nothing in a compact document."""
    return "" if _is_one_line(text) and '": ' not in text else " "
