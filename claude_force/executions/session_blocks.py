"""Session blocks: the five-hour windows in which Claude subscriptions count usage.

A block starts at the full hour (UTC) of the first execution after the previous block ended, and has a fixed length. So
blocks follow from sums by hour. After a pause of at least the length of a block, a block starts in any case; reading
can start there and need not go back to the first execution.

Time is an argument here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from claude_force.clock import HOUR_US, MINUTE_US
from claude_force.executions.record import NANOUSD
from claude_force.executions.totals import TimeRange, Totals

LENGTH = 5
"""Hours in a block of a Claude subscription."""


class Burn(NamedTuple):
    """The burn rate of a block. `cost_per_hour` is in US dollars; None if no price is known."""

    tokens_per_minute: float
    cost_per_hour: float | None


class Projection(NamedTuple):
    """The totals at the end of a block if its burn rate stays the same. `nanousd` is None if no price is known."""

    tokens: int
    nanousd: int | None
    remaining_us: int


@dataclass(frozen=True, slots=True)
class Block:
    """The block [start, end), or the gap between two blocks, which has no executions. `reach` is from its first to its
    last execution; None for a gap, or if it was not queried."""

    start_us: int
    end_us: int
    totals: Totals
    models: tuple[str, ...] = ()
    reach: TimeRange | None = None

    @property
    def is_gap(self) -> bool:
        """Whether it has no executions."""
        return self.totals.is_empty

    def is_active(self, now_us: int) -> bool:
        """Whether it is a block that contains `now_us`."""
        return not self.is_gap and self.start_us <= now_us < self.end_us

    def _elapsed_us(self) -> int:
        """From the first to the last execution; 0 if that is less than a minute, too short for a rate."""
        elapsed_us = self.reach.last_us - self.reach.first_us if self.reach else 0
        return elapsed_us if elapsed_us >= MINUTE_US else 0

    def burn(self) -> Burn | None:
        """The burn rate from the first to the last execution; None if that is less than a minute."""
        elapsed_us, tokens = self._elapsed_us(), self.totals.total_tokens
        if not elapsed_us or tokens is None:
            return None
        cost = self.totals.cost_nanousd * HOUR_US / elapsed_us / NANOUSD if self.totals.is_priced else None
        return Burn(tokens * MINUTE_US / elapsed_us, cost)

    def projection(self, now_us: int) -> Projection | None:
        """The totals at its end; None if there is no rate, or no time left."""
        elapsed_us, tokens, remaining_us = self._elapsed_us(), self.totals.total_tokens, self.end_us - now_us
        if not elapsed_us or tokens is None or not self.is_active(now_us):
            return None
        cost = self.totals.cost_nanousd if self.totals.is_priced else None
        return Projection(
            tokens + tokens * remaining_us // elapsed_us,
            None if cost is None else cost + cost * remaining_us // elapsed_us,
            remaining_us,
        )


def certain_start(hours: Iterable[int], since: int, length: int) -> int | None:
    """The first hour that certainly starts a block, without knowing the hours before `since`; None if there is none.
    `hours` are all hours with executions from `since` on, ascending."""
    before = since - 1
    for hour in hours:
        if hour - before >= length:
            return hour
        before = hour
    return None


def blocks_of(sums: Mapping[tuple[int, str], Totals], length: int) -> list[Block]:
    """The blocks, oldest first, from sums by hour and model. The first hour starts a block."""
    starts: list[int] = []
    totals: dict[int, Totals] = {}
    models: dict[int, set[str]] = {}
    for (hour, model), found in sorted(sums.items(), key=lambda item: item[0]):
        if not starts or hour >= starts[-1] + length:
            starts.append(hour)
        start = starts[-1]
        totals[start] = totals.get(start, Totals()) + found
        models.setdefault(start, set()).add(model)
    return [
        Block(start * HOUR_US, (start + length) * HOUR_US, totals[start], tuple(sorted(models[start])))
        for start in starts
    ]


def narrowed(blocks: Sequence[Block], sums: Mapping[tuple[int, str], Totals]) -> list[Block]:
    """The blocks with only these sums by hour and model; blocks without any are left out."""
    found: list[Block] = []
    for block in blocks:
        hours = range(block.start_us // HOUR_US, block.end_us // HOUR_US)
        within = {key: totals for key, totals in sums.items() if key[0] in hours}
        if within:
            models = tuple(sorted({model for _, model in within}))
            found.append(Block(block.start_us, block.end_us, sum(within.values(), Totals()), models))
    return found


def with_gaps(blocks: Sequence[Block]) -> list[Block]:
    """The blocks and the gaps between them."""
    found = list(blocks[:1])
    for before, block in pairwise(blocks):
        if before.end_us < block.start_us:
            found.append(Block(before.end_us, block.start_us, Totals()))
        found.append(block)
    return found
