"""Every write."""

from __future__ import annotations

from claude_force.database.writes.executions import DIRECT_ROLLUP_ROWS
from claude_force.database.writes.ingestion import IngestResult
from claude_force.database.writes.store import PENDING_CHECK_EVERY, PENDING_LIMIT, Store

__all__ = ["DIRECT_ROLLUP_ROWS", "PENDING_CHECK_EVERY", "PENDING_LIMIT", "IngestResult", "Store"]
