"""Baselines: what executions were like, and whether they are worse now."""

from __future__ import annotations

from claude_force.analytics.baselines.automatic import create_daily
from claude_force.analytics.baselines.check import Check, Verdict, check
from claude_force.analytics.baselines.snapshots import create

__all__ = ["Check", "Verdict", "check", "create", "create_daily"]
