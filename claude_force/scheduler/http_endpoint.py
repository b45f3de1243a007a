"""`/metrics` for Prometheus and `/healthz` for a supervisor, on 127.0.0.1 only.

They are served by their own threads and only read the database, so a slow client or an error delays no job and no
recording. A request whose Host header names another host is refused, which stops web pages (DNS rebinding).
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

from claude_force.clock import HOUR_US, now_us
from claude_force.errors import ClaudeForceError, MissingExtra
from claude_force.exporters.base import require
from claude_force.exporters.metrics import read_exposition
from claude_force.exporters.prometheus.push import EXTRA, LIBRARY
from claude_force.network.connection import names_this_machine, path_of
from claude_force.scheduler.runs import FindWorkspace
from claude_force.scheduler.status import LOCAL_ADDRESS, METRICS_PORT, job_reports
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
    """What the scheduler records in its own run: the served port among the counts, or the problem."""

    counts: Mapping[str, int] = {}
    problem: str | None = None


@contextmanager
def serve_metrics(find_workspace: FindWorkspace) -> Iterator[Served]:
    """Serve on `metrics_port` within the block, if it is set. If the port cannot be bound, the problem is logged and
    returned, and the block runs without."""
    port = find_workspace().settings.metrics_port
    if not port:
        yield Served()
        return
    try:
        server = _Server(port, find_workspace)
    except OSError as error:
        problem = f"no /metrics: port {port} of {LOCAL_ADDRESS}: {error.strerror}"
        logger.error(problem)  # noqa: TRY400
        yield Served(problem=problem)
        return
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
    thread.start()
    logger.info("metrics on http://%s:%d/metrics", LOCAL_ADDRESS, port)
    try:
        yield Served({METRICS_PORT: port})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Daemon threads, which need not finish at the end: they only read."""

    def __init__(self, port: int, find_workspace: FindWorkspace) -> None:
        super().__init__((LOCAL_ADDRESS, port), _Handler)
        self.find_workspace = find_workspace
        self.one_reader = threading.Lock()

    def server_bind(self) -> None:
        """Skip the name lookup of the base class, which is slow if no name server answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOCAL_ADDRESS, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a client that disconnects is none."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S
    server_version, sys_version = "claude-force", ""

    def do_GET(self) -> None:
        """Answer GET, and HEAD without a body."""
        if not names_this_machine(self.headers.get("Host", "")):
            self._send(_line(HTTPStatus.FORBIDDEN, "only for this machine: use localhost"))
            return
        page = {"/metrics": self._metrics, "/healthz": self._health}.get(path_of(self.path))
        if page is None:
            self._send(_line(HTTPStatus.NOT_FOUND, "not found; there are /metrics and /healthz"))
            return
        self._send(self._answer(page))

    do_HEAD = do_GET  # noqa: N815  (the names are the library's)

    def _refuse(self) -> None:
        self._send(_line(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD"), {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _answer(self, page: Callable[[], _Answer]) -> _Answer:
        try:
            # One request at a time: many clients must not load the database.
            with self.server.one_reader:
                return page()
        except MissingExtra as error:
            return _line(HTTPStatus.NOT_IMPLEMENTED, str(error))
        except ClaudeForceError as error:
            return _line(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:
            # The library would close the connection without an answer.
            logger.exception("%s: unexpected", for_terminal(self.path))
            return _line(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected: {type(error).__name__}")

    def _metrics(self) -> _Answer:
        require(LIBRARY, EXTRA)
        from claude_force.exporters.prometheus.text_format import CONTENT_TYPE, encode

        found = read_exposition(self.server.find_workspace().database, now_us(), WINDOW_US)
        return _Answer(HTTPStatus.OK, CONTENT_TYPE, encode(found))

    def _health(self) -> _Answer:
        jobs = job_reports(self.server.find_workspace(), now_us(), runs_now=True)
        problems = [job.problem for job in jobs if job.problem]
        outcomes = {
            job.name: job.last_finished and job.last_finished.outcome for job in jobs if job.every_us is not None
        }
        body = json.dumps({"healthy": not problems, "problems": problems, "jobs": outcomes}) + "\n"
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return _Answer(status, "application/json", body.encode())

    def _send(self, answer: _Answer, headers: dict[str, str] = {}) -> None:
        self.send_response(answer.status)
        sent = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **headers}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the log is for jobs."""


def _line(status: HTTPStatus, text: str) -> _Answer:
    return _Answer(status, _TEXT, f"{for_terminal(text)}\n".encode())
