"""Reads the usage out of the body of a response while the program reads it, byte for byte as it comes.

The program may read events, lines, text or bytes, all or some of them, or drop the response: the end is seen in each
case, and each ends the call once.
"""

from __future__ import annotations

import binascii
import functools
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

logger = logging.getLogger("claude_force")

Fields = dict[str, Any]

_EVENTS = "text/event-stream"
_AMAZON = "application/vnd.amazon.eventstream"
_AMAZON_EVENT = re.compile(rb'"bytes":"([A-Za-z0-9+/=]+)"')
_BYTE_STREAMS = ("SyncByteStream", "AsyncByteStream")
_TELLING = re.compile(rb'"(?:message_start|message_delta|error)"')
"""What stands in the events that say something of the usage or of the end: a few of hundreds."""

_AT_ONCE = 32
"""So many chunks are read at once, and never more are kept: one at a time takes three times as long."""


class Body:
    """What is known of a response from the part of its body that was read."""

    def __init__(self, response: Any) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("content-encoding", "identity")
        # Functions and not methods, which would keep this object alive until the next collection of garbage.
        self._events = {_EVENTS: Body._read_lines, _AMAZON: Body._read_amazon}.get(kind)
        self._is_packed = encoding != "identity" and not response.is_closed
        self._unpack = functools.partial(_decoded, type(response), encoding)
        # What is compressed is read at the end, by the class that knows all encodings; and so is what is no stream.
        self._at_once = sys.maxsize if self._is_packed or self._events is None else _AT_ONCE
        self._chunks: list[bytes] = []
        self._rest: list[bytes] = []
        self._first_ns: int | None = None
        self._message: Fields = {}
        self._error: Any = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. It is called for each event, of which there may be thousands. Raises nothing."""
        if self._first_ns is None:
            self._first_ns = time.perf_counter_ns()
        self._chunks.append(chunk)
        if len(self._chunks) >= self._at_once:
            self._read()

    def fields(self, started_ns: int) -> Fields:
        """What the body says of its call, which began at `started_ns`. A stream without its end is provisional."""
        self._read()
        message = self._message
        usage = message.get("usage")
        is_cut = message.get("stop_reason") is None
        first_us = None if self._first_ns is None or self._events is None else (self._first_ns - started_ns) // 1000
        return {
            **{name: message.get(name) for name in ("model", "usage", "stop_reason", "stop_details")},
            "response_id": message.get("id"),
            "ttft_us": first_us,
            "provisional": True if is_cut and usage is not None else None,
            "error_type": self._error.get("type") if isinstance(self._error, dict) else None,
        }

    def _read(self) -> None:
        """Read what was fed and is not read yet."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        if not data:
            return
        if self._is_packed:
            data = self._unpack(data)
        if self._events is not None:
            self._events(self, data)
            return
        with suppress(ValueError):  # a body of which only a part was read
            message = json.loads(data)
            self._message = message if isinstance(message, dict) else {}

    def _read_lines(self, chunk: bytes) -> None:
        # Joined only where a line ends: one of many megabytes comes in thousands of chunks.
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._rest.append(chunk)
            return
        data = b"".join((*self._rest, chunk[:end]))
        self._rest = [chunk[end:]]
        # The marks are looked for in all of the data: looking at each line would take longer than all the rest.
        end = 0
        for found in _TELLING.finditer(data):
            if found.start() >= end:
                start, end = data.rfind(b"\n", 0, found.start()) + 1, data.index(b"\n", found.start())
                if data.startswith(b"data:", start):
                    self._take(data[start + 5 : end])

    def _read_amazon(self, chunk: bytes) -> None:
        data = b"".join((*self._rest, chunk))
        end = 0
        for found in _AMAZON_EVENT.finditer(data):
            end = found.end()
            self._take(found.group(1), binascii.a2b_base64)
        self._rest = [data[end:]]

    def _take(self, data: bytes, unpack: Callable[[bytes], bytes] = bytes) -> None:
        """Take an event. One that is not as the API has them says nothing; those before and after it are taken."""
        try:
            event = json.loads(unpack(data))
            if isinstance(event, dict):
                self._note(event)
        except Exception as error:
            logger.debug("an event of the Anthropic SDK was not understood: %s", error)

    def _note(self, event: Fields) -> None:
        """Note what an event says. Each figure is that of the whole response so far, and replaces the one before."""
        kind = event.get("type")
        if kind == "message_start":
            self._message = dict(event["message"])
        elif kind == "message_delta":
            said = event.get("usage") or {}
            known = {name: value for name, value in said.items() if value is not None}
            self._message["usage"] = {**(self._message.get("usage") or {}), **known}
            self._message.update({name: value for name, value in event["delta"].items() if value is not None})
        elif kind == "error":
            self._error = event.get("error")


End = Callable[[BaseException | None], None]
"""Called when nothing more of a body is read, perhaps more than once, with what ended it. Must not raise."""


def tap(response: Any, body: Body, end: End) -> None:
    """Let a body see what the program reads of a response, until it has read all of it, closes it or drops it."""
    response.stream = _tapped_class(type(response.stream).__mro__)(response.stream, body, end)


@functools.cache
def _tapped_class(kinds: tuple[type, ...]) -> Callable[[Any, Body, End], Any]:
    """A class of the same kinds, since httpx looks whether a stream is a synchronous one."""
    bases = tuple(base for base in kinds if base.__name__ in _BYTE_STREAMS)
    return type("TappedStream", (_Tapped, *bases), {})


class _Tapped:
    """A stream whose bytes are seen on their way. Other attributes are those of the stream itself, on which the SDK
    keeps some."""

    def __init__(self, stream: Any, body: Body, end: End) -> None:
        self._stream = stream
        # The SDK asks for it at each event; looking for it in the stream would take the longest of all.
        self.stream_observer = getattr(stream, "stream_observer", None)
        self._body = body
        self._ends = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._body.feed(chunk)
                yield chunk
        except BaseException as error:
            self._ends(error)
            raise
        self._ends(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._stream.__aiter__()
        try:
            async for chunk in chunks:
                self._body.feed(chunk)
                yield chunk
        except BaseException as error:
            self._ends(error)
            # Here and not by the event loop later, in another task.
            if hasattr(chunks, "aclose"):
                await chunks.aclose()
            raise
        self._ends(None)

    def close(self) -> None:
        self._ends(None)
        self._stream.close()

    async def aclose(self) -> None:
        self._ends(None)
        await self._stream.aclose()

    def __del__(self) -> None:
        self._ends(None)


def _decoded(response: Callable[..., Any], encoding: str, data: bytes) -> bytes:
    """Compressed bytes as they were; empty if they cannot be read."""
    try:
        found: bytes = response(200, headers={"content-encoding": encoding}, content=data).content
    except Exception:
        return b""
    return found
