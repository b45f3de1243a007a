"""Baselines as rows: what they are of, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BaselineHead:
    """What a baseline is of: the executions of [start, end) of an agent, of a model, of both, or ("" and "") of all.
    `is_automatic` is of those that a job makes and removes."""

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
    """A baseline. `snapshot` has the keys of the guide's baseline, and those of `baselines.snapshots`."""

    snapshot: Mapping[str, Any]
