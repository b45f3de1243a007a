"""Connections to a server whose values are ours, and many values as one.

| value             | on the server                                                                              |
|-------------------|--------------------------------------------------------------------------------------------|
| bytes             | `uuid`: a uid, as everywhere in the program                                                |
| int               | `bigint`, whatever its size: a statement has the same types each time and is prepared once |
| a column of values | an array, which `unnest` makes rows of                                                    |
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.raw_cursor import RawCursor, RawServerCursor
from psycopg.types.numeric import Int8Dumper
from psycopg.waiting import Ready

from claude_force.errors import DatabaseError

Cursor = psycopg.Cursor[tuple[Any, ...]]

R = TypeVar("R")

COMMIT_S = 60.0
"""How long the answer to a commit is waited for. Without its synchronous standby a server never gives one."""

_UUID_OID = 2950


class _UidDumper(Dumper):
    """A uid as the server's uuid."""

    format = Format.BINARY
    oid = _UUID_OID

    def dump(self, obj: bytes) -> Buffer:
        return obj


class _UidLoader(Loader):
    """The server's uuid as a uid."""

    def load(self, data: Buffer) -> bytes:
        return bytes.fromhex(bytes(data).decode().replace("-", ""))


class _BinaryUidLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Raw(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up waiting for answers of the server where that is asked for."""

    prepared: dict[str, bytes]
    """The names of the statements that `pipeline` has prepared on it."""

    _ends_s: float | None = None

    def wait(self, gen: PQGen[R], *arguments: Any, **options: Any) -> R:
        """As psycopg's, for everything that the server answers."""
        return super().wait(gen if self._ends_s is None else self._until(gen, self._ends_s), *arguments, **options)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """For the block, wait `COMMIT_S` at most. Then the connection is closed, and psycopg.OperationalError raised:
        whether the server has committed is not known."""
        self._ends_s = time.monotonic() + COMMIT_S
        try:
            yield
        finally:
            self._ends_s = None

    def _until(self, gen: PQGen[R], ends_s: float) -> PQGen[R]:
        ready: Any = None
        while True:
            try:
                waits_for = gen.send(ready)
            except StopIteration as done:
                result: R = done.value
                return result
            # psycopg says ten times a second that nothing is ready.
            ready = yield waits_for
            if ready == Ready.NONE and time.monotonic() > ends_s:
                self.close()
                raise psycopg.OperationalError(
                    f"no answer to a commit within {COMMIT_S:.0f} s; a server that replicates synchronously waits for "
                    "its standby"
                )


def connect(options: Mapping[str, Any]) -> Raw:
    """A new connection in autocommit mode. Its statements have the marks $1, $2 ... Raises psycopg.Error."""
    raw = Raw.connect(**options, autocommit=True, cursor_factory=RawCursor)
    raw.server_cursor_factory = RawServerCursor
    raw.prepared = {}
    raw.adapters.register_dumper(bytes, _UidDumper)
    raw.adapters.register_dumper(int, Int8Dumper)
    raw.adapters.register_loader("uuid", _UidLoader)
    raw.adapters.register_loader("uuid", _BinaryUidLoader)
    return raw


_ARRAYS: dict[type, str] = {int: "bigint[]", str: "text[]", bytes: "uuid[]", float: "float8[]"}


def array_of(values: Sequence[Any]) -> tuple[str, str] | None:
    """Values of one type, or None, as the text of an array, and the type of the array. None if all of them are None.

    Written here, since the driver takes ten times as long for each value."""
    kinds = {_stored_as(kind) for kind in set(map(type, values)) - {type(None)}}
    if not kinds:
        return None
    kind = float if kinds == {int, float} else kinds.pop()
    if kinds - {int, float}:
        raise DatabaseError("values of several types cannot be in one column")
    has_null = None in values
    if kind is str:
        items = _quoted([value or "" for value in values] if has_null else values)
    elif kind is bytes:
        items = [value.hex() if value else "" for value in values]
    else:
        items = list(map(repr, values))
    if has_null:
        items = ["NULL" if value is None else item for value, item in zip(values, items, strict=True)]
    return f"{{{','.join(items)}}}", _ARRAYS[kind]


def _stored_as(kind: type) -> type:
    """What the values of a type are stored as."""
    # An enumeration of texts is text.
    return kind if kind in _ARRAYS else next(base for base in _ARRAYS if issubclass(kind, base))


def _quoted(texts: Sequence[str]) -> list[str]:
    """The texts as elements of an array."""
    joined = "".join(texts)
    if '"' in joined or "\\" in joined:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return [f'"{text}"' for text in texts]
