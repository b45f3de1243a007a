"""Executions as documents of Elasticsearch, and the index or data stream that holds them.

The names and types of the guide's ten fields are the guide's. What is not known is absent from a document. The id of a
document is the uid of its execution, so that one that is sent twice is there once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elasticsearch import ConflictError, Elasticsearch, NotFoundError, RequestError

from claude_force.executions.jsonl.codec import ALL_COLUMNS, columns_of
from claude_force.executions.record import ExecutionRow
from claude_force.exporters.base import PushError

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
}
TYPES = {name: (_GUIDE_TYPES | _NUMBERS).get(name, "keyword") for name in ALL_COLUMNS}
"""The type of each field. A name has at most 1,000 characters, far below the 32,766 bytes of a keyword."""

STREAM_TIME = "@timestamp"
"""The field without which a data stream takes no document."""

_PRIORITY = 500
"""Above the templates that Elasticsearch brings, which have 100 to 200."""


def document_of(row: ExecutionRow, format_time: Callable[[int], str], *, is_stream: bool) -> tuple[str, dict[str, Any]]:
    """The id and the document of a row."""
    columns = columns_of(row, format_time)
    found = {name: value for name, value in columns.items() if value is not None}
    if "execution_time_ms" in found:
        found["execution_time_ms"] = round(found["execution_time_ms"])
    if is_stream:
        found[STREAM_TIME] = found["timestamp"]
    return columns["uid"], found


def prepare(client: Elasticsearch, index: str, *, is_stream: bool) -> None:
    """See to it that the index, or the data stream, is there. What is there already is left as it is. Raises PushError
    where it is the other of the two, and what the client raises."""
    try:
        found = client.indices.get(index=index, filter_path="*.data_stream")
    except NotFoundError:
        _create_stream(client, index) if is_stream else _create_index(client, index)
        return
    if is_stream != bool(found.body):
        there, remedy = ("an index", "leave data_stream out") if is_stream else ("a data stream", "set data_stream")
        raise PushError(f"{index} of this Elasticsearch is {there}: {remedy}, or name another index")


def _create_index(client: Elasticsearch, index: str) -> None:
    try:
        client.indices.create(index=index, mappings=_mappings(TYPES))
    except RequestError as error:
        # Another was quicker.
        if error.error != "resource_already_exists_exception":
            raise


def _create_stream(client: Elasticsearch, index: str) -> None:
    if not client.indices.exists_index_template(name=index):
        template = {"mappings": _mappings(TYPES | {STREAM_TIME: "date"})}
        client.indices.put_index_template(
            name=index, index_patterns=[index], data_stream={}, priority=_PRIORITY, template=template
        )
    try:
        client.indices.create_data_stream(name=index)
    except (RequestError, ConflictError) as error:
        if error.error != "resource_already_exists_exception":
            raise


def _mappings(types: dict[str, str]) -> dict[str, Any]:
    return {"properties": {name: {"type": kind} for name, kind in types.items()}}
