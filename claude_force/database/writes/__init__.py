"""Every write."""

from __future__ import annotations

from claude_force.database.writes.executions import COUNTED_AT_ONCE
from claude_force.database.writes.ingestion import IngestResult
from claude_force.database.writes.store import LOOK_EVERY, UNCOUNTED_LIMIT, Store

__all__ = ["COUNTED_AT_ONCE", "LOOK_EVERY", "UNCOUNTED_LIMIT", "IngestResult", "Store"]
