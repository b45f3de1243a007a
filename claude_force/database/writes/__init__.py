"""Every write."""

from __future__ import annotations

from claude_force.database.writes.executions import COUNTED_AT_ONCE
from claude_force.database.writes.ingestion import TakenIn
from claude_force.database.writes.rollups import Progress
from claude_force.database.writes.store import LOOK_EVERY, UNCOUNTED_LIMIT, Store

__all__ = ["COUNTED_AT_ONCE", "LOOK_EVERY", "UNCOUNTED_LIMIT", "Progress", "Store", "TakenIn"]
