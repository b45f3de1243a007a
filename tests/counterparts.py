"""Servers on 127.0.0.1 that do what they are told: the other side of everything that claude-force sends.

`scripted(...)` is an HTTP server that gives the answers of a list, one for each request, and then the last one again:

    with scripted([500, 200]) as server:
        ...                         # what is under test sends to server.url
    assert [request.json()["id"] for request in server.requests] == ["a", "a"]

An answer is a status, or a `Reply` with a body, headers, or a fault: HANG never answers, RESET cuts the connection,
DRIP sends a byte of its head now and then without an end, HUGE sends its body again and again until nobody reads it.

`mail_server(...)` is an SMTP server that keeps what it got, with TLS, a login and answers as a test wants them.
Certificates are those of `authority`, a fixture: a certificate authority of the test, whose `ca_file` the clients get.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HANG, RESET, DRIP, HUGE = "hang", "reset", "drip", "huge"


@dataclass(frozen=True)
class Reply:
    """One answer. `fault` is what goes wrong with it."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class Received:
    """One request, as it arrived. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class LocalServer(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1. `is_over` is set when it ends, so that what hangs on purpose goes on."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.is_over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or refuses the certificate, is part of the test."""


S = TypeVar("S", bound=LocalServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server while it answers, in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class ScriptedServer(LocalServer):
    """What `scripted` gives: `url`, and the `requests` so far."""

    def __init__(self, replies: Sequence[int | str | Reply], context: ssl.SSLContext | None) -> None:
        super().__init__(_Handler)
        self.replies = [_reply(reply) for reply in replies]
        self.requests: list[Received] = []
        self._lock = threading.Lock()
        self._context = context
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{self.server_port}/"

    def next_reply(self, received: Received) -> Reply:
        """Keep a request, and give its answer."""
        with self._lock:
            self.requests.append(received)
            return self.replies[min(len(self.requests), len(self.replies)) - 1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the connection, so that a handshake that does not end holds up nobody else."""
        if self._context is not None:
            request = self._context.wrap_socket(request, server_side=True)
        with request:
            super().finish_request(request, client_address)


def _reply(reply: int | str | Reply) -> Reply:
    if isinstance(reply, Reply):
        return reply
    return Reply(fault=reply) if isinstance(reply, str) else Reply(reply)


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.next_reply(Received(self.command, self.path, headers, body))
        self.close_connection = True
        if reply.fault == HANG:
            self.server.is_over.wait(60)
        elif reply.fault == RESET:
            # Lingering for no time at all: the connection ends with a reset instead of an end of file.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif reply.fault == DRIP:
            self._drip()
        else:
            self._send(reply)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  (the names are the library's)

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.fault != HUGE and "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        with suppress(OSError):
            while reply.fault == HUGE and not self.server.is_over.is_set():
                self.wfile.write(reply.body * 1000)

    def _drip(self) -> None:
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.is_over.wait(0.05):
                self.wfile.write(b"x")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def scripted(
    replies: Sequence[int | str | Reply] = (200,), context: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    """An HTTP server with these answers; over TLS where it gets a context, as `Authority.context` makes one."""
    with serving(ScriptedServer(replies, context)) as server:
        yield server


def unused_port() -> int:
    """A port that nobody listens on, and below those that the system gives to whoever asks for any: no other test gets
    it by chance. Not from `random`, whose seed is the same for tests that run at the same time."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


class Authority:
    """A certificate authority of the test. `ca_file` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)

    def context(self, *names: str) -> ssl.SSLContext:
        """The server side of TLS, with a certificate for these names (default: 127.0.0.1)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        return context


class MailServer:
    """What `mail_server` gives: `port`, and the `messages` so far with the addresses they were for."""

    def __init__(self, answers: Mapping[str, str], login: tuple[str, str] | None) -> None:
        self.answers = answers
        self.messages: list[tuple[EmailMessage, list[str]]] = []
        self.port = 0
        self._login = login

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        """Whether the login is right."""
        assert isinstance(given, LoginPassword)
        is_right = (given.login.decode(), given.password.decode()) == self._login
        return AuthResult(success=is_right, handled=False)

    async def handle_RCPT(  # noqa: N802  (the name is aiosmtpd's)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """The answer to an address: that of the test, or yes."""
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The answer to a message: that of the test, or yes, and then it is kept."""
        import email
        import email.policy

        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("2"):
            content = envelope.content
            assert isinstance(content, bytes)
            message = email.message_from_bytes(content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.messages.append((message, list(envelope.rcpt_tos)))
        return answer


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None,
    *,
    is_implicit: bool = False,
    answers: Mapping[str, str] = {},
    login: tuple[str, str] | None = None,
) -> Iterator[MailServer]:
    """An SMTP server. With a context it offers STARTTLS, or with `is_implicit` speaks TLS from the beginning. `answers`
    are those that are not 250, by an address or DATA; with a `login` it demands it."""
    server = MailServer(answers, login)
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0, "ident": "counterpart", "ready_timeout": 120}
    if context is not None:
        options |= {"ssl_context": context} if is_implicit else {"tls_context": context}
    if login is not None:
        options |= {
            "authenticator": server.authenticate,
            "auth_required": True,
            "auth_require_tls": context is not None,
        }
    controller = _Controller(server, **options)
    controller.start()
    server.port = controller.bound_port
    try:
        yield server
    finally:
        controller.stop(no_assert=True)


class _Controller(Controller):
    """On a port that the system chooses, which it is asked for afterwards."""

    @property
    def bound_port(self) -> int:
        server: Any = self.server
        port = server.sockets[0].getsockname()[1]
        assert isinstance(port, int)
        return port

    def _trigger_server(self) -> None:
        self.port = self.bound_port
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def dripping_port() -> Iterator[int]:
    """A port where a byte comes now and then, and never a line."""
    is_over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                while not is_over.wait(0.05):
                    connection.send(b"2")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_over.set()
        # Wakes an accept that nobody came for.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
