"""Exporters: pushes to Prometheus, DataDog, Elasticsearch and OpenTelemetry."""

from __future__ import annotations
