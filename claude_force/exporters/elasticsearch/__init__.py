"""Elasticsearch: one document for each execution."""

from __future__ import annotations
