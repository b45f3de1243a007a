"""The environment variables by which Claude Code sends its telemetry to a receiver.

Claude Code 2.1.332 decodes the values of OTEL_RESOURCE_ATTRIBUTES, not those of OTEL_EXPORTER_OTLP_HEADERS. Variables
in its settings.json take precedence over those of its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
RESOURCE_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
ENDPOINTS = (ENDPOINT, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
"""The variables that say where telemetry goes. The last two go before the first, each for its signal."""

RUN = "claude_force.run"
"""The attribute with the id of a run of `claude-force run`."""

DEFAULT_PORT = 4319
"""The port of the receiver. Not 4318: there a collector usually listens, and our own `push otlp` sends to it."""

LABEL = "label"
"""The attribute with the label of a run."""

LABEL_VARIABLE = "CLAUDE_FORCE_LABEL"
"""The variable with the label of all that a program does."""

JSON, PROTOBUF = "http/json", "http/protobuf"

LOGS_INTERVAL_MS, METRICS_INTERVAL_MS = 1_000, 10_000
"""Short, since what waits in a process that is killed is lost; the defaults are five times and six times as long."""


def telemetry_variables(endpoint: str, protocol: str, token: str | None = None) -> dict[str, str]:
    """What switches telemetry on and sends it to an endpoint, such as "http://127.0.0.1:4319"."""
    found = {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        PROTOCOL: protocol,
        ENDPOINT: endpoint,
        "OTEL_LOGS_EXPORT_INTERVAL": str(LOGS_INTERVAL_MS),
        "OTEL_METRIC_EXPORT_INTERVAL": str(METRICS_INTERVAL_MS),
    }
    return found if token is None else found | {HEADERS: f"Authorization=Bearer {token}"}


def other_endpoint(variables: Mapping[str, str], endpoint: str | None = None) -> str | None:
    """The first endpoint among some variables that is not `endpoint`; None if there is none."""
    named = (variables.get(name, "") for name in ENDPOINTS)
    return next((url for url in named if url and url.rstrip("/") != (endpoint or "").rstrip("/")), None)


def with_attributes(given: str | None, attributes: Mapping[str, str | None]) -> str:
    """The value of OTEL_RESOURCE_ATTRIBUTES with more attributes; those that are None are left out. What was given
    stays, but for attributes of the same names."""
    known = {name: value for name, value in attributes.items() if value is not None}
    kept = [part for part in (given or "").split(",") if part.strip() and part.partition("=")[0].strip() not in known]
    return ",".join([*kept, *(f"{name}={quote(value, safe='', errors='replace')}" for name, value in known.items())])
