"""Decodes OTLP bodies in protobuf. Importing this module needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from claude_force.errors import InvalidBody
from claude_force.receiver.broken_text import repaired
from claude_force.receiver.budget import COUNTED_BYTES, Budget, check_attributes
from claude_force.receiver.records import DROPPED, Attributes, Groups, LogRecord, Names, Point, Record, Source, Span
from claude_force.receiver.wire import count_messages

_DELTA = 1
"""The temporality of a sum whose points do not contain each other."""


def decode_logs(body: bytes, dropped: Names) -> Groups:
    """The log records of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(ExportLogsServiceRequest, body).resource_logs):
        resource = _attributes(dropped, group.resource.attributes)
        for scoped in budget.spend(group.scope_logs):
            yield Source(resource, scoped.scope.name), map(partial(_log, dropped), budget.spend(scoped.log_records))


def decode_traces(body: bytes, dropped: Names) -> Groups:
    """The spans of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(ExportTraceServiceRequest, body).resource_spans):
        resource = _attributes(dropped, group.resource.attributes)
        for scoped in budget.spend(group.scope_spans):
            yield Source(resource, scoped.scope.name), map(partial(_span, dropped), budget.spend(scoped.spans))


def decode_metrics(body: bytes, dropped: Names) -> Groups:
    """The data points of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(ExportMetricsServiceRequest, body).resource_metrics):
        resource = _attributes(dropped, group.resource.attributes)
        for scoped in budget.spend(group.scope_metrics):
            points = (point for metric in budget.spend(scoped.metrics) for point in _points(dropped, metric, budget))
            yield Source(resource, scoped.scope.name), points


def _parse(message: Any, body: bytes) -> Any:
    if len(body) > COUNTED_BYTES:
        count_messages(message, body)
    try:
        return message.FromString(body)
    except DecodeError:
        return _parse_repaired(message, body)


def _parse_repaired(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(repaired(message, body))
    except DecodeError as error:
        raise InvalidBody(f"the body is no OTLP in protobuf: {error}") from None


def _log(dropped: Names, record: Any) -> Record:
    return LogRecord(
        record.event_name,
        record.time_unix_nano or record.observed_time_unix_nano,
        record.body.string_value,
        _attributes(dropped, record.attributes),
    )


def _span(dropped: Names, span: Any) -> Record:
    return Span(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        _attributes(dropped, span.attributes),
    )


def _points(dropped: Names, metric: Any, budget: Budget) -> Iterator[Record]:
    kind = metric.WhichOneof("data")
    data: Any = getattr(metric, kind) if kind else None
    is_delta = kind == "sum" and data.aggregation_temporality == _DELTA
    for point in budget.spend(data.data_points if data else None):
        value = getattr(point, point.WhichOneof("value") or "", None) if kind == "sum" else None
        attributes = _attributes(dropped, point.attributes)
        yield Point(metric.name, point.start_time_unix_nano, point.time_unix_nano, value, is_delta, attributes)


def _attributes(dropped: Names, pairs: Any) -> Attributes:
    check_attributes(pairs)
    found: Attributes = {}
    for pair in pairs:
        name = pair.key
        if name not in dropped:
            value = pair.value
            # Most values are texts or numbers; to ask which kind a value is takes longer than to read it.
            found[name] = value.string_value or value.int_value or value.double_value or _rare_value(value)
    return found


def _rare_value(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_rare_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(DROPPED, value.kvlist_value.values)
    return getattr(value, kind) if kind else None
