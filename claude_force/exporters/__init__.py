"""Exporters: pushes to Prometheus, DataDog, Elasticsearch, OpenTelemetry, and the store of a team."""

from __future__ import annotations
