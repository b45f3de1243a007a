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


class Spent(NamedTuple):
    """What the executions of a session with one model come to, up to the instant of its ledger. `priced` have a cost,
    `provisional` a usage that was never final."""

    executions: int = 0
    priced: int = 0
    cost_nanousd: int = 0
    provisional: int = 0
    first_us: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether the cost of any execution is known, or there is none."""
        return bool(self.priced or self.cost_nanousd) or not self.executions

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        firsts = [first for first in (self.first_us, other.first_us) if first is not None]
        return Spent(
            self.executions + other.executions,
            self.priced + other.priced,
            self.cost_nanousd + other.cost_nanousd,
            self.provisional + other.provisional,
            min(firsts, default=None),
        )
