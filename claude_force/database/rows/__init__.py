"""Rows of the small tables, as Python values."""

from __future__ import annotations
