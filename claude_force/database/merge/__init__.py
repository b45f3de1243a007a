"""Merging another store into this one; start at `run.merge`."""

from __future__ import annotations

from claude_force.database.merge.run import MergeReport, merge, size_of
from claude_force.database.merge.source import OtherStore, open_other

__all__ = ["MergeReport", "OtherStore", "merge", "open_other", "size_of"]
