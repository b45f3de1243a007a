"""Parses a snapshot for a check. A snapshot may be a file that a person wrote, so every value is validated.

A value that is missing is None and is not compared. A value that is wrong is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.analytics.json_fields import TITLES
from claude_force.errors import BaselineError
from claude_force.executions.histogram import bin_lows
from claude_force.text import for_terminal

_LARGEST_NUMBER = 1e15
_LARGEST_FILE_BYTES = 16 * 1024 * 1024
_METRICS = ("success_rate", "avg_execution_time_ms", "p95_latency_ms", "avg_cost_per_execution")
_REMEDY = "claude-force baseline show NAME --json writes a valid file"


class ParsedSnapshot(NamedTuple):
    """The metrics, the numbers of executions behind them, and the distributions by bin. None means unknown."""

    success_rate: float | None
    average_ms: float | None
    p95_ms: float | None
    average_cost: float | None
    executions: int | None
    timed: int | None
    priced: int | None
    durations: dict[int, int] | None
    costs: dict[int, int] | None


def parse_snapshot(snapshot: Mapping[str, Any], origin: str) -> ParsedSnapshot:
    """Parse a snapshot; `origin` is its name in messages. Raises BaselineError for an invalid value."""
    samples = snapshot.get("samples", {})
    if not isinstance(samples, dict):
        raise BaselineError(f"{origin}: samples is not an object")
    rate, average, p95, cost = (_number(snapshot, name, origin) for name in _METRICS)
    if rate is not None and rate > 100:
        raise BaselineError(f"{origin}: success_rate is {rate:g}, not a percentage from 0 to 100")
    executions = _count(samples, "executions", origin)
    if executions is None:
        executions = _count(snapshot, "total_executions", origin)
    unpriced = _count(snapshot, "unpriced_executions", origin)
    timed, priced = (_count(samples, name, origin) for name in ("timed", "priced"))
    if executions is not None:
        timed = executions if timed is None else timed
        priced = max(0, executions - (unpriced or 0)) if priced is None else priced
    durations, costs = (_histogram(snapshot, name, origin) for name in ("duration_bins", "cost_bins"))
    return ParsedSnapshot(rate, average, p95, cost, executions, timed, priced, durations, costs)


def _number(values: Mapping[str, Any], name: str, origin: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # The comparison is false for NaN.
    if not is_number or not 0 <= value <= _LARGEST_NUMBER:
        raise BaselineError(f"{origin}: {name} is {_shorten(value)}, not a number from 0 to {_LARGEST_NUMBER:g}")
    return float(value)


def _count(values: Mapping[str, Any], name: str, origin: str) -> int | None:
    value = _number(values, name, origin)
    if value is not None and not value.is_integer():
        raise BaselineError(f"{origin}: {name} is {_shorten(value)}, not a whole number")
    return None if value is None else int(value)


def _histogram(values: Mapping[str, Any], name: str, origin: str) -> dict[int, int] | None:
    """None if it is missing or empty."""
    bins = values.get(name)
    if bins is None:
        return None
    if not isinstance(bins, dict):
        raise BaselineError(f"{origin}: {name} is not an object")
    found: dict[int, int] = {}
    for key in bins:
        if not (key.isascii() and key.isdigit() and len(key) <= 4 and int(key) < len(bin_lows()) - 1):
            raise BaselineError(f"{origin}: {name} has no bin {_shorten(key)}; create the file again")
        count = _count(bins, key, f"{origin}: {name}")
        if count:
            found[int(key)] = count
    return found or None


def _shorten(value: Any) -> str:
    text = for_terminal(repr(value))
    return text if len(text) <= 40 else f"{text[:40]}…"


def read_file(path: Path) -> dict[str, Any]:
    """Read a snapshot file: written by `baseline show --json`, by `analytics summary --json` or by a person. Raises
    BaselineError with the reason and a remedy."""
    name = for_terminal(str(path))
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE_BYTES + 1)
        if len(text) > _LARGEST_FILE_BYTES:
            raise BaselineError(f"{name} is too large for a baseline")
        found = json.loads(text)
    except FileNotFoundError:
        raise BaselineError(
            f"there is no file {name}; create one: claude-force analytics summary --days 30 --output {name}"
        ) from None
    except OSError as error:
        raise BaselineError(f"{name}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BaselineError(f"{name} is not JSON; {_REMEDY}") from None
    if not isinstance(found, dict) or not any(key in found for key in _METRICS):
        raise BaselineError(f"{name} is not a baseline: it has none of {', '.join(_METRICS)}; {_REMEDY}")
    return found


def filters_in(snapshot: Mapping[str, Any], origin: str) -> dict[str, list[str]]:
    """The names that a snapshot is restricted to, by kind. Raises BaselineError if they are invalid."""
    filters = snapshot.get("filters", {})
    is_valid = isinstance(filters, dict) and all(
        kind in TITLES.values() and isinstance(names, list) and all(isinstance(name, str) for name in names)
        for kind, names in filters.items()
    )
    if not is_valid:
        raise BaselineError(f"{origin}: filters is not an object of lists of names, by {', '.join(TITLES.values())}")
    return {kind: names for kind, names in filters.items() if names}
