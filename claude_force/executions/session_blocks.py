"""Blocks: the windows of five hours by which Claude subscriptions count.

A block begins with the first execution after the block before it has ended, at the full hour (UTC) of that execution,
and has a fixed length in hours. So blocks follow from sums by hour, and from the order of the hours alone. Where an
hour follows on the one before it by the length of a block or more, a block begins, whatever was earlier: a reader need
not go back to the beginning of history.

Nothing here knows a database or what time it is.
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
"""Hours of a block of a Claude subscription."""


class Burn(NamedTuple):
    """How fast a block is used up; `cost_per_hour` (US dollars) is None where no price is known."""

    tokens_per_minute: float
    cost_per_hour: float | None


class Projection(NamedTuple):
    """What a block comes to if it goes on as it went. `nanousd` is None where no price is known."""

    tokens: int
    nanousd: int | None
    remaining_us: int


@dataclass(frozen=True, slots=True)
class Block:
    """The block [start, end), or the gap between two blocks: that has no executions. `reach` is from the first to the
    last execution in it; None where it is a gap, or was not asked for."""

    start_us: int
    end_us: int
    totals: Totals
    models: tuple[str, ...] = ()
    reach: TimeRange | None = None

    @property
    def is_gap(self) -> bool:
        """Whether nothing happened in it."""
        return not self.totals.executions

    def is_active(self, now_us: int) -> bool:
        """Whether it is a block, and now lies in it."""
        return not self.is_gap and self.start_us <= now_us < self.end_us

    def _took_us(self) -> int:
        """From the first to the last execution; 0 where that is less than a minute, which tells no rate."""
        took_us = self.reach.last_us - self.reach.first_us if self.reach else 0
        return took_us if took_us >= MINUTE_US else 0

    def burn(self) -> Burn | None:
        """Tokens and cost by time, from the first to the last execution; None where that is less than a minute."""
        took_us, tokens = self._took_us(), self.totals.total_tokens
        if not took_us or tokens is None:
            return None
        cost = self.totals.cost_nanousd * HOUR_US / took_us / NANOUSD if self.totals.priced else None
        return Burn(tokens * MINUTE_US / took_us, cost)

    def projection(self, now_us: int) -> Projection | None:
        """What it comes to at its end; None where there is no rate, or no time left."""
        took_us, tokens, remaining_us = self._took_us(), self.totals.total_tokens, self.end_us - now_us
        if not took_us or tokens is None or not self.is_active(now_us):
            return None
        cost = self.totals.cost_nanousd if self.totals.priced else None
        return Projection(
            tokens + tokens * remaining_us // took_us,
            None if cost is None else cost + cost * remaining_us // took_us,
            remaining_us,
        )


def certain_start(hours: Iterable[int], since: int, length: int) -> int | None:
    """The first of some ascending hours, all there are from `since` on, that begins a block whatever was before
    `since`; None where none does for certain."""
    before = since - 1
    for hour in hours:
        if hour - before >= length:
            return hour
        before = hour
    return None


def blocks_of(sums: Mapping[tuple[int, str], Totals], length: int) -> list[Block]:
    """The blocks, oldest first, of sums by hour and model; the first hour begins one."""
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
    """The same blocks with no more than these sums by hour and model in them; those that hold none are left out."""
    found: list[Block] = []
    for block in blocks:
        hours = range(block.start_us // HOUR_US, block.end_us // HOUR_US)
        within = {key: totals for key, totals in sums.items() if key[0] in hours}
        if within:
            models = tuple(sorted({model for _, model in within}))
            found.append(Block(block.start_us, block.end_us, sum(within.values(), Totals()), models))
    return found


def with_gaps(blocks: Sequence[Block]) -> list[Block]:
    """The same, and the gaps between them."""
    found = list(blocks[:1])
    for before, block in pairwise(blocks):
        if before.end_us < block.start_us:
            found.append(Block(before.end_us, block.start_us, Totals()))
        found.append(block)
    return found
