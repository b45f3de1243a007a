"""One honest default record, and lines of the formats that are read."""

from __future__ import annotations

import json
from typing import Any

from claude_force.alerts.notification import Notification
from claude_force.executions.record import ExecutionMetrics, fresh_uid

NOON_US = 1_762_000_000_000_000
"""2025-11-01T12:26:40Z."""


def an_execution(**changes: Any) -> ExecutionMetrics:
    """A successful execution of three seconds, priced, with the changes asked for and a uid of its own."""
    values: dict[str, Any] = {
        "timestamp_us": NOON_US,
        "agent_name": "python-expert",
        "success": True,
        "model": "claude-3-5-haiku-20241022",
        "task_hash": "a3b4c5d6",
        "duration_us": 3_456_000,
        "input_tokens": 1234,
        "output_tokens": 567,
        "cost_nanousd": 3_255_200,
        "reference_cost_nanousd": 12_207_000,
    } | changes
    values.setdefault("uid", fresh_uid(values["timestamp_us"]))
    return ExecutionMetrics(**values)


def a_notification(**changes: Any) -> Notification:
    """An alert of the guide that begins, with the changes asked for."""
    values: dict[str, Any] = {
        "rule": "success-rate",
        "title": "Low Success Rate",
        "summary": "Success rate dropped to 87.5%",
        "period": "Last 1 hour",
        "severity": "critical",
        "action": "trigger",
        "labels": {"agent": "python-expert"},
        "details": {"success_rate": 87.5, "executions": 1234, "threshold": None},
        "episode": "0192-success-rate",
        "began_us": NOON_US,
        "at_us": NOON_US + 60_000_000,
        "store": "metrics.db",
        "host": "build-7",
    } | changes
    return Notification(**values)


def a_line(**changes: Any) -> bytes:
    """The guide's example line, with changes; a change to `...` removes the field."""
    values: dict[str, Any] = {
        "timestamp": "2025-11-14T10:30:45.123456",
        "agent_name": "python-expert",
        "task_hash": "a3b4c5d6",
        "success": True,
        "execution_time_ms": 3456,
        "model": "claude-3-5-haiku-20241022",
        "input_tokens": 1234,
        "output_tokens": 567,
        "total_tokens": 1801,
        "estimated_cost": 0.000234,
    } | changes
    return json.dumps({key: value for key, value in values.items() if value is not ...}).encode() + b"\n"


def key(name: str) -> bytes:
    """An identity."""
    return name.encode().ljust(16, b".")
