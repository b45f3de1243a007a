"""Damages lines, as a disk, a program or an attacker might.

Fast enough for millions of lines. The same seed gives the same bytes. Each function damages a line in one way;
`damaged` combines them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

_TEXTS = (
    b"\0", b"\\u0000", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff", b"\xed\xa0\x80",
    b"\xc0\x80", b"\xf5\x80\x80\x80", b"\\ud800", b"\\udc00\\ud800", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":",
    b"\x1b[2J", b"\t", b"\x7f", b"\xe2\x80\xae", b"'", b"//", b"\\u001b", b"e9", b"-", b".",
)  # fmt: skip
"""Inserted at any position."""

_VALUES = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"9" * 400, b"-" + b"9" * 5000,
    b"0." + b"3" * 2000, b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"-1", b"-0", b"0.5",
    b"1e15", b"1000000000", b"1000000001", b"007", b"0x10", b"null", b"true", b"false", b'""', b'" "', b'"1234"',
    b'"\\u0000"', b'"\\ud800"', b'"NaN"', b"[]", b"{}", b"[[]]", b'{"a": 1}', b"[" * 300 + b"]" * 300,
    b"[" * 2000, b'{"a":' * 1500 + b"1" + b"}" * 1500, b'"' + b"x" * 201 + b'"', b'"' + b"x" * 1001 + b'"',
    b'"' + "\u00e9\u2028\U0001f98a".encode() * 60 + b'"', b'"9999-12-31T23:59:59Z"', b'"1969-12-31T23:59:59"',
    b'"2025-11-02T01:30:00.9999999-23:59"', b'"2025-02-30T00:00:00"', b'"<synthetic>"', b'"assistant"', b'"user"',
    b'"019a81ea-e083-7c55-8f02-3a1f0d9c4b11"', b"'a'", b"",
)  # fmt: skip
"""Replace a value."""

_VALUE = re.compile(rb'(?<=:)\s*("(?:[^"\\]|\\.)*"|[-+.\w]+|\[\]|\{\})')
_KEY = re.compile(rb'"\w+"(?=\s*:)')

Damage = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


@lru_cache(maxsize=4096)
def _spans(pattern: re.Pattern[bytes], line: bytes) -> list[tuple[int, int]]:
    return [found.span() for found in pattern.finditer(line)]


def _position(chance: random.Random, line: bytes) -> int:
    return int(chance.random() * len(line))


def _flip(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    at = _position(chance, line)
    return line[:at] + bytes([line[at] ^ 1 << int(chance.random() * 8)]) + line[at + 1 :] if line else line


def _cut(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    return line[: _position(chance, line)]


def _delete(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    at = _position(chance, line)
    return line[:at] + line[at + 1 + int(chance.random() * 40) :]


def _splice(chance: random.Random, line: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return line[: _position(chance, line)] + other[_position(chance, other) :]


def _insert(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    at = _position(chance, line)
    return line[:at] + chance.choice(_TEXTS) + line[at:]


def _replace_value(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    spans = _spans(_VALUE, line)
    if not spans:
        return line
    start, end = chance.choice(spans)
    return line[:start] + chance.choice(_VALUES) + line[end:]


def _swap_values(chance: random.Random, line: bytes, others: Sequence[bytes]) -> bytes:
    """Replace a value by that of another field or line."""
    other = chance.choice(others)
    spans, theirs = _spans(_VALUE, line), _spans(_VALUE, other)
    if not spans or not theirs:
        return line
    (start, end), (begin, stop) = chance.choice(spans), chance.choice(theirs)
    return line[:start] + other[begin:stop] + line[end:]


def _rename_key(chance: random.Random, line: bytes, others: Sequence[bytes]) -> bytes:
    """Replace the name of a field by another, which may then occur twice."""
    other = chance.choice(others)
    spans, theirs = _spans(_KEY, line), _spans(_KEY, other)
    if not spans or not theirs:
        return line
    (start, end), (begin, stop) = chance.choice(spans), chance.choice(theirs)
    return line[:start] + other[begin:stop] + line[end:]


def _repeat_keys(chance: random.Random, line: bytes, others: Sequence[bytes]) -> bytes:
    """Add all fields again, with other values."""
    return line.rstrip()[:-1] + b", " + chance.choice(others).lstrip()[1:]


def _lengthen(chance: random.Random, line: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat a part of the line."""
    at = _position(chance, line)
    return line[:at] + line[at : at + 20] * int(chance.random() * 200) + line[at:]


_DAMAGES: Sequence[Damage] = (
    _flip, _flip, _cut, _delete, _splice, _insert, _insert, _replace_value, _replace_value, _replace_value,
    _swap_values, _swap_values, _rename_key, _repeat_keys, _lengthen,
)  # fmt: skip


def damaged(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """One of the samples with one to three damages. The result may be sound, several lines, or empty."""
    line = chance.choice(samples)
    # Mostly one damage: with more the line is usually not JSON any more, and refused early.
    for _ in range(1 if chance.random() < 0.8 else int(1 + chance.random() * 3)):
        line = chance.choice(_DAMAGES)(chance, line, samples)
    return line
