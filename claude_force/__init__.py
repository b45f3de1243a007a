"""claude-force: the store of record for the metrics of Claude agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker, get_tracker

__version__ = "2.2.0"
__all__ = ["ExecutionMetrics", "PerformanceTracker", "__version__", "get_tracker"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from claude_force.performance_tracker import tracker as performance_tracker

        return getattr(performance_tracker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
