"""Baselines: snapshots of executions, and the check for regressions against them."""

from __future__ import annotations

from claude_force.analytics.baselines.automatic import create_automatic
from claude_force.analytics.baselines.check import Check, check
from claude_force.analytics.baselines.labels import check_labels
from claude_force.analytics.baselines.rules import Verdict
from claude_force.analytics.baselines.snapshots import create

__all__ = ["Check", "Verdict", "check", "check_labels", "create", "create_automatic"]
