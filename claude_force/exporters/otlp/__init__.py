"""OpenTelemetry: metrics over OTLP/HTTP."""

from __future__ import annotations
