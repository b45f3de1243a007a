"""OpenTelemetry's own exporters send to a server, and what they send is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pytest_httpserver import HTTPServer

from claude_force.executions import outcomes
from claude_force.executions.signals import Signal
from claude_force.receiver.decode import Kind, decode_export
from tests.telemetry import NOON_NS, SESSION, api_request, outcomes_of, requests_of

RESOURCE = Resource({"service.name": "claude-code", "project": "shop"})
COMPRESSIONS = pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])


def sent_to(httpserver: HTTPServer, kind: Kind, send: Callable[[str], None]) -> list[Signal]:
    """What `send` sends to an endpoint, decoded."""
    httpserver.expect_request(f"/v1/{kind}").respond_with_data(b"", content_type="application/x-protobuf")
    send(httpserver.url_for(f"/v1/{kind}"))
    signals: list[Signal] = []
    for request, _ in httpserver.log:
        body = request.get_data()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        signals += decode_export(kind, request.headers["Content-Type"], body)
    return signals


@COMPRESSIONS
def test_the_exporter_of_spans(httpserver: HTTPServer, compression: Compression) -> None:
    """A span by the conventions is a request, as long as the span."""

    def send(endpoint: str) -> None:
        provider = TracerProvider(resource=RESOURCE)
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint, compression=compression)))
        span = provider.get_tracer("mine").start_span("chat m", start_time=NOON_NS)
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-opus-5-5"})
        span.set_attributes({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3})
        span.end(NOON_NS + 2 * 10**9)
        provider.shutdown()

    [request] = requests_of(sent_to(httpserver, "traces", send))

    assert (request.input_tokens, request.output_tokens) == (7, 3)
    assert (request.duration_us, request.at_us) == (2_000_000, NOON_NS // 1000 + 2_000_000)
    assert (request.project, len(request.span_id or "")) == ("shop", 48)


@COMPRESSIONS
def test_the_exporter_of_log_records(httpserver: HTTPServer, compression: Compression) -> None:
    """An event with every kind of attribute is a request."""
    said: dict[str, Any] = api_request()

    def send(endpoint: str) -> None:
        provider = LoggerProvider(resource=RESOURCE)
        exporter = OTLPLogExporter(endpoint, compression=compression)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        record = LogRecord(
            timestamp=NOON_NS,
            body="claude_code.api_request",
            severity_number=SeverityNumber.INFO,
            attributes=said,
        )
        provider.get_logger("com.anthropic.claude_code.events").emit(record)
        provider.shutdown()

    [request] = requests_of(sent_to(httpserver, "logs", send))

    assert (request.request_id, request.session_id) == (said["request_id"], SESSION)
    assert (request.input_tokens, request.cost_nanousd) == (6, 36_384_000)


@COMPRESSIONS
def test_the_exporter_of_metrics(httpserver: HTTPServer, compression: Compression) -> None:
    """The points of a delta counter are outcomes, one for each set of attributes and each export."""

    def send(endpoint: str) -> None:
        delta: dict[type, AggregationTemporality] = {Counter: AggregationTemporality.DELTA}
        exporter = OTLPMetricExporter(endpoint, compression=compression, preferred_temporality=delta)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        provider = MeterProvider([reader], resource=RESOURCE)
        counter = provider.get_meter("com.anthropic.claude_code").create_counter("claude_code.lines_of_code.count")
        for lines in (10, 2):
            counter.add(lines, {"type": "added", "session.id": SESSION})
            counter.add(1, {"type": "removed", "session.id": SESSION})
            provider.force_flush()
        provider.shutdown()

    found = outcomes_of(sent_to(httpserver, "metrics", send))

    assert [(outcome.name, outcome.kind, outcome.value) for outcome in found] == [
        (outcomes.LINES, "added", 10),
        (outcomes.LINES, "removed", 1),
        (outcomes.LINES, "added", 2),
        (outcomes.LINES, "removed", 1),
    ]
    assert len({outcome.key for outcome in found}) == 4
