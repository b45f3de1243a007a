"""The client of DataDog over a socket of ours.

The client writes lines, and drops what it cannot send without a word. So it gets a socket that packs lines into
datagrams and knows of every one that was not sent.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_force.exporters.base import PushError
from claude_force.text import sanitize

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

PORT = 8125

DATAGRAM_LIMIT = 1432
"""Bytes in a datagram: what no network cuts in pieces. An Agent reads up to 8,192 (its `dogstatsd_buffer_size`)."""

TIMEOUT_S = 5.0
"""So long a full socket is waited for."""

LOGGER = "datadog.dogstatsd"
"""Of the client, which says there what it drops."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Where an Agent listens: a host and a port, or the path of a socket."""

    host: str
    port: int = PORT
    path: str = ""

    @property
    def destination(self) -> str:
        """It as it may be shown."""
        return self.path or f"{self.host}:{self.port}"

    def connect(self) -> Wire:
        """A socket to it. Raises PushError."""
        try:
            family, address = self._address()
        except (socket.gaierror, UnicodeError):
            raise PushError(f"the name {self.host} could not be resolved") from None
        wire = Wire(self, family)
        try:
            wire.settimeout(TIMEOUT_S)
            wire.connect(address)
        except OSError as error:
            wire.close()
            raise PushError(_not_taken(self, error)) from None
        return wire

    def _address(self) -> tuple[int, Any]:
        if self.path:
            return socket.AF_UNIX, self.path
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        # An Agent listens on 127.0.0.1; localhost is often ::1 first.
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, address


class Wire(socket.socket):
    """A datagram socket to an Agent, as the client of DataDog uses one. `lines` counts those that were sent."""

    def __init__(self, agent: Agent, family: int) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self.lines = 0
        self._agent = agent
        self._fault: OSError | None = None

    def send(self, packet: Any, flags: int = 0, /) -> int:
        """Send lines, in as few datagrams as they fit in; nothing any more after what could not be sent."""
        if self._fault is not None:
            raise self._fault
        try:
            for lines in packed(bytes(packet).splitlines()):
                super().send(b"\n".join(lines), flags)
                self.lines += len(lines)
        except OSError as error:
            self._fault = error
            raise
        return len(packet)

    def check(self, lines: int) -> None:
        """Raises PushError unless so many lines were sent, and nothing came back: a system tells the sender that
        nobody listens."""
        refused = 0 if self._fault else self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        fault = self._fault or (OSError(refused, os.strerror(refused)) if refused else None)
        if fault is not None:
            raise PushError(_not_taken(self._agent, fault))
        if self.lines != lines:
            raise PushError("the datadog library did not send everything; is DD_DOGSTATSD_DISABLE set?")


def packed(lines: Iterable[bytes], limit: int = DATAGRAM_LIMIT) -> Iterator[list[bytes]]:
    """Lines as they share datagrams of at most `limit` bytes, newlines between them."""
    together: list[bytes] = []
    size = 0
    for line in lines:
        if together and size + 1 + len(line) > limit:
            yield together
            together, size = [], 0
        size += len(line) + bool(together)
        together.append(line)
    if together:
        yield together


def _not_taken(agent: Agent, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        reason = "it does not read what was sent before"
    elif error.errno == errno.ECONNREFUSED:
        reason = "nobody listens there"
    else:
        reason = sanitize(error.strerror or str(error))
    return f"nothing can be sent to the DataDog Agent at {agent.destination}: {reason}"


def client_of(wire: Wire) -> DogStatsd:
    """The client of DataDog with a socket of ours and nothing of its own: no thread, no figures about itself, no tags
    of the environment."""
    from datadog.dogstatsd.base import DogStatsd

    class Client(DogStatsd):
        def get_socket(self, telemetry: bool = False) -> Wire:  # noqa: ARG002  (the library's name)
            return wire

    # It has no thread unless it is told to buffer, to add up or to send on the side.
    client = Client(disable_telemetry=True, origin_detection_enabled=False, track_instance=False)
    client.constant_tags = []
    # Of DD_EXTERNAL_ENV, with which an Agent of Kubernetes adds tags of the pod; there is no option for it.
    client._external_data = None
    return client
