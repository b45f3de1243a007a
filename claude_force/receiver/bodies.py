"""The body of a request: by its length or in chunks, plain or gzip, and never larger than it may be.

A body is measured while it is read and unpacked, so one that is too large, or a gzip that grows without end, costs no
more than the limit. All bodies that are read at the same time share one room.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase
from types import TracebackType
from typing import Self

from claude_force.receiver.answers import Refusal, unavailable

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The largest body, after it is unpacked; also the largest before."""

ROOM_BYTES = 2 * MAX_BODY_BYTES
"""How many bytes of bodies are held at the same time."""

_PIECE = 256 * 1024
_MAX_LINE = 1024
_MAX_TRAILERS = 32
_MAX_MEMBERS = 16
_GZIP = 16 + zlib.MAX_WBITS
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}")
_ENCODINGS = ("", "identity", "gzip", "x-gzip")


class Room:
    """The room that all bodies share."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self._free = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes of it; False if it has no more."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give_back(self, size: int) -> None:
        """Give bytes back that were taken."""
        with self._lock:
            self._free += size


class Lease:
    """The part of a room that one body takes, given back at the end of the block."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.give_back(self._taken)

    def take(self, size: int) -> None:
        """Take more. Raises Refusal if the room, or the largest body, has no more."""
        if self._taken + size > MAX_BODY_BYTES:
            raise _too_large()
        if not self._room.take(size):
            raise unavailable("too many large requests at the same time")
        self._taken += size


def read_body(headers: Message, stream: BufferedIOBase, lease: Lease) -> bytes:
    """The whole body, unpacked. Raises Refusal if it is too large, or not as its headers say, and OSError if the
    connection breaks; TimeoutError if the client is too slow."""
    encoding = str(headers.get("Content-Encoding", "")).strip().lower()
    if encoding not in _ENCODINGS:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this Content-Encoding is not understood; send gzip or none")
    pieces = _pieces(headers, stream)
    # Not a list of pieces: a client decides how small they are.
    found = bytearray()
    for piece in _unzipped(pieces) if encoding.endswith("gzip") else pieces:
        lease.take(len(piece))
        found += piece
    return bytes(found)


def _pieces(headers: Message, stream: BufferedIOBase) -> Iterator[bytes]:
    """The body as it was sent. A request that could be read in two ways is refused, not guessed."""
    coding, lengths = headers.get_all("Transfer-Encoding", []), headers.get_all("Content-Length", [])
    if coding:
        if lengths or [str(value).strip().lower() for value in coding] != ["chunked"]:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the Transfer-Encoding is not chunked alone")
        return _chunked(stream)
    if not lengths:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "neither a Content-Length nor chunks")
    if len({str(value).strip() for value in lengths}) != 1 or not _LENGTH.fullmatch(str(lengths[0]).strip()):
        raise Refusal(HTTPStatus.BAD_REQUEST, "the Content-Length is not one number")
    length = int(lengths[0])
    if length > MAX_BODY_BYTES:
        raise _too_large()
    return _exactly(stream, length)


def _exactly(stream: BufferedIOBase, length: int) -> Iterator[bytes]:
    """So many bytes, in pieces."""
    while length:
        piece = stream.read(min(length, _PIECE))
        if not piece:
            raise _cut()
        length -= len(piece)
        yield piece


def _chunked(stream: BufferedIOBase) -> Iterator[bytes]:
    sent = 0
    while size := _chunk_size(stream):
        sent += size
        if sent > MAX_BODY_BYTES:
            raise _too_large()
        yield from _exactly(stream, size)
        if _line(stream) not in (b"\r\n", b"\n"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "a chunk is longer than it says")
    for _ in range(_MAX_TRAILERS):
        if _line(stream) in (b"\r\n", b"\n"):
            return
    raise Refusal(HTTPStatus.BAD_REQUEST, "too many trailers")


def _chunk_size(stream: BufferedIOBase) -> int:
    match = _CHUNK_SIZE.fullmatch(_line(stream))
    if match is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a chunk has no size")
    return int(match[1], 16)


def _line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line:
        raise _cut()
    return line


def _unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of one or more gzip members, in pieces of at most `_PIECE` however far they grow."""
    member, members = zlib.decompressobj(_GZIP), 1
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if member.eof:
                    member, members = zlib.decompressobj(_GZIP), members + 1
                if members > _MAX_MEMBERS:
                    raise Refusal(HTTPStatus.BAD_REQUEST, "too many gzip members")
                yield member.decompress(rest, _PIECE)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        # All is read, and the last steps may have more to give than one of them may.
        while not member.eof and (found := member.decompress(b"", _PIECE)):
            yield found
    except zlib.error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body is not gzip, or damaged") from None
    if not member.eof:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the gzip of the body ends early")


def _too_large() -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB")


def _cut() -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "the body is shorter than it says")
