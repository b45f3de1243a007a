"""One side of a comparison: the figures of a snapshot, checked, since a snapshot may be a file that anyone wrote.

What a file does not say is None, and is not compared; what it says wrongly is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.analytics.fields import TITLES
from claude_force.errors import BaselineError
from claude_force.executions.histogram import bin_lows
from claude_force.text import for_terminal

_LARGEST = 1e15
_MOST_BYTES = 16 * 1024 * 1024
_FIGURES = ("success_rate", "avg_execution_time_ms", "p95_latency_ms", "avg_cost_per_execution")


class ParsedSnapshot(NamedTuple):
    """Figures, the numbers of executions behind them, and distributions by bin; None is what is not known."""

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
    """The figures of a snapshot; `origin` is how a person knows it. Raises BaselineError for a value that is none."""
    samples = snapshot.get("samples", {})
    if not isinstance(samples, dict):
        raise BaselineError(f"{origin}: samples is not an object")
    rate, average, p95, cost = (_number(snapshot, name, origin) for name in _FIGURES)
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
    # Not a number is in no range.
    if not is_number or not 0 <= value <= _LARGEST:
        raise BaselineError(f"{origin}: {name} is {_shown(value)}, not a number from 0 to {_LARGEST:g}")
    return float(value)


def _count(values: Mapping[str, Any], name: str, origin: str) -> int | None:
    value = _number(values, name, origin)
    if value is not None and not value.is_integer():
        raise BaselineError(f"{origin}: {name} is {_shown(value)}, not a whole number")
    return None if value is None else int(value)


def _histogram(values: Mapping[str, Any], name: str, origin: str) -> dict[int, int] | None:
    """None where there is nothing in it."""
    bins = values.get(name)
    if bins is None:
        return None
    if not isinstance(bins, dict):
        raise BaselineError(f"{origin}: {name} is not an object")
    found: dict[int, int] = {}
    for key in bins:
        if not (key.isascii() and key.isdigit() and len(key) <= 4 and int(key) < len(bin_lows()) - 1):
            raise BaselineError(f"{origin}: {name} has no bin {_shown(key)}; make the file anew")
        count = _count(bins, key, f"{origin}: {name}")
        if count:
            found[int(key)] = count
    return found or None


def _shown(value: Any) -> str:
    text = for_terminal(repr(value))
    return text if len(text) <= 40 else f"{text[:40]}…"


def read_file(path: Path) -> dict[str, Any]:
    """The snapshot that a file holds: what `baseline show --json` or `analytics summary --json` wrote, or a person.
    Raises BaselineError with what is wrong with it."""
    name = for_terminal(str(path))
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise BaselineError(f"{name} is larger than any baseline")
        found = json.loads(text)
    except FileNotFoundError:
        raise BaselineError(
            f"there is no file {name}; claude-force analytics summary --days 30 --output {name} makes one"
        ) from None
    except OSError as error:
        raise BaselineError(f"{name}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BaselineError(f"{name} is not JSON; {_REMEDY}") from None
    if not isinstance(found, dict) or not any(key in found for key in _FIGURES):
        raise BaselineError(f"{name} is no baseline: it is no object with {', '.join(_FIGURES)}; {_REMEDY}")
    return found


_REMEDY = "claude-force baseline show NAME --json writes such a file"


def filters_in(snapshot: Mapping[str, Any], origin: str) -> dict[str, list[str]]:
    """The names that a snapshot is restricted to."""
    filters = snapshot.get("filters", {})
    is_filters = isinstance(filters, dict) and all(
        kind in TITLES.values() and isinstance(names, list) and all(isinstance(name, str) for name in names)
        for kind, names in filters.items()
    )
    if not is_filters:
        raise BaselineError(f"{origin}: filters is not an object of lists of names, by {', '.join(TITLES.values())}")
    return {kind: names for kind, names in filters.items() if names}
