"""The recording API. `PerformanceTracker` is the way in."""

from __future__ import annotations

from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker, get_tracker, logger

__all__ = ["ExecutionMetrics", "PerformanceTracker", "get_tracker", "logger"]
