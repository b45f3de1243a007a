"""Claude Code's own ledger of a session: what all of its requests cost, also those that no transcript has.

A transcript has the responses of a conversation and of its sub-agents. Claude Code also makes requests of its own, such
as the search behind WebSearch or the title of a session. They are billed and are in the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

WHOLE_SESSION = ""
"""The model of the entry for all models of a session together."""


class LedgerEntry(NamedTuple):
    """What a session cost with one model, or as a whole, from its beginning to `at_us`, as Claude Code counted it.

    `is_lower_bound` is set if Claude Code had no price for a model of the session, which it then counts as free. The
    cost is in nano-dollars."""

    session_id: str
    model: str
    at_us: int
    cost_nanousd: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    web_searches: int
    is_lower_bound: int


Ledger = tuple[LedgerEntry, ...]
"""The entries of one session at one instant: first the one for the whole session, then one for each model."""


def latest(ledgers: Iterable[Ledger]) -> dict[str, Ledger]:
    """The latest ledger of each session. Of two with the same instant, the one that was read later: each counts from
    the beginning of the session, so a later one contains the earlier ones."""
    found: dict[str, Ledger] = {}
    for ledger in ledgers:
        known = found.get(ledger[0].session_id)
        if known is None or ledger[0].at_us >= known[0].at_us:
            found[ledger[0].session_id] = ledger
    return found
