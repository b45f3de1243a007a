"""Clients of the receiver, from well-behaved to hostile, and the bodies that they send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from claude_force.executions.signals import ModelRequest
from claude_force.ingest.telemetry.spool import claimed, sealed_segments

LOGS = "/v1/logs"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def export_of(request_ids: Iterable[str]) -> bytes:
    """An export of logs in JSON: an `api_request` of Claude Code for each id. The input tokens of `req_5` are 5."""
    records = [_record(request_id) for request_id in request_ids]
    resource = {"attributes": [_text("service.name", "claude-code"), _text("service.version", "2.1.332")]}
    scope = {"scope": {"name": "com.anthropic.claude_code.events", "version": "2.1.332"}, "logRecords": records}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}).encode()


def _record(request_id: str) -> dict[str, object]:
    input_tokens = int(request_id.rpartition("_")[2])
    numbers = {"input_tokens": input_tokens, "output_tokens": 412, "cache_read_tokens": 48_200, "duration_ms": 9120}
    attributes = [
        _text("session.id", "5f0c9a1e-3b52-4d7c-9a43-0f6f2d1b7c11"),
        _text("event.name", "api_request"),
        _text("model", "claude-opus-5-5"),
        _text("request_id", request_id),
        *({"key": name, "value": {"intValue": value}} for name, value in numbers.items()),
    ]
    return {
        "timeUnixNano": "1795874400250000000",
        "body": {"stringValue": "claude_code.api_request"},
        "attributes": attributes,
    }


def _text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


class Answered(NamedTuple):
    """An answer: the status, the headers in lower case, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(port: int, body: bytes, content_type: str = JSON, path: str = LOGS, **headers: str) -> Answered:
    """Send a body; `_` in the name of a header is `-`."""
    return ask(port, "POST", path, body, {"Content-Type": content_type} | _named(headers))


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answered:
    """Send any request in a connection of its own."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body, dict(headers))
        return answered(connection.getresponse())


def answered(response: HTTPResponse) -> Answered:
    """A response with its body."""
    return Answered(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def send_raw(port: int, sent: bytes) -> Answered:
    """Send bytes as they are, and end the sending side."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answered:
    """The next answer on a connection."""
    response = HTTPResponse(connection)
    response.begin()
    return answered(response)


def request_head(length: int | None, *lines: str) -> bytes:
    """The head of a POST of JSON logs, with a length if there is one, and more lines."""
    head = [f"POST {LOGS} HTTP/1.1", "Host: localhost", f"Content-Type: {JSON}", *lines]
    return "\r\n".join([*head, *([f"Content-Length: {length}"] if length is not None else []), "", ""]).encode()


def kept_ids(folder: Path) -> list[str]:
    """The ids of the model requests in the sealed segments of a spool, sorted."""
    found = []
    for path in sealed_segments(folder):
        with claimed(path) as segment:
            assert segment is not None
            found += [signal.request_id or "" for signal in segment.signals() if isinstance(signal, ModelRequest)]
    return sorted(found)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
