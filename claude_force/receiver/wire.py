"""How many messages a body in protobuf has, before it is decoded.

An empty message is two bytes in a body and 64 in memory, so a body of 64 MiB may need 2 GiB. To walk over the bytes
takes longer than to decode them, so only large bodies are counted. The walk knows from the descriptors which fields are
messages; it builds nothing, and ends at the limit.
"""

from __future__ import annotations

import functools
from typing import Any

from claude_force.errors import InvalidBody
from claude_force.receiver.budget import VALUES_LIMIT, too_many_values

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
"""Kinds of fields on the wire. The others begin and end groups, which OTLP does not have."""

_MESSAGE = 11
"""The type of a field that is a message, as descriptors say it."""

_Fields = dict[int, Any]
"""The fields of a message that are messages, by number: their own fields."""


def count_messages(message: Any, body: bytes, limit: int = VALUES_LIMIT) -> int:
    """How many messages are in a body. Raises InvalidBody if they are more than the limit, or the body is no
    protobuf."""
    try:
        return _count(_fields_of(message.DESCRIPTOR), body, limit)
    except IndexError:
        raise InvalidBody("the body is no OTLP in protobuf: it is cut") from None


def _count(fields: _Fields, body: bytes, limit: int) -> int:
    found, position, end = 0, 0, len(body)
    outer: list[tuple[int, _Fields]] = []
    while True:
        while position >= end:
            if position > end or not outer:
                return _whole(found, position, end)
            end, fields = outer.pop()
        tag, position = body[position], position + 1
        if tag > 0x7F:
            tag, position = _varint(body, position - 1)
        kind = tag & 7
        if kind == _BYTES:
            size, position = _varint(body, position)
            inner = fields.get(tag >> 3)
            if inner is None:
                position += size
            else:
                found += 1
                if found > limit:
                    raise too_many_values()
                outer.append((end, fields))
                end, fields = position + size, inner
        elif kind == _VARINT:
            _, position = _varint(body, position)
        elif kind in (_FIXED_64, _FIXED_32):
            position += 8 if kind == _FIXED_64 else 4
        else:
            raise InvalidBody("the body is no OTLP in protobuf: it has a group")


def _whole(found: int, position: int, end: int) -> int:
    if position > end:
        raise IndexError
    return found


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, and the position behind it. Raises IndexError if the body ends within it, or it
    is longer than a number can be."""
    number = 0
    for shift in range(0, 70, 7):
        byte = body[position + shift // 7]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + shift // 7 + 1
    raise IndexError


@functools.cache
def _fields_of(descriptor: Any) -> _Fields:
    known: dict[str, _Fields] = {}

    def fields(kind: Any) -> _Fields:
        # A message may have parts of its own kind.
        if kind.full_name not in known:
            found = known[kind.full_name] = {}
            found.update({part.number: fields(part.message_type) for part in kind.fields if part.type == _MESSAGE})
        return known[kind.full_name]

    return fields(descriptor)
