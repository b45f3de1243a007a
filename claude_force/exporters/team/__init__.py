"""Replicating a store into that of a team; start at `push`."""

from __future__ import annotations
