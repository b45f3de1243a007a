"""claude-force: the store of record for the metrics of Claude agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_force.anthropic_sdk.recording import instrument, record_batch
    from claude_force.headless.agent_options import agent_options
    from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker, get_tracker

__version__ = "2.2.0"
__all__ = [
    "ExecutionMetrics",
    "PerformanceTracker",
    "__version__",
    "agent_options",
    "get_tracker",
    "instrument",
    "record_batch",
]


def __getattr__(name: str) -> Any:
    if name == "agent_options":
        from claude_force.headless.agent_options import agent_options

        return agent_options
    if name in ("instrument", "record_batch"):
        from claude_force.anthropic_sdk import recording

        return getattr(recording, name)
    if name in __all__:
        from claude_force.performance_tracker import tracker as performance_tracker

        return getattr(performance_tracker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
