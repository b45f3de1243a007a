"""Claude Code's own statistics: tokens by day and model, also of days whose transcripts are gone."""

from __future__ import annotations

from typing import NamedTuple


class DailyTokens(NamedTuple):
    """The tokens of one model on one day (UTC, "2026-01-19") on one machine.

    `has_cache_tokens` is 1 if cached tokens are included, 0 if only input and output are, None if that is not known.
    The kinds cannot be told apart, so there is no price for them. Claude Code adds up the lines of its transcripts,
    and so counts a response with several lines more than once: the tokens are an upper bound."""

    machine: str
    day: str
    model: str
    tokens: int
    has_cache_tokens: int | None
