"""Decodes OTLP bodies in JSON. It needs no library beyond those that claude-force always has.

The format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Whole numbers of 64 bits are texts, but
some senders write numbers; ids are hexadecimal, but some senders write base64. Both are read. Unknown fields are
ignored, null is a field that is not there.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

import msgspec

from claude_force.errors import InvalidBody
from claude_force.receiver.budget import COUNTED_BYTES, VALUES_LIMIT, Budget, check_attributes, too_many_values
from claude_force.receiver.records import (
    DROPPED,
    FAILED,
    FINE,
    UNSET,
    Attributes,
    Groups,
    LogRecord,
    Names,
    Point,
    Record,
    Source,
    Span,
)

_STATUSES = {"STATUS_CODE_OK": FINE, "STATUS_CODE_ERROR": FAILED}
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_ID_DIGITS = (16, 32)
_MARKS = (b"{", b"[", b",")
"""One of these is before every value."""

_LENIENT_BYTES = 8 * 1024 * 1024
"""The largest body that is read by the standard library, which needs 30 bytes for each of its bytes."""

Number = int | float | str | None


class _Part(msgspec.Struct, rename="camel", gc=False):
    pass


class _AnyValue(_Part):
    string_value: str | None = None
    int_value: Number = None
    double_value: Number = None
    bool_value: bool | None = None
    bytes_value: str | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValues | None = None


class _KeyValue(_Part):
    key: str | None = None
    value: _AnyValue | None = None


class _ArrayValue(_Part):
    values: list[_AnyValue | None] | None = None


class _KeyValues(_Part):
    values: list[_KeyValue] | None = None


class _Resource(_Part):
    attributes: list[_KeyValue] | None = None


class _Scope(_Part):
    name: str | None = None


class _LogRecord(_Part):
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    event_name: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeLogs(_Part):
    scope: _Scope | None = None
    log_records: list[_LogRecord] | None = None


class _ResourceLogs(_Part):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(_Part):
    resource_logs: list[_ResourceLogs] | None = None


class _Status(_Part):
    code: int | str | None = None


class _Span(_Part):
    name: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    status: _Status | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(_Part):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _ResourceSpans(_Part):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(_Part):
    resource_spans: list[_ResourceSpans] | None = None


class _Point(_Part):
    start_time_unix_nano: Number = None
    time_unix_nano: Number = None
    as_int: Number = None
    as_double: Number = None
    attributes: list[_KeyValue] | None = None


class _Data(_Part):
    data_points: list[_Point] | None = None
    aggregation_temporality: int | str | None = None


class _Metric(_Part):
    name: str | None = None
    sum: _Data | None = None
    gauge: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None
    summary: _Data | None = None


class _ScopeMetrics(_Part):
    scope: _Scope | None = None
    metrics: list[_Metric] | None = None


class _ResourceMetrics(_Part):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _Metrics(_Part):
    resource_metrics: list[_ResourceMetrics] | None = None


Body = TypeVar("Body", _Logs, _Traces, _Metrics)

_logs = msgspec.json.Decoder(_Logs)
_traces = msgspec.json.Decoder(_Traces)
_metrics = msgspec.json.Decoder(_Metrics)


def decode_logs(body: bytes, dropped: Names) -> Groups:
    """The log records of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(_logs, body).resource_logs):
        resource = _resource(dropped, group.resource)
        for scoped in budget.spend(group.scope_logs):
            yield Source(resource, _scope(scoped.scope)), map(partial(_log, dropped), budget.spend(scoped.log_records))


