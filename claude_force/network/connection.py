"""What all channels over a network share: how long they wait, which addresses they refuse, and how a fault reads.

A timeout of each read does not end a conversation with a server that sends a byte now and then. A `Deadline` does: it
takes the connection away from under the conversation.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

from claude_force.network.outcome import Outcome, conclude
from claude_force.network.secret import Secret


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a channel waits: for a connection, a write or a read, and for the whole conversation."""

    step_s: float = 10.0
    overall_s: float = 20.0


PATIENCE = Patience()


class Refused(Exception):
    """An address that nothing is sent to."""


class Deadline:
    """Ends a conversation that lasts too long.

    While the block runs, `connection` gives the socket in use, or None. When the time is up the socket is shut down, so
    that whoever reads or writes on it meets its end, and `has_passed` is True.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.has_passed = False
        self.connection: Callable[[], socket.socket | None] = lambda: None
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._end, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._watch.join()

    def _end(self) -> None:
        wait_s = self.seconds
        # Again and again: in a TLS handshake, which has its own limit, the socket belongs to nobody for a moment.
        while not self._done.wait(wait_s):
            self.has_passed = True
            wait_s = 0.2
            found = self.connection()
            with suppress(OSError):
                if found is not None:
                    # Not SSLSocket.shutdown, which would take the TLS state from a thread that reads.
                    socket.socket.shutdown(found, socket.SHUT_RDWR)


def refuse_link_local(address: str) -> None:
    """Raises Refused for an address of this link alone, where clouds serve the credentials of a machine."""
    try:
        found = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return
    if found.is_link_local or (getattr(found, "ipv4_mapped", None) or found).is_link_local:
        raise Refused(f"{address} is a link-local address, which nothing is sent to")


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine, without asking anyone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that verifies: with the certificates of this machine (or SSL_CERT_FILE), and those of a file as well.
    Raises OSError where the file cannot be read, which ssl.SSLError is too, for one without a certificate."""
    import httpx2

    context = httpx2.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def explain(
    error: BaseException, host: str, port: int | None, deadline: Deadline, secrets: tuple[Secret, ...]
) -> Outcome:
    """What a fault of the connection means: a certificate that is not trusted stays so, everything else may pass."""
    causes = list(_causes(error))
    untrusted = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        said = untrusted.verify_message or "it is not valid"
        return conclude("failed", f"the certificate of {host} is not trusted: {said}", secrets)
    if deadline.has_passed:
        return conclude("retry", f"{host} gave no whole answer within {deadline.seconds:g} seconds", secrets)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return conclude("retry", f"{host} did not answer in time", secrets)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return conclude("retry", f"the name {host} could not be resolved", secrets)
    said = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        said = f"nobody listens on port {port}"
    return conclude("retry", f"the connection to {host} failed: {said}", secrets)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it came from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
