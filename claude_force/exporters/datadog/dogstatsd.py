"""DogStatsD: lines of text in datagrams, to an Agent on a UDP port or a Unix socket.

The format is documented at docs.datadoghq.com/developers/dogstatsd/datagram_shell. The official client discards what it
cannot send; here every failed send is an error. A test holds the lines equal to those of the client.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from claude_force.exporters.base import PushError
from claude_force.text import sanitize

PORT = 8125

DATAGRAM_LIMIT = 1432
"""Bytes in a datagram: small enough that no network splits it. An Agent reads up to 8,192 (`dogstatsd_buffer_size`)."""

TIMEOUT_S = 5.0
"""How long a send waits while the Agent's Unix socket is full."""


def histogram(name: str, value: float, tags: Sequence[str]) -> str:
    """A sample of a histogram as a line. The caller makes name and tags safe for the format."""
    return f"{name}:{value}|h|#{','.join(tags)}"


def error_event(title: str, text: str, at_s: int, tags: Sequence[str]) -> str:
    """An event of the type `error` as a line; `at_s` is in seconds since the epoch. Lengths count bytes."""
    lengths = f"{len(title.encode())},{len(text.encode())}"
    return f"_e{{{lengths}}}:{title}|{text}|d:{at_s}|t:error|#{','.join(tags)}"


@dataclass(frozen=True, slots=True)
class Agent:
    """Where an Agent listens: a host and port, or the path of a Unix socket."""

    host: str
    port: int = PORT
    path: str = ""

    @property
    def destination(self) -> str:
        """The address as messages show it."""
        return self.path or f"{self.host}:{self.port}"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection, open for the block. Raises PushError if there is no such address."""
        try:
            family, address = self._address()
        except (socket.gaierror, UnicodeError):
            raise PushError(f"the name {self.host} could not be resolved") from None
        with socket.socket(family, socket.SOCK_DGRAM) as raw:
            raw.settimeout(TIMEOUT_S)
            try:
                raw.connect(address)
            except OSError as error:
                raise _failure(self, error) from None
            yield Connection(self, raw)

    def _address(self) -> tuple[int, Any]:
        if self.path:
            return socket.AF_UNIX, self.path
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        # An Agent listens on 127.0.0.1, but localhost often resolves to ::1 first.
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return family, address


class Connection:
    """A datagram socket to an Agent."""

    def __init__(self, agent: Agent, raw: socket.socket) -> None:
        self._agent = agent
        self._socket = raw

    def send(self, lines: Iterable[str]) -> None:
        """Send lines in as few datagrams as possible. Raises PushError if the system cannot send one, or if it reports
        that nobody listens."""
        try:
            for datagram in pack(line.encode() for line in lines):
                self._socket.send(datagram)
            # UDP reports a closed port with the next call on the socket.
            refused = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refused:
                raise OSError(refused, os.strerror(refused))
        except OSError as error:
            raise _failure(self._agent, error) from None


def pack(lines: Iterable[bytes], limit: int = DATAGRAM_LIMIT) -> Iterator[bytes]:
    """Join lines, with newlines between them, to datagrams of at most `limit` bytes."""
    datagram: bytes | None = None
    for line in lines:
        if datagram is None:
            datagram = line
        elif len(datagram) + 1 + len(line) <= limit:
            datagram += b"\n" + line
        else:
            yield datagram
            datagram = line
    if datagram is not None:
        yield datagram


def _failure(agent: Agent, error: OSError) -> PushError:
    if isinstance(error, TimeoutError):
        reason = "it does not read what was sent before"
    elif error.errno == errno.ECONNREFUSED:
        reason = "nobody listens there"
    else:
        reason = sanitize(error.strerror or str(error))
    return PushError(f"nothing can be sent to the DataDog Agent at {agent.destination}: {reason}")
