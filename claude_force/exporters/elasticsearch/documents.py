"""Executions as documents, and the index or data stream that holds them.

The ten fields of the guide have its names and types. Unknown values are left out of a document. The id of a document is
the uid of its execution, so sending it twice does not duplicate it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claude_force.executions.jsonl.codec import ALL_COLUMNS, columns_of
from claude_force.executions.record import ExecutionRow
from claude_force.exporters.elasticsearch.client import call, failure, refusal
from claude_force.exporters.elasticsearch.server import Server

_GUIDE_TYPES = {
    "timestamp": "date",
    "agent_name": "keyword",
    "task_hash": "keyword",
    "success": "boolean",
    "execution_time_ms": "integer",
    "model": "keyword",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "total_tokens": "integer",
    "estimated_cost": "float",
}
_NUMBERS = {
    **dict.fromkeys(("workflow_position", "cache_read_tokens", "cache_write_5m_tokens"), "integer"),
    **dict.fromkeys(("cache_write_1h_tokens", "web_searches"), "integer"),
    **dict.fromkeys(("reference_cost", "recorded_cost"), "double"),
    "steps": "object",
}
TYPES = {name: (_GUIDE_TYPES | _NUMBERS).get(name, "keyword") for name in ALL_COLUMNS}
"""The type of each field. A name has at most 1,000 characters, far below the 32,766 bytes of a keyword."""

STREAM_TIME = "@timestamp"
"""The field that every document of a data stream must have."""

_PRIORITY = 500
"""The priority of our template, above those that Elasticsearch brings (100 to 200)."""

_EXISTS = "resource_already_exists_exception"
"""The error if another push was quicker to create an index or a data stream."""


def document_of(row: ExecutionRow, format_time: Callable[[int], str], *, is_stream: bool) -> tuple[str, dict[str, Any]]:
    """The id and the document of a row."""
    columns = columns_of(row, format_time)
    found = {name: value for name, value in columns.items() if value is not None}
    if "execution_time_ms" in found:
        found["execution_time_ms"] = round(found["execution_time_ms"])
    if is_stream:
        found[STREAM_TIME] = found["timestamp"]
    return columns["uid"], found


def prepare(server: Server, index: str, *, is_stream: bool) -> None:
    """Create the index, or the data stream, if it does not exist. Raises PushError if the server refuses, or if the
    name belongs to the other of the two."""
    found = call(server, "GET", f"/{index}?filter_path=*.data_stream")
    if found.status == 404:
        _create_stream(server, index) if is_stream else _create(server, f"/{index}", _mappings(TYPES))
    elif found.status >= 300:
        raise refusal(server, found)
    elif is_stream != bool(found.content):
        there, remedy = ("an index", "remove data_stream") if is_stream else ("a data stream", "set data_stream")
        raise failure(server, f"has {there} named {index}: {remedy}, or name another index")


def _create_stream(server: Server, index: str) -> None:
    template = f"/_index_template/{index}"
    found = call(server, "HEAD", template)
    if found.status == 404:
        content = {
            "index_patterns": [index],
            "data_stream": {},
            "priority": _PRIORITY,
            "template": _mappings(TYPES | {STREAM_TIME: "date"}),
        }
        _create(server, template, content)
    elif found.status >= 300:
        raise refusal(server, found)
    _create(server, f"/_data_stream/{index}")


def _create(server: Server, path: str, content: dict[str, Any] | None = None) -> None:
    response = call(server, "PUT", path, content or b"")
    if response.status >= 300 and response.error_kind != _EXISTS:
        raise refusal(server, response)


def _mappings(types: dict[str, str]) -> dict[str, Any]:
    return {"mappings": {"properties": {name: {"type": kind} for name, kind in types.items()}}}
