"""The report that compares Claude Code's own ledgers with the executions of their sessions.

A ledger counts a whole session with all its sub-agents, up to the instant at which it was written; so it is compared
with all executions of the session up to that instant, whatever the period of the report. What is left was spent outside
of transcripts. The difference is None where one of the two sides is not whole, and `unknown_reason` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter, ledgers
from claude_force.executions.ledgers import Ledger, LedgerEntry, Spent
from claude_force.executions.record import dollars
from claude_force.executions.totals import Archived, WorkflowStart

COPY = "a copy of another session, whose cost its ledger contains"
ARCHIVED = "some of its executions may be archived"
UNPRICED_BY_US = "executions without a known price"
UNPRICED_BY_CLAUDE_CODE = "Claude Code had no price for a model"
"""Why a difference is unknown."""


class ModelComparison(NamedTuple):
    """One model of a session: its entry in the ledger and what the executions come to; None if it is not there."""

    model: str
    entry: LedgerEntry | None
    spent: Spent | None


@dataclass(frozen=True, slots=True)
class SessionComparison:
    """The ledger of a session beside its executions. `spent` are the executions by model."""

    ledger: Ledger
    spent: Mapping[str, Spent]
    original_id: str | None
    is_archived: bool

    @property
    def entry(self) -> LedgerEntry:
        """The ledger of the whole session."""
        return self.ledger[0]

    @property
    def total(self) -> Spent:
        """The executions of the whole session."""
        total = Spent()
        for spent in self.spent.values():
            total = total.plus(spent)
        return total

    @property
    def unknown_reason(self) -> str | None:
        """Why the two sides cannot be compared; None if they can."""
        if self.original_id is not None:
            return COPY
        if self.is_archived:
            return ARCHIVED
        if self.total.priced < self.total.executions:
            return UNPRICED_BY_US
        return UNPRICED_BY_CLAUDE_CODE if self.entry.is_lower_bound else None

    @property
    def difference_nanousd(self) -> int | None:
        """What the ledger has more than the executions; None if they cannot be compared."""
        return None if self.unknown_reason else self.entry.cost_nanousd - self.total.cost_nanousd

    @property
    def models(self) -> list[ModelComparison]:
        """The models of either side, by name."""
        entries = {entry.model: entry for entry in self.ledger[1:]}
        return [
            ModelComparison(model, entries.get(model), self.spent.get(model))
            for model in sorted(entries.keys() | self.spent.keys())
        ]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Sessions with a ledger, the largest difference first. `sessions` may be cut to a limit; the sums are over all
    sessions that can be compared."""

    period: str
    sessions: list[SessionComparison]
    count: int
    compared: int
    ledger_nanousd: int
    spent_nanousd: int
    unknown: dict[str, int]
    provisional: int
    without_ledger: int
    starts: dict[str, WorkflowStart]
    zone: tzinfo
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """The sums, then the sessions with their models. Costs are in US dollars."""
        return {
            "period": self.period,
            "total_sessions": self.count,
            "compared_sessions": self.compared,
            "ledger_cost": dollars(self.ledger_nanousd) if self.compared else None,
            "transcript_cost": dollars(self.spent_nanousd) if self.compared else None,
            "difference": dollars(self.ledger_nanousd - self.spent_nanousd) if self.compared else None,
            "not_compared": self.unknown,
            "sessions_without_ledger": self.without_ledger,
            "provisional_executions": self.provisional,
            "archived_executions": self.archived.executions,
            "sessions": [
                row | {"models": [_model_dict(session, model) for model in session.models]}
                for session, row in zip(self.sessions, self.rows(), strict=True)
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """The sessions for CSV."""
        return [self._row(session) for session in self.sessions]

    def _row(self, session: SessionComparison) -> dict[str, Any]:
        entry, total, found = session.entry, session.total, self.starts.get(session.entry.session_id)
        return {
            "session": entry.session_id,
            "started": found and clock.format_instant(found.first_us, self.zone),
            "project": found and found.project,
            "ledger_at": clock.format_instant(entry.at_us, self.zone),
            "ledger_cost": dollars(entry.cost_nanousd),
            "transcript_cost": dollars(total.cost_nanousd) if total.is_known else None,
            "difference": _dollars(session.difference_nanousd),
            "unknown_reason": session.unknown_reason,
            "original_session": session.original_id,
            "executions": total.executions,
            "unpriced_executions": total.executions - total.priced,
            "provisional_executions": total.provisional,
        }


def model_difference(session: SessionComparison, found: ModelComparison) -> int | None:
    """What the ledger has more for one model, in nano-dollars; None if the session cannot be compared."""
    if session.unknown_reason:
        return None
    return (found.entry.cost_nanousd if found.entry else 0) - (found.spent.cost_nanousd if found.spent else 0)


def _model_dict(session: SessionComparison, found: ModelComparison) -> dict[str, Any]:
    entry, spent = found.entry, found.spent
    return {
        "model": found.model,
        "ledger_cost": dollars(entry.cost_nanousd) if entry else None,
        "transcript_cost": dollars(spent.cost_nanousd) if spent and spent.is_known else None,
        "difference": _dollars(model_difference(session, found)),
        "executions": spent.executions if spent else 0,
        "ledger_input_tokens": entry.input_tokens if entry else None,
        "ledger_output_tokens": entry.output_tokens if entry else None,
        "ledger_cache_read_tokens": entry.cache_read_tokens if entry else None,
        "ledger_cache_write_tokens": entry.cache_write_tokens if entry else None,
        "ledger_web_searches": entry.web_searches if entry else None,
    }


def _dollars(nanousd: int | None) -> float | None:
    return None if nanousd is None else dollars(nanousd)


def reconciliation(database: Readable, chosen: Filter, zone: tzinfo, limit: int | None = None) -> Reconciliation:
    """The first `limit` sessions whose ledger was written in the period, and of which any execution matches."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        found = sorted(_comparisons(connection, chosen), key=_by_difference)
        shown = found[:limit]
        starts = queries.workflow_starts(connection, Filter(), [session.entry.session_id for session in shown])
        without_ledger = ledgers.sessions_without_ledger(connection, chosen)
        archived = queries.archived(connection, chosen)
    compared = [session for session in found if session.unknown_reason is None]
    reasons = [session.unknown_reason for session in found if session.unknown_reason is not None]
    return Reconciliation(
        period=chosen.window.label,
        sessions=shown,
        count=len(found),
        compared=len(compared),
        ledger_nanousd=sum(session.entry.cost_nanousd for session in compared),
        spent_nanousd=sum(session.total.cost_nanousd for session in compared),
        unknown={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        provisional=sum(session.total.provisional for session in compared),
        without_ledger=without_ledger,
        starts=starts,
        zone=zone,
        archived=archived,
    )


def _comparisons(connection: Connection, chosen: Filter) -> list[SessionComparison]:
    spent = ledgers.spent_by_model(connection)
    originals = ledgers.original_sessions(connection)
    archived_us = ledgers.last_archived(connection)
    found = []
    for ledger in ledgers.ledgers(connection, chosen):
        session_id, own = ledger[0].session_id, spent.get(ledger[0].session_id, {})
        firsts = [each.first_us for each in own.values() if each.first_us is not None]
        is_archived = archived_us is not None and min([*firsts, ledger[0].at_us]) <= archived_us
        found.append(SessionComparison(ledger, own, originals.get(session_id), is_archived))
    return found


def _by_difference(session: SessionComparison) -> tuple[bool, int, str]:
    difference = session.difference_nanousd
    return difference is None, -abs(difference or 0), session.entry.session_id
