"""Automatic baselines: what a job keeps every day, so that there is something to compare with."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from claude_force import clock, windows
from claude_force.analytics.baselines.snapshots import AUTOMATIC_PREFIX, MINIMUM_SAMPLES, measure
from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.baselines import named
from claude_force.database.rows.baselines import Baseline
from claude_force.database.writes import baselines as baseline_writes

DAYS = 30
"""An automatic baseline is of so many days."""

KEPT_DAYS = 90
MOST_NAMES = 50
"""At most so many agents, and so many models, have one of their own."""


class DailyCounts(NamedTuple):
    """What became of a day's automatic baselines."""

    created: int
    removed: int


def create_daily(database: Database, now_us: int, zone: tzinfo = UTC) -> DailyCounts:
    """Keep snapshots of the last 30 days of all executions, of each agent and of each model, under the name of the day
    in `zone` (auto-2026-11-24), and remove automatic ones older than 90 days.

    Those with fewer than MINIMUM_SAMPLES executions are left out. The second call of a day keeps nothing."""
    if not database.exists():
        return DailyCounts(0, 0)
    name = f"{AUTOMATIC_PREFIX}{clock.to_datetime(now_us, zone).date().isoformat()}"
    with database.read() as connection:
        made = [] if named(connection, name) else _snapshots(connection, name, now_us)
    with database.write() as connection:
        created = baseline_writes.put(connection, made)
        removed = baseline_writes.remove_automatic(connection, now_us - KEPT_DAYS * DAY_US)
    return DailyCounts(created, removed)


def _snapshots(connection: Connection, name: str, now_us: int) -> list[Baseline]:
    window = windows.last_window(now_us, days=DAYS)
    assert window.start_us is not None
    assert window.end_us is not None
    made = []
    dimensions: tuple[tuple[Dimension, ...], ...] = ((), ("agent_name",), ("model",))
    for dimension in dimensions:
        found = measure(connection, Filter(window), *dimension)
        for own, snapshot in _most_used(found.items()):
            agent, model = (own or "" if dimension == (kind,) else "" for kind in ("agent_name", "model"))
            executions = snapshot["total_executions"]
            made.append(
                Baseline(name, agent, model, True, now_us, window.start_us, window.end_us, executions, snapshot)
            )
    return made


def _most_used(found: Any) -> list[tuple[str | None, dict[str, Any]]]:
    enough = [item for item in found if item[1]["total_executions"] >= MINIMUM_SAMPLES]
    return sorted(enough, key=lambda item: (-item[1]["total_executions"], item[0] or ""))[:MOST_NAMES]
