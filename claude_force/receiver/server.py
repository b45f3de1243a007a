"""The HTTP server of the receiver: OTLP over HTTP, and deliveries, for clients that may be slow, wrong or hostile.

| a request | is answered |
|---|---|
| that names another host, or comes from a web page | 403 |
| without the token, if there is one | 401 |
| to another path; with another method; of another type | 404; 405; 415 |
| whose body is cut, or no OTLP; too large; too slow | 400; 413; 408 |
| whose records cannot be kept now | 503 with `Retry-After`: the client sends them again |
| whose records are on the disk, or whose delivery is in the database | 200 |

Each connection has a thread, so a slow client holds nobody but itself, and only for a while.
"""

from __future__ import annotations

import hmac
import io
import json
import logging
import os
import socket
import ssl
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from claude_force.errors import BodyTooLarge, ClaudeForceError, InvalidBody, MissingExtra
from claude_force.exporters.team import PATH as TEAM
from claude_force.network.connection import names_this_machine, path_of
from claude_force.network.redaction import Secret
from claude_force.receiver.answers import JSON, PROTOBUF, Answer, Refusal, accepted, refused, unavailable
from claude_force.receiver.bodies import Lease, Room, read_body
from claude_force.receiver.decode import Kind
from claude_force.receiver.team import Deliver
from claude_force.text import for_terminal

logger = logging.getLogger("claude_force.receiver")
logger.addHandler(logging.NullHandler())

Take = Callable[[Kind, str, bytes], None]
"""Keeps what a body of a type says. Raises OSError if nothing can be kept now, ClaudeForceError if the body is no
OTLP."""

MAX_CONNECTIONS = 256
"""How many clients are connected at the same time. For one more, the one that is idle the longest has to go; if all
are sending, it is asked to try later."""

PATHS: dict[str, Kind] = {"/v1/logs": "logs", "/v1/traces": "traces", "/v1/metrics": "metrics"}
HEALTH = "/healthz"

_POLL_S = 0.2
_LINGER_S, _LINGER_BYTES = 1.0, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how long a connection may be idle between requests, and how long one request may take to come."""

    idle_s: float = 90.0
    request_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens, and whom it lets in. Port 0 is any that is free. Without a `token`, only requests that
    name this machine."""

    address: str = "127.0.0.1"
    port: int = 0
    token: Secret | None = None
    tls: ssl.SSLContext | None = None
    patience: Patience = Patience()


