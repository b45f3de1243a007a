"""The machine: what runs by itself, at which times."""

from __future__ import annotations