def decode_traces(body: bytes, dropped: Names) -> Groups:
    """The spans of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(_traces, body).resource_spans):
        resource = _resource(dropped, group.resource)
        for scoped in budget.spend(group.scope_spans):
            yield Source(resource, _scope(scoped.scope)), map(partial(_span, dropped), budget.spend(scoped.spans))


def decode_metrics(body: bytes, dropped: Names) -> Groups:
    """The data points of a body. Raises InvalidBody."""
    budget = Budget()
    for group in budget.spend(_parse(_metrics, body).resource_metrics):
        resource = _resource(dropped, group.resource)
        for scoped in budget.spend(group.scope_metrics):
            points = (point for metric in budget.spend(scoped.metrics) for point in _points(dropped, metric, budget))
            yield Source(resource, _scope(scoped.scope)), points


def _parse(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    if len(body) > COUNTED_BYTES and sum(map(body.count, _MARKS)) > VALUES_LIMIT:
        raise too_many_values()
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidBody(f"the body is no OTLP in JSON: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_leniently(decoder, body)


def _parse_leniently(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """The same for a body with half characters, which the standard library reads: one bad text must not cost the other
    records of the body."""
    if len(body) > _LENIENT_BYTES:
        raise InvalidBody("the body is no OTLP in JSON, or has half a character")
    try:
        found: Body = msgspec.convert(json.loads(body), decoder.type)
    except (ValueError, RecursionError) as error:
        raise InvalidBody(f"the body is no OTLP in JSON: {error}") from None
    return found


def _resource(dropped: Names, resource: _Resource | None) -> Attributes:
    return _attributes(dropped, resource.attributes) if resource else {}


def _scope(scope: _Scope | None) -> str:
    return scope.name or "" if scope else ""


def _log(dropped: Names, record: _LogRecord) -> Record:
    return LogRecord(
        record.event_name or "",
        _whole(record.time_unix_nano) or _whole(record.observed_time_unix_nano),
        record.body.string_value or "" if record.body else "",
        _attributes(dropped, record.attributes),
    )


def _span(dropped: Names, span: _Span) -> Record:
    return Span(
        span.name or "",
        _id(span.trace_id),
        _id(span.span_id),
        _whole(span.start_time_unix_nano),
        _whole(span.end_time_unix_nano),
        _status(span.status),
        _attributes(dropped, span.attributes),
    )


def _status(status: _Status | None) -> int:
    code = status.code if status else None
    return code if isinstance(code, int) else _STATUSES.get(code or "", UNSET)


def _points(dropped: Names, metric: _Metric, budget: Budget) -> Iterator[Record]:
    data = metric.sum or metric.gauge or metric.histogram or metric.exponential_histogram or metric.summary
    is_delta = metric.sum is not None and metric.sum.aggregation_temporality in _DELTA
    for point in budget.spend(data.data_points if data else None):
        yield Point(
            metric.name or "",
            _whole(point.start_time_unix_nano),
            _whole(point.time_unix_nano),
            _point_value(point) if metric.sum else None,
            is_delta,
            _attributes(dropped, point.attributes),
        )


def _point_value(point: _Point) -> int | float | None:
    found = _integer(point.as_int) if point.as_int is not None else _double(point.as_double)
    return None if isinstance(found, str) else found


def _attributes(dropped: Names, pairs: list[_KeyValue] | None) -> Attributes:
    if not pairs:
        return {}
    check_attributes(pairs)
    return {pair.key or "": _value(pair.value) for pair in pairs if pair.key not in dropped}


def _value(value: _AnyValue | None) -> object:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.double_value is not None:
        return _double(value.double_value)
    if value.bool_value is not None:
        return value.bool_value
    return _rare_value(value)


def _rare_value(value: _AnyValue) -> object:
    if value.array_value is not None:
        return [_value(item) for item in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _attributes(DROPPED, value.kvlist_value.values)
    if value.bytes_value is not None:
        try:
            return base64.b64decode(value.bytes_value)
        except (binascii.Error, ValueError):
            return value.bytes_value
    return None


def _integer(number: Number) -> int | float | str | None:
    """A whole number; what is none stays as it was sent, for whoever reads it to refuse."""
    if not isinstance(number, str):
        return int(number) if isinstance(number, float) and number.is_integer() else number
    try:
        return int(number)
    except ValueError:
        return number


def _double(number: Number) -> float | str | None:
    """A number with a fraction. "NaN" and "Infinity" are texts in JSON."""
    try:
        return None if number is None else float(number)
    except (ValueError, OverflowError):
        return str(number)


def _whole(number: Number) -> int:
    """A number of nanoseconds; -1 for what is none."""
    found = _integer(number)
    return 0 if found is None else found if isinstance(found, int) else -1


def _id(text: str | None) -> str:
    """An id as hexadecimal digits in lower case."""
    if not text:
        return ""
    if len(text) in _ID_DIGITS:
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return text.lower()
