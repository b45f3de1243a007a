"""A stand-in of the Messages API that answers as the prompt says: the prompt is the script of its answer, as JSON."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.counterparts import LocalServer, serving

MODEL = "claude-sonnet-4-6"
USAGE: dict[str, Any] = {
    "input_tokens": 12,
    "output_tokens": 345,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 500,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
    "service_tier": "standard",
}
EVENT_STREAM = "text/event-stream"


def prompt(**script: Any) -> dict[str, Any]:
    """The arguments of a call whose answer follows a script.

    | key         | what the answer does                                                             |
    |-------------|----------------------------------------------------------------------------------|
    | `statuses`  | has these statuses, one for each attempt; the last one for all that follow       |
    | `usage`     | has these counts besides the usual ones                                          |
    | `message`   | has these fields besides the usual ones                                          |
    | `gzip`      | is compressed                                                                    |
    | `cut`       | breaks off after so many events                                                  |
    | `error`     | is an error of this type: of its status, or in the stream where it is cut        |
    """
    return {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": json.dumps(script)}]}


class AnthropicApi(LocalServer):
    """The server. `requests` counts them; `batch` are the lines of the results of its one batch."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.requests = 0
        self.lock = threading.Lock()
        self.batch: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """What a client takes as its base_url."""
        return f"http://127.0.0.1:{self.server_port}"

    def next_number(self) -> int:
        """The number of the next request, from 1."""
        with self.lock:
            self.requests += 1
            return self.requests


def serve_anthropic() -> AbstractContextManager[AnthropicApi]:
    """The stand-in, on a free port of 127.0.0.1, while the block runs."""
    return serving(AnthropicApi())


def message_of(script: dict[str, Any], number: int) -> dict[str, Any]:
    """The message of an answer."""
    return {
        "id": f"msg_{number:06}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": '{"message_delta": "error"}'}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {**USAGE, **script.get("usage", {})},
        **script.get("message", {}),
    }


class _Handler(BaseHTTPRequestHandler):
    server: AnthropicApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        if self.path.endswith("/results"):
            self._reply(200, "\n".join(map(json.dumps, self.server.batch)).encode(), "application/x-jsonl")
        else:
            url = f"{self.server.url}/v1/messages/batches/msgbatch_1/results"
            times = dict.fromkeys(("created_at", "expires_at", "ended_at"), "2026-11-29T12:00:00Z")
            batch = {"id": "msgbatch_1", "type": "message_batch", "results_url": url, "processing_status": "ended"}
            self._reply(200, json.dumps(batch | times).encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/v1/messages/count_tokens"):
            self._reply(200, b'{"input_tokens": 7}')
            return
        # What a tool returned has no script: the usual answer ends the run.
        scripts = (each["content"] for each in request["messages"] if isinstance(each["content"], str))
        script = json.loads(next(scripts, "{}"))
        attempt = int(self.headers.get("x-stainless-retry-count", 0))
        statuses = script.get("statuses", [200])
        status = statuses[min(attempt, len(statuses) - 1)]
        message = message_of(script, self.server.next_number())
        if status >= 400:
            self._reply(status, json.dumps(_error(script)).encode())
        elif request.get("stream"):
            self._stream(list(_events(message)), script)
        else:
            self._reply(200, json.dumps(message).encode(), packed="gzip" in script)

    def _reply(self, status: int, body: bytes, kind: str = "application/json", *, packed: bool = False) -> None:
        self._begin(status, kind, packed=packed)
        body = gzip.compress(body) if packed else body
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: list[bytes], script: dict[str, Any]) -> None:
        is_packed, cut = "gzip" in script, script.get("cut", len(events))
        self._begin(200, EVENT_STREAM, packed=is_packed)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        told = events[:cut] + ([_event(**_error(script))] if "error" in script else [])
        for chunk in [gzip.compress(b"".join(told))] if is_packed else told:
            # In two parts: an event may come in several.
            for part in (chunk[:30], chunk[30:]):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if cut == len(events) or "error" in script:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = cut != len(events)

    def _begin(self, status: int, kind: str, *, packed: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("request-id", f"req_{self.server.requests:06}")
        self.send_header("retry-after-ms", "1")
        if packed:
            self.send_header("Content-Encoding", "gzip")


def _error(script: dict[str, Any]) -> dict[str, Any]:
    return {"type": "error", "error": {"type": script.get("error", "overloaded_error"), "message": "no"}}


def _events(message: dict[str, Any]) -> Iterator[bytes]:
    """The message as a stream. As with the real one, its beginning holds a placeholder of the output tokens."""
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=begun)
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for block in message["content"]:
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": block.get("text", "")})
    yield _event("content_block_stop", index=0)
    ended = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    final = {name: value for name, value in usage.items() if name not in ("cache_creation", "service_tier")}
    yield _event("message_delta", delta=ended, usage=final)
    yield _event("message_stop")


def _event(type: str, **fields: object) -> bytes:  # noqa: A002
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()
