"""A stand-in of Anthropic's Messages API, so that real agents run without a network: streams, request ids, usage with
both kinds of cache writes, web searches, errors.

What it answers follows from the last message of the request:

| the last message                          | the answer                                             |
|-------------------------------------------|--------------------------------------------------------|
| holds "search the web"                    | a call of the tool WebSearch                           |
| holds "ask a sub-agent"                   | a call of the tool Agent, or Task in older versions    |
| comes with Anthropic's own web search     | one web search, and a text                             |
| holds "be overloaded"                     | status 529                                             |
| anything else, also a result of a tool    | a text                                                 |

Every answer has usage of its own, so that no two are mistaken for one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

from tests.counterparts import LocalServer, serving


class Answer(NamedTuple):
    """What was answered to one request."""

    request_id: str
    model: str
    usage: dict[str, Any]


class MessagesApi(LocalServer):
    """The server. `answers` has what it said, in order."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: list[Answer] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """What belongs into ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """The environment in which Claude Code asks this server, and keeps its files in a folder: `home`."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-ant-standin",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            # All tools come with the request, as the stand-in searches for none.
            "ENABLE_TOOL_SEARCH": "false",
        }

    def next_answer(self, model: str, *, is_search: bool) -> Answer:
        """The id and the usage of the next answer."""
        with self.lock:
            number = len(self.answers) + 1
            answer = Answer(f"req_011standin{number:06d}", model, usage_of(number, is_search=is_search))
            self.answers.append(answer)
        return answer


def usage_of(number: int, *, is_search: bool) -> dict[str, Any]:
    """The usage of the answer with a number: a side request for a search caches nothing."""
    writes_5m, writes_1h = (0, 0) if is_search else (200 + number, 300 + 2 * number)
    usage: dict[str, Any] = {
        "input_tokens": 10 + number,
        "output_tokens": 40 + 3 * number,
        "cache_read_input_tokens": 0 if is_search else 1000 + 7 * number,
        "cache_creation_input_tokens": writes_5m + writes_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": writes_5m, "ephemeral_1h_input_tokens": writes_1h},
        "service_tier": "standard",
    }
    if is_search:
        usage["server_tool_use"] = {"web_search_requests": 1}
    return usage


def serve_messages() -> AbstractContextManager[MessagesApi]:
    """The stand-in, on a free port of 127.0.0.1, while the block runs."""
    return serving(MessagesApi())


class _Handler(BaseHTTPRequestHandler):
    server: MessagesApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        self._reply(200, b"", "application/json")

    def do_GET(self) -> None:
        self._reply(404, b"{}", "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._reply(200, b'{"input_tokens": 100}', "application/json")
        elif path == "/v1/messages":
            self._answer(body)
        else:
            self._reply(404, b"{}", "application/json")

    def _answer(self, request: dict[str, Any]) -> None:
        asked = _last_text(request)
        if "be overloaded" in asked:
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            self._reply(529, json.dumps(error).encode(), "application/json", "req_011standinoverload")
            return
        tools = request.get("tools") or []
        is_search = any(str(tool.get("type", "")).startswith("web_search") for tool in tools)
        answer = self.server.next_answer(request["model"], is_search=is_search)
        blocks, reason = _content(asked, {tool.get("name") for tool in tools}, answer.request_id, is_search=is_search)
        message = {
            "id": answer.request_id.replace("req_", "msg_"),
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": answer.usage,
        }
        if request.get("stream"):
            body, kind = b"".join(_events(message)), "text/event-stream"
        else:
            body, kind = json.dumps(message).encode(), "application/json"
        self._reply(200, body, kind, answer.request_id)

    def _reply(self, status: int, body: bytes, content_type: str, request_id: str = "req_011standinother") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("request-id", request_id)
        self.end_headers()
        self.wfile.write(body)


def _last_text(request: dict[str, Any]) -> str:
    """What the user says in the last message; nothing if it brings the result of a tool."""
    content = request["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    if any(block.get("type") == "tool_result" for block in content):
        return ""
    return "\n".join(block.get("text", "") for block in content)


def _content(asked: str, tools: set[str], key: str, *, is_search: bool) -> tuple[list[dict[str, Any]], str]:
    """The blocks of an answer, and why it stops."""
    if is_search:
        return _search_blocks(key), "end_turn"
    agent = next((name for name in ("Agent", "Task") if name in tools), None)
    if "search the web" in asked and "WebSearch" in tools:
        return [_tool_use(key, "WebSearch", {"query": "the weather in Berlin"})], "tool_use"
    if "ask a sub-agent" in asked and agent:
        given = {"description": "Count files", "prompt": "Count the files.", "subagent_type": "general-purpose"}
        return [_tool_use(key, agent, given)], "tool_use"
    return [{"type": "text", "text": "Done."}], "end_turn"


def _tool_use(key: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{key[4:]}", "name": name, "input": given}


def _search_blocks(key: str) -> list[dict[str, Any]]:
    call = f"srvtoolu_{key[4:]}"
    page = {
        "type": "web_search_result",
        "url": "https://example.com/weather",
        "title": "Weather",
        "encrypted_content": "AAAA",
        "page_age": None,
    }
    return [
        {"type": "server_tool_use", "id": call, "name": "web_search", "input": {"query": "the weather in Berlin"}},
        {"type": "web_search_tool_result", "tool_use_id": call, "content": [page]},
        {"type": "text", "text": "It rains."},
    ]


def _events(message: dict[str, Any]) -> Iterator[bytes]:
    """The message as a stream. As with the real one, its beginning holds a placeholder of the output tokens."""
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    begun["usage"].pop("server_tool_use", None)
    yield _event("message_start", message=begun)
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    yield _event(
        "message_delta",
        delta={"stop_reason": message["stop_reason"], "stop_sequence": None},
        usage={
            name: value for name, value in message["usage"].items() if name not in ("cache_creation", "service_tier")
        },
    )
    yield _event("message_stop")


def _block_events(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    if block["type"] == "text":
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": block["text"]})
    elif block["type"] in ("tool_use", "server_tool_use"):
        yield _event("content_block_start", index=index, content_block={**block, "input": {}})
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield _event("content_block_delta", index=index, delta=delta)
    else:
        yield _event("content_block_start", index=index, content_block=block)
    yield _event("content_block_stop", index=index)


def _event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
