"""A measure, its outcome, and amounts as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.common import Usage, median

Unit = Literal["×", "%", "MB", "rows"]
Figure = Literal["wall_s", "cpu_s", "peak_bytes"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both sides as text, and the value that is compared with the limit."""

    ours: str
    other: str
    value: float


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the results. `limit` is None if there is none."""

    group: str
    title: str
    take: Callable[[], Outcome]
    limit: float | None = None
    unit: Unit = "×"


def short(count: int) -> str:
    """A count in short form: 10 k, 1 M."""
    for size, name in ((1_000_000, "M"), (1000, "k")):
        if count >= size and count % size == 0:
            return f"{count // size:,} {name}"
    return f"{count:,}"


def amount(value: float, of: Figure) -> str:
    """A time or a size with its unit."""
    if of == "peak_bytes":
        return f"{value / 1e6:,.0f} MB"
    if value < 0.001:
        return f"{value * 1e6:.1f} µs"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def ratio_of(mine: Sequence[Usage], theirs: Sequence[Usage], of: Figure, name: str) -> Outcome:
    """The medians of both sides and their ratio."""
    ours, other = median(mine, of), median(theirs, of)
    return Outcome(amount(ours, of), f"{name}: {amount(other, of)}" if name else amount(other, of), ours / other)
