"""Prometheus: a Pushgateway, a text file, and the text format."""

from __future__ import annotations
