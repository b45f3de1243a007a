"""The receiver of one run: on a free port of 127.0.0.1, for as long as its program runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from claude_force.headless.run import Listener
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.server import Endpoint, ReceiverServer


@contextmanager
def receive(listener: Listener) -> Iterator[str]:
    """Hand what comes to a listener; yields the address. Raises OSError if there is no port."""

    def take(kind: Kind, content_type: str, body: bytes) -> None:
        listener.append(decode_export(kind, content_type, body))

    server = ReceiverServer(Endpoint(), take)
    server.start()
    try:
        yield server.url
    finally:
        server.close()
