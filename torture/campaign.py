"""What a campaign is: it breaks something again and again, and counts whether the promises hold.

A campaign takes a folder and an effort, and returns figures. It does not stop at a failure: losses are figures too. The
same seed breaks the same things in the same order, as far as concurrent processes allow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

WORKERS = min(os.cpu_count() or 1, 8)
"""How many processes or threads of a campaign work at a time: a container on a large machine sees processors that it
may not use."""


class Figure(NamedTuple):
    """One count of a campaign and its bounds. `at_least` holds for a whole campaign, `at_most` for any part of it."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def problem(self, effort: Effort) -> str | None:
        """Which bound is broken; None if none is. `at_least` is not checked for a part of a campaign."""
        if self.at_most is not None and self.value > self.at_most:
            return f"{self.name}: {self.value:,.6g}, at most {self.at_most:,.6g} allowed"
        if effort.is_whole and self.at_least is not None and self.value < self.at_least:
            return f"{self.name}: {self.value:,.6g}, at least {self.at_least:,.6g} required"
        return None


class Effort(NamedTuple):
    """How much of a campaign to run. A `share` of 1 is the whole; `seed` decides what breaks when."""

    seed: int = 1
    share: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether it is at least the whole campaign."""
        return self.share >= 1

    def of(self, whole: int, least: int = 1) -> int:
        """The share of a number, and no less than `least`."""
        return max(least, round(whole * self.share))


class CannotRun(Exception):
    """This machine lacks something that a campaign needs; the message says what."""


Campaign = Callable[[Path, Effort], Sequence[Figure]]


def say(line: str) -> None:
    """Print progress to stderr."""
    print(line, file=sys.stderr, flush=True)
