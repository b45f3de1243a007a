"""A fake Elasticsearch that keeps documents by their id, with faults on request.

    with elastic() as server:
        server.faults = [Status(500), Cut()]    # for the next bulk requests; later ones succeed
        ...                                     # the code under test sends to server.url
    assert server.documents == {...}

It implements what a push needs of the protocol, strictly: JSON with its media types, an index that was created,
`create` on a data stream, complete lines. Its answers name the product.

| fault | effect |
|---|---|
| HANG | no answer |
| `Status` | a status for the whole request |
| `Cut` | a share of the documents is taken, then the connection is cut |
| `Each` | a status for each document, by a repeating pattern; documents with a 2xx are taken |

`on_bulk` is called with the number of a bulk request after its documents are taken and before the answer.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.counterparts import HANG, LocalServer, serving


@dataclass(frozen=True)
class Status:
    """An answer to the whole request; no document is taken."""

    status: int
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """This share of the documents is taken, and the connection is cut before the answer."""

    share: float = 0.5


@dataclass(frozen=True)
class Each:
    """A status for each document; 201 takes it."""

    statuses: tuple[int, ...]
    kind: str = "some_exception"
    reason: str = "for a reason"


Fault = str | Status | Cut | Each


class FakeElasticsearch(LocalServer):
    """The server: its `documents` by id, what was created, and what was requested."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.documents: dict[str, dict[str, Any]] = {}
        self.indices: dict[str, dict[str, Any]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.streams: set[str] = set()
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.bulks: list[list[tuple[str, str]]] = []
        self.headers: dict[str, str] = {}
        self.on_bulk: Callable[[int], None] = lambda _: None
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: FakeElasticsearch
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.close_connection = True
        self.server.headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, parts.path))
        assert self.headers["Accept"] == "application/json", dict(self.headers)
        lines = "application/x-ndjson" if parts.path.endswith("/_bulk") else "application/json"
        assert self.headers["Content-Type"] == (lines if body else None), dict(self.headers)
        names = [name.title() for name in self.headers]
        assert len(names) == len(set(names)), names
        with self.server.lock:
            if parts.path.endswith("/_bulk"):
                self._bulk(parts.path.split("/")[-2], body, parse_qs(parts.query))
            else:
                self._manage(parts.path, body)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815  (the names are the library's)

    def _manage(self, path: str, body: bytes) -> None:
        server, name = self.server, path.rsplit("/", 1)[-1]
        given = json.loads(body) if body else {}
        if path.startswith("/_index_template/") and self.command == "PUT":
            server.templates[name] = given
            self._say(200, {"acknowledged": True})
        elif path.startswith("/_index_template/"):
            self._say(200 if name in server.templates else 404, {})
        elif path.startswith("/_data_stream/"):
            assert name in server.templates
            server.streams.add(name)
            self._say(200, {"acknowledged": True})
        elif self.command == "GET":
            known: dict[str, Any] = {name: {}} if name in server.indices else {}
            known = {f".ds-{name}-000001": {"data_stream": name}} if name in server.streams else known
            self._say(200 if known else 404, known if name in server.streams else {})
        elif name in server.indices or name in server.streams:
            self._say(400, _error("resource_already_exists_exception", "already exists"))
        else:
            server.indices[name] = given
            self._say(200, {"acknowledged": True, "index": name})

    def _bulk(self, index: str, body: bytes, options: Mapping[str, list[str]]) -> None:
        server = self.server
        assert index in server.indices or index in server.streams
        assert body.endswith(b"\n")
        assert options["filter_path"] == ["errors,items.*._id,items.*.status,items.*.error"]
        lines = [json.loads(line) for line in body.splitlines()]
        operations = [
            (*next((action, details["_id"]) for action, details in head.items()), document)
            for head, document in zip(lines[::2], lines[1::2], strict=True)
        ]
        server.bulks.append([(action, uid) for action, uid, _ in operations])
        fault = server.faults.pop(0) if server.faults else None
        if fault == HANG:
            server.lock.release()
            server.is_over.wait(60)
            server.lock.acquire()
        elif isinstance(fault, Cut):
            for action, uid, document in operations[: round(len(operations) * fault.share)]:
                self._take(index, action, uid, document)
            self._reset()
        elif isinstance(fault, Status):
            self._say(fault.status, fault.error, fault.headers)
        else:
            items = self._items(index, operations, fault if isinstance(fault, Each) else None)
            server.on_bulk(len(server.bulks))
            self._say(200, items)

    def _items(self, index: str, operations: Sequence[tuple[str, str, Any]], fault: Each | None) -> dict[str, Any]:
        items = []
        for place, (action, uid, document) in enumerate(operations):
            status = fault.statuses[place % len(fault.statuses)] if fault else 201
            if status < 300:
                status = self._take(index, action, uid, document)
            item: dict[str, Any] = {"_id": uid, "status": status}
            if status >= 300:
                kind, reason = (fault.kind, fault.reason) if fault else ("version_conflict_engine_exception", "exists")
                item["error"] = {"type": kind, "reason": reason}
            items.append({action: item})
        return {"errors": any("error" in item for entry in items for item in entry.values()), "items": items}

    def _take(self, index: str, action: str, uid: str, document: dict[str, Any]) -> int:
        assert action in ("create", "index")
        if index in self.server.streams:
            assert action == "create"
            assert "@timestamp" in document
        if uid in self.server.documents and action == "create":
            return 409
        status = 200 if uid in self.server.documents else 201
        self.server.documents[uid] = document
        return status

    def _reset(self) -> None:
        # Lingering for no time at all: the connection ends with a reset instead of an end of file.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _say(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] = {}) -> None:
        content = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Warning", '299 Elasticsearch-9.0.0-abc "security is not enabled"')
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _error(kind: str, reason: str) -> dict[str, Any]:
    """An error as Elasticsearch writes it."""
    return {"error": {"type": kind, "reason": reason, "root_cause": [{"type": kind, "reason": reason}]}}


def refusal(status: int, kind: str = "security_exception", reason: str = "no") -> Status:
    """An error of the whole request."""
    return Status(status, _error(kind, reason))


@contextmanager
def elastic() -> Iterator[FakeElasticsearch]:
    """An empty Elasticsearch that works."""
    with serving(FakeElasticsearch()) as server:
        yield server
