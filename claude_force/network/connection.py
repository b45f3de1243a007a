"""Timeouts, refused addresses, TLS, and connection errors as outcomes: shared by channels and exporters.

A timeout for each read does not stop a server that sends a byte now and then. A `Deadline` does: it shuts the socket
down.
"""

from __future__ import annotations

import re
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
from urllib.parse import urlsplit

from claude_force.network.outcome import Outcome, conclude
from claude_force.network.redaction import Secret


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts in seconds: for each connect, write or read (`step_s`), and for the whole exchange (`overall_s`)."""

    step_s: float = 10.0
    overall_s: float = 20.0


PATIENCE = Patience()


class Refused(Exception):
    """Nothing is sent to this address."""


class Deadline:
    """A context manager that ends an exchange after some seconds.

    `connection` returns the socket in use, or None. When the time is up, the socket is shut down, so that a blocked
    read or write fails, and `has_passed` becomes True.
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
        # Repeated, because `connection` returns None for a moment during a TLS handshake.
        while not self._done.wait(wait_s):
            self.has_passed = True
            wait_s = 0.2
            found = self.connection()
            with suppress(OSError):
                if found is not None:
                    # Not SSLSocket.shutdown, which would discard the TLS state that a reading thread uses.
                    socket.socket.shutdown(found, socket.SHUT_RDWR)


_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
"""A Host header (RFC 9110, 7.2)."""


def refuse_link_local(address: str) -> None:
    """Raise Refused for a link-local address. Clouds serve the credentials of a machine at one."""
    try:
        found = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return
    if found.is_link_local or (getattr(found, "ipv4_mapped", None) or found).is_link_local:
        raise Refused(f"{address} is a link-local address, which nothing is sent to")


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine, without resolving it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def names_this_machine(host: str) -> bool:
    """Whether a Host header, with or without a port, means this machine. A web page that got its own name to lead here
    (DNS rebinding) sends that name."""
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found["name"] or found["address"])


def path_of(target: str) -> str:
    """The path of a request target; "" if it is malformed."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that verifies with the certificates of this machine (or SSL_CERT_FILE), plus those in `ca_file`.

    Raises OSError if the file cannot be read, and ssl.SSLError, an OSError, if it has no certificate.
    """
    import httpx2

    context = httpx2.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def explain(
    error: BaseException, host: str, port: int | None, deadline: Deadline, secrets: tuple[Secret, ...]
) -> Outcome:
    """A connection error as an outcome: an untrusted certificate is permanent, everything else may be retried."""
    causes = list(_causes(error))
    untrusted = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        reason = untrusted.verify_message or "it is not valid"
        return conclude("failed", f"the certificate of {host} is not trusted: {reason}", secrets)
    if deadline.has_passed:
        return conclude("retry", f"{host} gave no complete answer within {deadline.seconds:g} seconds", secrets)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return conclude("retry", f"{host} did not answer in time", secrets)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return conclude("retry", f"the name {host} could not be resolved", secrets)
    reason = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        reason = f"nobody listens on port {port}"
    return conclude("retry", f"the connection to {host} failed: {reason}", secrets)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and the errors that caused it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
