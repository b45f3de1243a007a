"""Storing and removing baselines. A stored one is never changed, so that a comparison can be repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from claude_force.database.contract import Connection
from claude_force.database.queries.baselines import HEAD
from claude_force.database.rows.baselines import Baseline

_COLUMNS = (*HEAD, "snapshot")
_PUT = (
    f"INSERT INTO baselines ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "
    "ON CONFLICT DO NOTHING"
)


def put(connection: Connection, baselines: Sequence[Baseline]) -> int:
    """Store the baselines whose name is new for their agent and model; returns how many."""
    return connection.execute_many(_PUT, [_row(baseline) for baseline in baselines]) if baselines else 0


def _row(baseline: Baseline) -> dict[str, Any]:
    values = {name: getattr(baseline, name) for name in HEAD}
    snapshot = json.dumps(baseline.snapshot, separators=(",", ":"), allow_nan=False)
    return values | {"is_automatic": int(baseline.is_automatic), "snapshot": snapshot}


def remove(connection: Connection, baselines: Sequence[tuple[str, str, str]]) -> int:
    """Remove baselines by name, agent and model; returns how many existed."""
    return connection.execute_many(
        "DELETE FROM baselines WHERE name = :name AND agent_name = :agent AND model = :model",
        [{"name": name, "agent": agent, "model": model} for name, agent, model in baselines],
    )


def remove_automatic(connection: Connection, before_us: int) -> int:
    """Remove the automatic baselines made before an instant; returns how many."""
    return connection.execute(
        "DELETE FROM baselines WHERE is_automatic = 1 AND created_us < :before_us", {"before_us": before_us}
    )
