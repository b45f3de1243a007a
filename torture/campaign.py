"""What a campaign is: something is broken again and again, and what was promised is counted.

A campaign takes a folder to work in and an effort, and gives figures. It stops at nothing that it finds: what was lost
is a figure too. The same seed breaks the same things in the same order, as far as processes can be made to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """One count of a campaign, and what it has to be. `at_least` is for the whole campaign; `at_most` for any part of
    it."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def problem(self, effort: Effort) -> str | None:
        """What is wrong with it; None where nothing is. A part of a campaign need not do as much as the whole."""
        if self.at_most is not None and self.value > self.at_most:
            return f"{self.name}: {self.value:,.6g}, and at most {self.at_most:,.6g} may be"
        if effort.is_whole and self.at_least is not None and self.value < self.at_least:
            return f"{self.name}: {self.value:,.6g}, and at least {self.at_least:,.6g} has to be"
        return None


class Effort(NamedTuple):
    """How much of a campaign to do. `share` 1 is the whole of it; `seed` decides what is broken when."""

    seed: int = 1
    share: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the campaign, or more."""
        return self.share >= 1

    def of(self, whole: int, least: int = 1) -> int:
        """As much of a number as the effort is, and no less than `least`."""
        return max(least, round(whole * self.share))


class CannotRun(Exception):
    """What a campaign needs is not on this machine; says what."""


Campaign = Callable[[Path, Effort], Sequence[Figure]]


def say(line: str) -> None:
    """Tell who watches what is going on."""
    print(line, file=sys.stderr, flush=True)
