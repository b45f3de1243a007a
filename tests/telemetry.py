"""Bodies of OTLP as agents send them, for tests of the receiver: the same records in protobuf and in JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from claude_force.executions.signals import Heard, ModelRequest, Outcome, Signal
from claude_force.receiver.decode import Kind, decode_export

JSON, PROTOBUF = "application/json", "application/x-protobuf"
NOON_NS = 1_795_867_200_000_000_000
"""Noon (UTC) of a day in November 2026."""

SESSION = "5f0c9a1e-3b52-4d7c-9a43-0f6f2d1b7c11"
RESOURCE = {"service.name": "claude-code", "service.version": "2.1.332", "os.type": "linux"}

PERSONAL = {
    "user.id": "personal-user-id",
    "user.email": "personal@example.com",
    "user.account_uuid": "personal-account-uuid",
    "user.account_id": "personal-account-id",
    "organization.id": "personal-organization",
    "user.groups": ["personal-group"],
    "workspace.host_paths": ["/home/personal"],
    "prompt": "personal prompt text",
    "tool_input": "personal tool input",
    "tool_parameters": "personal tool parameters",
    "user_prompt": "personal user prompt",
    "response": "personal response",
}
"""Attributes with what no signal may hold. Each value has the word "personal" in it."""

Message = ExportLogsServiceRequest | ExportTraceServiceRequest | ExportMetricsServiceRequest


def api_request(**changed: Any) -> dict[str, Any]:
    """The attributes of an event `api_request` as Claude Code 2.1.332 sends it. None takes one away."""
    attributes = {
        "session.id": SESSION,
        "anthropic.provider": "firstParty",
        "event.name": "api_request",
        "event.timestamp": "2026-11-28T12:00:00.000Z",
        "event.sequence": 41,
        "prompt.id": "7d3e5f20-41aa-4a8e-8b0e-5b8b6c0a2f90",
        "model": "claude-opus-5-5",
        "input_tokens": 6,
        "output_tokens": 412,
        "cache_read_tokens": 48200,
        "cache_creation_tokens": 2310,
        "cache_creation_5m_tokens": 0,
        "cache_creation_1h_tokens": 2310,
        "cost_usd": 0.036384,
        "cost_usd_micros": 36384,
        "duration_ms": 9120,
        "ttft_ms": 1380,
        "request_id": "req_011EXAMPLEmain0001",
        "speed": "normal",
        "query_source": "repl_main_thread",
        "effort": "high",
        **PERSONAL,
    }
    return without_none(attributes | {name.replace("__", "."): value for name, value in changed.items()})


def without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}


def any_value(value: Any) -> AnyValue:
    """A value of OpenTelemetry."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case _:
            return AnyValue()


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes of OpenTelemetry."""
    return [KeyValue(key=name, value=any_value(value)) for name, value in attributes.items()]


def logs(
    *events: Mapping[str, Any],
    resource: Mapping[str, Any] = RESOURCE,
    scope: str = "com.anthropic.claude_code.events",
    prefix: str = "claude_code.",
    start_ns: int = NOON_NS,
) -> ExportLogsServiceRequest:
    """A body of log events, a second apart."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs(resource))
    scoped = group.scope_logs.add()
    scoped.scope.name = scope
    for number, attributes in enumerate(events):
        record = scoped.log_records.add(time_unix_nano=start_ns + number * 10**9)
        record.body.string_value = prefix + str(attributes.get("event.name", ""))
        record.attributes.extend(pairs(attributes))
    return request


def spans(
    *found: Mapping[str, Any],
    name: str = "chat claude",
    scope: str = "some.instrumentation",
    resource: Mapping[str, Any] = RESOURCE,
    status: int = 0,
) -> ExportTraceServiceRequest:
    """A body of spans of a second, one after the other."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(pairs(resource))
    scoped = group.scope_spans.add()
    scoped.scope.name = scope
    for number, attributes in enumerate(found):
        start_ns = NOON_NS + number * 10**9
        span = scoped.spans.add(name=name, start_time_unix_nano=start_ns, end_time_unix_nano=start_ns + 10**9)
        span.trace_id, span.span_id = bytes(range(16)), bytes([*range(7), number])
        span.status.code = status
        span.attributes.extend(pairs(attributes))
    return request


def metrics(
    *found: tuple[str, int | float, Mapping[str, Any]],
    temporality: int = 1,
    resource: Mapping[str, Any] = RESOURCE,
    time_ns: int = NOON_NS,
) -> ExportMetricsServiceRequest:
    """A body of sums over a minute: name, value and attributes of each."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(pairs(resource))
    scoped = group.scope_metrics.add()
    scoped.scope.name = "com.anthropic.claude_code"
    for name, value, attributes in found:
        metric = scoped.metrics.add(name=name)
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = True
        point = metric.sum.data_points.add(start_time_unix_nano=time_ns - 60 * 10**9, time_unix_nano=time_ns)
        if isinstance(value, int):
            point.as_int = value
        else:
            point.as_double = value
        point.attributes.extend(pairs(attributes))
    return request


def as_json(message: Message) -> bytes:
    """A body as JSON of OTLP: ids in hexadecimal digits."""
    found = MessageToDict(message)
    for group in found.get("resourceSpans", ()):
        for scoped in group.get("scopeSpans", ()):
            for span in scoped.get("spans", ()):
                _write_ids_in_hex(span)
    return json.dumps(found).encode()


def _write_ids_in_hex(span: dict[str, Any]) -> None:
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in span:
            span[name] = base64.b64decode(span[name]).hex()


def signals_of(message: Message) -> list[Signal]:
    """What a body says, which must be the same in both formats."""
    kind = kind_of(message)
    found = decode_export(kind, PROTOBUF, message.SerializeToString())
    assert decode_export(kind, JSON, as_json(message)) == found
    return found


def kind_of(message: Message) -> Kind:
    """The kind of request that a body belongs to."""
    kinds: dict[type, Kind] = {
        ExportLogsServiceRequest: "logs",
        ExportTraceServiceRequest: "traces",
        ExportMetricsServiceRequest: "metrics",
    }
    return kinds[type(message)]


def requests_of(signals: Sequence[Signal]) -> list[ModelRequest]:
    """The model requests among signals."""
    return [signal for signal in signals if isinstance(signal, ModelRequest)]


def outcomes_of(signals: Sequence[Signal]) -> list[Outcome]:
    """The outcomes among signals."""
    return [signal for signal in signals if isinstance(signal, Outcome)]


def heard_of(signals: Sequence[Signal]) -> list[tuple[str, int, str]]:
    """The name, the number and the reason of what was heard."""
    return [(signal.name, signal.records, signal.ignored) for signal in signals if isinstance(signal, Heard)]
