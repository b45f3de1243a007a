"""Layouts: the answer of each command as a table, JSON, CSV and Markdown."""

from __future__ import annotations