class ReceiverServer(ThreadingHTTPServer):
    """Listens from the moment it is made. Raises OSError if the port cannot be had. `close` ends it: requests that are
    being stored are answered, all others are cut off."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, endpoint: Endpoint, take: Take, deliver: Deliver | None = None) -> None:
        self.endpoint = endpoint
        self.take = take
        self.deliver = deliver
        self.room = Room()
        self.answers: Counter[int] = Counter()
        self._connections: dict[socket.socket, socket.socket] = {}
        self._idle: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        self._logged: set[str] = set()
        self.is_failing = False
        self.address_family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
        super().__init__((endpoint.address, endpoint.port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), name="receiver")

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end every connection once its request is answered."""
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections.values():
                # Whoever waits for more reads an end; an answer can still be written.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RD)
        self.server_close()

    @property
    def url(self) -> str:
        """The URL that clients send to, without a path."""
        host = f"[{self.endpoint.address}]" if ":" in self.endpoint.address else self.endpoint.address
        return f"{'https' if self.endpoint.tls else 'http'}://{host}:{self.server_port}"

    def server_bind(self) -> None:
        """Skip the name lookup of the base class, which is slow if no name server answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.endpoint.address, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, if there are not too many."""
        with self._lock:
            is_free = len(self._connections) < MAX_CONNECTIONS or self._end_an_idle_one()
            if is_free:
                self._connections[request] = request
        if is_free:
            try:
                super().process_request(request, client_address)
                return
            except RuntimeError:
                # The system gives no more threads: this client waits as if there were too many.
                with self._lock:
                    del self._connections[request]
        with suppress(OSError):
            request.setblocking(False)
            request.send(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        self.shutdown_request(request)

    def _end_an_idle_one(self) -> bool:
        for connection in self._idle:
            del self._idle[connection]
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            return True
        return False

    def idle(self, connection: socket.socket, *, is_idle: bool) -> None:
        """Note that a connection waits for its next request, or has one."""
        with self._lock:
            self._idle.pop(connection, None)
            if is_idle:
                self._idle[connection] = None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its thread, and forget it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                # With TLS it is another object, which the base class does not know.
                self._connections.pop(request).close()

    def encrypted(self, request: socket.socket, tls: ssl.SSLContext) -> socket.socket:
        """The connection with TLS, which takes the place of the one without. Raises OSError."""
        wrapped = tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections[request] = wrapped
        return wrapped

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of connections: a client that disconnects is none."""

    def count(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self.answers[status] += 1

    def log_once(self, error: Exception) -> None:
        """Log an unexpected error with its place, each once: a client may send the same body for ever. Not its message,
        which may quote what was sent."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        key = f"{type(error).__name__} {place and (place.tb_frame.f_code.co_filename, place.tb_lineno)}"
        with self._lock:
            is_new = key not in self._logged
            self._logged.add(key)
        if is_new:
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unexpected %s, which is not logged again\n%s", type(error).__name__, frames)

    def kept(self, problem: OSError | None) -> None:
        """Remember whether records can be kept, and log when that changes."""
        with self._lock:
            has_changed, self.is_failing = self.is_failing != (problem is not None), problem is not None
        if has_changed and problem is not None:
            logger.error("nothing can be kept: %s", for_terminal(str(problem)))
        elif has_changed:
            logger.info("records are kept again")


class _PatientStream(io.RawIOBase):
    """The bytes of a connection until a deadline, however they trickle."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ends_s = 0.0

    def allow(self, seconds: float) -> None:
        """Set the deadline, for what is read and written."""
        self._ends_s = time.monotonic() + seconds
        self._connection.settimeout(seconds)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError at the deadline."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: ReceiverServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        """Replace the stream of the base class by one with a deadline; TLS begins here, in the connection's thread."""
        tls = self.server.endpoint.tls
        if tls is not None:
            self.request = self.server.encrypted(self.request, tls)
            self.request.settimeout(self.server.endpoint.patience.request_s)
            self.request.do_handshake()
        super().setup()
        self.rfile.close()
        self._patient = _PatientStream(self.connection)
        self._stream = self.rfile = io.BufferedReader(self._patient, 64 * 1024)

    def finish(self) -> None:
        """Flush the answer, if the client still reads it."""
        with suppress(OSError):
            super().finish()

    def handle_one_request(self) -> None:
        """Wait for a request, then give it its time."""
        patience = self.server.endpoint.patience
        self._patient.allow(patience.idle_s)
        self.server.idle(self.connection, is_idle=True)
        try:
            is_there = bool(self._stream.peek(1))
        except OSError:
            is_there = False
        finally:
            self.server.idle(self.connection, is_idle=False)
        if not is_there:
            self.close_connection = True
            return
        self._patient.allow(patience.request_s)
        # Until the headers are read, for the answers of the base class.
        self.command, self.path, self._type = "", "", JSON
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """Tell the client to go on: what is written is kept until an answer is whole, and it waits for this."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _handle(self) -> None:
        self._type = (self.headers.get_content_type() if "Content-Type" in self.headers else "").lower()
        try:
            answer = self._answer()
        except Refusal as refusal:
            self._refuse(refusal)
        except TimeoutError:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request took too long"))
        except OSError:
            self.close_connection = True
        except Exception as error:
            self.server.log_once(error)
            message = f"unexpected: {type(error).__name__}"
            self._refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, is_body_read=False))
        else:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _answer(self) -> Answer:
        self._check_origin()
        path = path_of(self.path)
        if path == HEALTH:
            return self._health()
        kind, is_delivery = PATHS.get(path), path == TEAM and self.server.deliver is not None
        if kind is None and not is_delivery:
            there = ", ".join((*PATHS, *((TEAM,) if self.server.deliver else ()), HEALTH))
            raise Refusal(HTTPStatus.NOT_FOUND, f"not found; there are {there}")
        if self.command != "POST":
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only POST", Allow="POST")
        self._check_token()
        if self._type not in ((JSON,) if kind is None else (*PROTOBUF, JSON)):
            wrong = f"not {JSON}" if kind is None else f"neither {PROTOBUF[0]} nor {JSON}"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the Content-Type is {wrong}")
        with Lease(self.server.room) as lease:
            body = read_body(self.headers, self._stream, lease)
            if kind is None:
                return self._deliver(body)
            self._take(kind, body)
        return accepted(self._type)

    def _deliver(self, body: bytes) -> Answer:
        """Store a delivery, however long that takes, and say what became of it."""
        assert self.server.deliver is not None
        try:
            return Answer(HTTPStatus.OK, JSON, self.server.deliver(body))
        except BodyTooLarge as error:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), is_body_read=True) from None
        except InvalidBody as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error), is_body_read=True) from None
        except ClaudeForceError as error:
            raise unavailable(f"the delivery was not stored: {error}", is_body_read=True) from None

    def _check_origin(self) -> None:
        """Only programs may send. A web page names its own host, or its browser adds an Origin."""
        if self.server.endpoint.token is None and not names_this_machine(self.headers.get("Host", "")):
            raise Refusal(HTTPStatus.FORBIDDEN, "only for this machine: use localhost")
        if "Origin" in self.headers:
            raise Refusal(HTTPStatus.FORBIDDEN, "not for web pages")

    def _check_token(self) -> None:
        token = self.server.endpoint.token
        if token is None:
            return
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.reveal().encode())
        if scheme.lower() != "bearer" or not is_right:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong", WWW_Authenticate="Bearer")

    def _take(self, kind: Kind, body: bytes) -> None:
        try:
            self.server.take(kind, self._type, body)
        except OSError as error:
            self.server.kept(error)
            raise unavailable(f"nothing can be kept: {error.strerror or error}", is_body_read=True) from None
        except MissingExtra as error:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, str(error), is_body_read=True) from None
        except ClaudeForceError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error), is_body_read=True) from None
        self.server.kept(None)

    def _health(self) -> Answer:
        if self.command not in ("GET", "HEAD"):
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", Allow="GET, HEAD")
        is_healthy = not self.server.is_failing
        status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status, JSON, json.dumps({"healthy": is_healthy, "uid": os.getuid()}).encode() + b"\n")

    def send_error(self, code: int, message: str | None = None, _explain: str | None = None) -> None:
        """What the base class refuses (a request line or headers that are none) is answered as everything else."""
        self._refuse(Refusal(HTTPStatus(code), message or HTTPStatus(code).phrase))

    def _refuse(self, refusal: Refusal) -> None:
        if not refusal.is_body_read:
            # What is left of the body would be taken for the next request.
            self.close_connection = True
        self._send(refused(refusal, self._type))
        if self.close_connection:
            self._linger()

    def _send(self, answer: Answer) -> None:
        self.server.count(answer.status)
        # Of a request line that is none, the base class would answer a body without a head.
        self.request_version = self.protocol_version
        self.send_response(answer.status)
        sent = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body))), *answer.headers]
        for name, value in sent:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _linger(self) -> None:
        """Read on for a moment: a connection that is closed with unread bytes takes the answer with it."""
        with suppress(OSError):
            self.wfile.flush()
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            self._patient.allow(_LINGER_S)
            left = _LINGER_BYTES
            while left > 0 and (piece := self._stream.read1(64 * 1024)):
                left -= len(piece)

    def version_string(self) -> str:
        """No version: whoever asks need not know it."""
        return "claude-force"

    def log_message(self, *_: object) -> None:
        """Log nothing: there is a request every few seconds."""
