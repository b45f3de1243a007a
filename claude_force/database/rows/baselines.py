"""Baselines as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Baseline(BaselineHead):
    """A baseline. `snapshot` has the keys that `analytics.baselines.snapshots` describes."""

    snapshot: Mapping[str, Any]
