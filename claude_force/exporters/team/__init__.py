"""Replicating a store into that of a team; start at `push`."""

from __future__ import annotations

PATH = "/v1/team"
"""The endpoint of a receiver that takes deliveries."""
