"""Automatic baselines: snapshots that the scheduler takes every day, so that a check always has one to compare with."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import NamedTuple

from claude_force import clock, time_windows
from claude_force.analytics.baselines.snapshots import AUTOMATIC_PREFIX, MINIMUM_SAMPLES, Snapshot, measure
from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.baselines import named
from claude_force.database.rows.baselines import Baseline
from claude_force.database.writes import baselines as baseline_writes

DAYS = 30
"""The length of the period of an automatic baseline."""

KEPT_DAYS = 90
MAXIMUM_NAMES = 50
"""At most this many agents, and this many models, get a baseline of their own: the most used."""


class AutomaticCounts(NamedTuple):
    """The number of automatic baselines that were created and removed."""

    created: int
    removed: int


def create_automatic(database: Database, now_us: int, zone: tzinfo = UTC) -> AutomaticCounts:
    """Store snapshots of the last 30 days: one of all executions, one for each agent and one for each model. Their name
    is the date in `zone` (auto-2026-11-24). Remove automatic baselines that are older than 90 days.

    Agents and models with fewer than MINIMUM_SAMPLES executions get none. A second call on the same day stores nothing.
    """
    if not database.exists():
        return AutomaticCounts(0, 0)
    name = f"{AUTOMATIC_PREFIX}{clock.to_datetime(now_us, zone).date().isoformat()}"
    with database.read() as connection:
        made = [] if named(connection, name) else _take_snapshots(connection, name, now_us)
    with database.write() as connection:
        created = baseline_writes.put(connection, made)
        removed = baseline_writes.remove_automatic(connection, now_us - KEPT_DAYS * DAY_US)
    return AutomaticCounts(created, removed)


def _take_snapshots(connection: Connection, name: str, now_us: int) -> list[Baseline]:
    window = time_windows.last_window(now_us, days=DAYS)
    assert window.start_us is not None
    assert window.end_us is not None
    made = []
    dimensions: tuple[tuple[Dimension, ...], ...] = ((), ("agent_name",), ("model",))
    for dimension in dimensions:
        for key, snapshot in _most_used(measure(connection, Filter(window), *dimension)):
            agent, model = (key or "" if dimension == (kind,) else "" for kind in ("agent_name", "model"))
            executions = snapshot["total_executions"]
            made.append(
                Baseline(name, agent, model, True, now_us, window.start_us, window.end_us, executions, snapshot)
            )
    return made


def _most_used(snapshots: dict[str | None, Snapshot]) -> list[tuple[str | None, Snapshot]]:
    enough = [item for item in snapshots.items() if item[1]["total_executions"] >= MINIMUM_SAMPLES]
    return sorted(enough, key=lambda item: (-item[1]["total_executions"], item[0] or ""))[:MAXIMUM_NAMES]
