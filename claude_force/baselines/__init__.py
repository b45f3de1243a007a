"""Baselines: what executions were like, and whether they are worse now."""

from __future__ import annotations
