"""The recording API; start at `PerformanceTracker`."""

from __future__ import annotations

from claude_force.performance_tracker.recorder import logger
from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker, get_tracker

__all__ = ["ExecutionMetrics", "PerformanceTracker", "get_tracker", "logger"]
