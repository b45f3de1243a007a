"""A fake DataDog Agent on UDP or on a Unix socket, which parses strictly.

    with agent() as listener:
        ...                     # the code under test sends to listener.port
        listener.metrics(), listener.events()

Anything that is not a complete metric or event of version 1.0 of the datagram format (docs.datadoghq.com) fails the
test.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_METRIC = re.compile(r"(?P<name>[a-zA-Z][\w.]*):(?P<value>-?[0-9.]+(?:e-?[0-9]+)?)\|(?P<type>h)(?:\|#(?P<tags>.*))?")
_EVENT = re.compile(rb"_e\{([0-9]+),([0-9]+)\}:")
_TAG = re.compile(r"[^\W\d_][^,|#\s\x00-\x1f\x7f]*")


class Metric(NamedTuple):
    """A sample of a histogram."""

    name: str
    value: float
    tags: tuple[str, ...]


class Event(NamedTuple):
    """An event, with its fields by the letter before the colon."""

    title: str
    text: str
    fields: dict[str, str]
    tags: tuple[str, ...]


class Listener:
    """What `agent` gives: `port`, or the `path` of the socket, and the `datagrams` so far. `on_datagram` is called with
    the number of each one when it arrives."""

    def __init__(self, receiver: socket.socket, on_datagram: Callable[[int], None]) -> None:
        self.datagrams: list[bytes] = []
        self.path = receiver.getsockname() if receiver.family == socket.AF_UNIX else ""
        self.port = 0 if self.path else int(receiver.getsockname()[1])
        self._receiver = receiver
        self._on_datagram = on_datagram

    def listen(self) -> None:
        """Take datagrams until an empty one comes."""
        while datagram := self._receiver.recv(65_536):
            self.datagrams.append(datagram)
            self._on_datagram(len(self.datagrams))

    def stop(self, thread: threading.Thread) -> None:
        """Take what has come so far, and no more."""
        address = self.path or ("127.0.0.1", self.port)
        with socket.socket(self._receiver.family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", address)
        thread.join()

    def lines(self) -> list[bytes]:
        """The lines, each of a datagram that is not too long."""
        assert max(map(len, self.datagrams), default=0) <= 1432
        return [line for datagram in self.datagrams for line in datagram.split(b"\n")]

    def metrics(self) -> list[Metric]:
        """The metrics."""
        return [read_metric(line) for line in self.lines() if not line.startswith(b"_e")]

    def events(self) -> list[Event]:
        """The events."""
        return [read_event(line) for line in self.lines() if line.startswith(b"_e")]


def read_metric(line: bytes) -> Metric:
    """A line as a metric."""
    found = _METRIC.fullmatch(line.decode())
    assert found, line
    return Metric(found["name"], float(found["value"]), _tags(found["tags"]))


def read_event(line: bytes) -> Event:
    """A line as an event; lengths count bytes."""
    head = _EVENT.match(line)
    assert head, line
    title_end = head.end() + int(head[1])
    text_end = title_end + 1 + int(head[2])
    assert line[title_end : title_end + 1] == b"|", line
    rest = line[text_end:].decode()
    assert rest.startswith("|"), line
    fields = dict(part.split(":", 1) for part in rest[1:].split("|") if not part.startswith("#"))
    tags = [part[1:] for part in rest[1:].split("|") if part.startswith("#")]
    return Event(line[head.end() : title_end].decode(), line[title_end + 1 : text_end].decode(), fields, _tags(*tags))


def _tags(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    assert all(_TAG.fullmatch(tag) and len(tag) <= 200 for tag in found), found
    return found


@contextmanager
def agent(path: Path | None = None, on_datagram: Callable[[int], None] = lambda _: None) -> Iterator[Listener]:
    """An Agent on a port of this machine, or on a Unix socket. After the block it has received everything that was
    sent."""
    receiver = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind(str(path) if path else ("127.0.0.1", 0))
        listener = Listener(receiver, on_datagram)
        thread = threading.Thread(target=listener.listen, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            listener.stop(thread)
