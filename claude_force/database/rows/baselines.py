"""Baselines as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from claude_force.clock import to_datetime
from claude_force.time_windows import last_day


@dataclass(frozen=True, slots=True)
class BaselineHead:
    """What a baseline describes: the executions in [start, end) of an agent, of a model, of both, or ("" and "") of
    all. `is_automatic` marks those that a job makes and removes."""

    name: str
    agent_name: str
    model: str
    is_automatic: bool
    created_us: int
    start_us: int
    end_us: int
    executions: int

    def days(self, zone: tzinfo) -> tuple[date, date]:
        """Its first and its last day in `zone`. A period of whole days ends with the day that was given for its end."""
        return to_datetime(self.start_us, zone).date(), last_day(self.end_us, zone)


@dataclass(frozen=True, slots=True)
class Baseline(BaselineHead):
    """A baseline. `snapshot` has the keys that `analytics.baselines.snapshots` describes."""

    snapshot: Mapping[str, Any]
