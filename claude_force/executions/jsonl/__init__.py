"""Executions as lines of JSON."""

from __future__ import annotations
