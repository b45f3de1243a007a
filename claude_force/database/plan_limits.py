"""Stores observations of plan limits. Beside the package `writes`, which takes longer to load than the status line may
take.
"""

from __future__ import annotations

from collections.abc import Iterable

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.plan_limits import COLUMNS
from claude_force.executions.plan_limits import PlanLimit

KEPT_US = 35 * DAY_US
"""Observations are kept for five weeks: the longest usual window is a week."""


def add_plan_limits(connection: Connection, limits: Iterable[PlanLimit]) -> None:
    """Store observations, and delete those of the same limits that are too old. Idempotent."""
    for limit in limits:
        connection.insert_all(f"plan_limits ({COLUMNS})", [tuple(limit)], "ON CONFLICT DO NOTHING")
        connection.execute(
            "DELETE FROM plan_limits WHERE host = :host AND kind = :kind AND observed_us < :before_us",
            {"host": limit.host, "kind": limit.kind, "before_us": limit.observed_us - KEPT_US},
        )
