"""The SQLite engine, through the standard library."""

from __future__ import annotations
