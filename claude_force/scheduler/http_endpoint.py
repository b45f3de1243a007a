"""`/metrics` for Prometheus and `/healthz` for whoever restarts the scheduler, on 127.0.0.1 and nowhere else.

Served by threads of their own, and only read: neither a slow reader nor an error here delays a job or a recording. A
request that names another host is refused, so that no web page reaches it by a name that its owner lets lead here (DNS
rebinding).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from claude_force.clock import HOUR_US, now_us
from claude_force.errors import ClaudeForceError, MissingExtra
from claude_force.exporters.base import require
from claude_force.exporters.metrics import read_exposition
from claude_force.exporters.prometheus.push import EXTRA, LIBRARY
from claude_force.network.connection import is_loopback
from claude_force.scheduler.runs import FindPlace
from claude_force.scheduler.status import METRICS_ADDRESS, METRICS_PORT, jobs_of
from claude_force.text import for_terminal

logger = logging.getLogger("claude_force.scheduler")

WINDOW_US = HOUR_US
"""The window of the gauges."""

_PATIENCE_S = 10
_TEXT = "text/plain; charset=utf-8"
_POLL_S = 0.2


class _Answer(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


class Served(NamedTuple):
    """What came of it, as the scheduler keeps it of its own run: counts with the port that is served on, if any, and
    what went wrong."""

    counts: Mapping[str, int] = {}
    problem: str | None = None


@contextmanager
def metrics_page(find_workspace: FindPlace) -> Iterator[Served]:
    """Within the block, serve on the port that the settings name, if they do. A port that is not to be had is logged
    and told, and the block goes on without."""
    port = find_workspace().settings.metrics_port
    if not port:
        yield Served()
        return
    try:
        server = _Server(port, find_workspace)
    except OSError as error:
        problem = f"no /metrics: port {port} of {METRICS_ADDRESS}: {error.strerror}"
        logger.error(problem)  # noqa: TRY400
        yield Served(problem=problem)
        return
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
    thread.start()
    logger.info("metrics on http://%s:%d/metrics", METRICS_ADDRESS, port)
    try:
        yield Served({METRICS_PORT: port})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Threads that are abandoned at the end, whatever they wait for: what they do is reading."""

    def __init__(self, port: int, find_workspace: FindPlace) -> None:
        super().__init__((METRICS_ADDRESS, port), _Handler)
        self.find_workspace = find_workspace
        self.one_reading = threading.Lock()

    def server_bind(self) -> None:
        """Without asking for the name of the address, which takes long where no name server answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = METRICS_ADDRESS, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S
    server_version, sys_version = "claude-force", ""

    def do_GET(self) -> None:
        """Answer; to HEAD with the head alone."""
        if not _names_this_machine(self.headers.get("Host", "")):
            self._send(_line(HTTPStatus.FORBIDDEN, "this is for this machine alone: ask for localhost"))
            return
        page = {"/metrics": self._metrics, "/healthz": self._health}.get(_path_of(self.path))
        if page is None:
            self._send(_line(HTTPStatus.NOT_FOUND, "there are /metrics and /healthz"))
            return
        self._send(self._answer(page))

    do_HEAD = do_GET  # noqa: N815  (the names are the library's)

    def _refuse(self) -> None:
        self._send(_line(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD"), {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _answer(self, page: Callable[[], _Answer]) -> _Answer:
        try:
            # One after the other: whoever asks too often waits, and not the database.
            with self.server.one_reading:
                return page()
        except MissingExtra as error:
            return _line(HTTPStatus.NOT_IMPLEMENTED, str(error))
        except ClaudeForceError as error:
            return _line(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:
            # The library would end the connection without an answer.
            logger.exception("%s: unexpected", for_terminal(self.path))
            return _line(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected: {type(error).__name__}")

    def _metrics(self) -> _Answer:
        require(LIBRARY, EXTRA)
        from claude_force.exporters.prometheus.text_format import CONTENT_TYPE, encode

        found = read_exposition(self.server.find_workspace().database, now_us(), WINDOW_US)
        return _Answer(HTTPStatus.OK, CONTENT_TYPE, encode(found))

    def _health(self) -> _Answer:
        jobs = jobs_of(self.server.find_workspace(), now_us(), runs_now=True)
        problems = [job.problem for job in jobs if job.problem]
        outcomes = {job.name: job.over and job.over.outcome for job in jobs if job.every_us is not None}
        body = json.dumps({"healthy": not problems, "problems": problems, "jobs": outcomes}) + "\n"
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return _Answer(status, "application/json", body.encode())

    def _send(self, answer: _Answer, headers: dict[str, str] = {}) -> None:
        self.send_response(answer.status)
        said = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **headers}
        for name, value in said.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is of jobs."""


def _path_of(target: str) -> str:
    """The path that a request is for; "" where it is for nothing that can be."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def _names_this_machine(host: str) -> bool:
    """Whether a Host header does, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _line(status: HTTPStatus, text: str) -> _Answer:
    return _Answer(status, _TEXT, f"{for_terminal(text)}\n".encode())
