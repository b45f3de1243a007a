"""Records of OpenTelemetry as plain values: what both formats of OTLP, protobuf and JSON, are decoded into.

Decoding changes nothing and judges nothing: a record may say anything. Whoever reads it takes values out by
`receiver.values`, which refuses the impossible ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from claude_force.settings.claude_json import USER_ATTRIBUTES

Attributes = dict[str, object]
"""Values by name: text, numbers, truth values, bytes, None, and lists and mappings of them."""

Names = frozenset[str]
"""Names of attributes."""

DROPPED: Names = frozenset(
    {
        *USER_ATTRIBUTES,
        "user.groups",
        "organization.id",
        "organization.name",
        "identity.source",
        "workspace.host_paths",
        "anthropic.organization.id",
        "anthropic.workspace.id",
        "host.id",
        "prompt",
        "user_prompt",
        "response",
        "tool_input",
        "tool_parameters",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "input.value",
        "output.value",
    }
)
"""Attributes about the user, and those with prompts, answers and what tools read or wrote. They are dropped while a
body is decoded, so that nothing that reads records ever sees them; of USER_ATTRIBUTES, the one that the settings name
is not. What is not dropped here is not kept either, unless a reader takes it by its name."""


class Source(NamedTuple):
    """Who sent records: the attributes of the program, and the name of its library or part (scope) that made them."""

    resource: Attributes
    scope: str


class LogRecord(NamedTuple):
    """An event. `name` is "" if it has none; `body` is its text, "" if that is no text."""

    name: str
    time_ns: int
    body: str
    attributes: Attributes


UNSET, FINE, FAILED = 0, 1, 2
"""The status of a span. Most programs leave it unset if all went well."""


class Span(NamedTuple):
    """An operation with a beginning and an end; the ids are hexadecimal digits. `status` is UNSET, FINE or FAILED."""

    name: str
    trace_id: str
    span_id: str
    start_ns: int
    end_ns: int
    status: int
    attributes: Attributes


class Point(NamedTuple):
    """A data point of a metric. `value` is None for a metric that is no sum. `is_delta`: the value since `start_ns`,
    which the next point does not contain again."""

    name: str
    start_ns: int
    time_ns: int
    value: int | float | None
    is_delta: bool
    attributes: Attributes


Record = LogRecord | Span | Point
Groups = Iterator[tuple[Source, Iterator[Record]]]
"""The records of a body by their senders. They are decoded while they are read."""
