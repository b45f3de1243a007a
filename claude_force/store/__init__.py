"""Every write."""

from __future__ import annotations

from claude_force.store.counting import Progress
from claude_force.store.intake import TakenIn
from claude_force.store.rows import COUNTED_AT_ONCE
from claude_force.store.writing import LOOK_EVERY, UNCOUNTED_LIMIT, Store

__all__ = ["COUNTED_AT_ONCE", "LOOK_EVERY", "UNCOUNTED_LIMIT", "Progress", "Store", "TakenIn"]
