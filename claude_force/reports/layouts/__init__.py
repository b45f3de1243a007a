"""Layouts: the tables and lines of each command's output."""

from __future__ import annotations
