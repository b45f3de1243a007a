"""Days before the first transcript, from Claude Code's own statistics. They are no executions and are in no other
figure; reports only say that there are such days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.statistics import days_before_executions
from claude_force.executions.statistics import DailyTokens
from claude_force.executions.totals import Archived

NO_COST = "the statistics do not tell the kinds of tokens apart"
"""Why there is no cost."""


class Backfill(NamedTuple):
    """How many days before the first transcript the period has, and their tokens."""

    days: int = 0
    tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the cost is always null."""
        return {"days": self.days, "tokens": self.tokens, "cost": None, "cost_unknown_reason": NO_COST}


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """The days by model, oldest first. `days` may be cut to a limit; `backfill` and `count` are over all of them."""

    period: str
    days: Sequence[DailyTokens]
    count: int
    backfill: Backfill
    archived: Archived

    def rows(self) -> list[dict[str, Any]]:
        """A day and a model for JSON and CSV."""
        return [
            {
                "date": day.day,
                "model": day.model,
                "tokens": day.tokens,
                "includes_cache_tokens": None if day.has_cache_tokens is None else bool(day.has_cache_tokens),
            }
            for day in self.days
        ]

    def to_dict(self) -> dict[str, Any]:
        """The sums, then the days."""
        sums = self.backfill.to_dict()
        return {
            "period": self.period,
            "total_days": sums.pop("days"),
            "total_tokens": sums.pop("tokens"),
            **sums,
            "archived_executions": self.archived.executions,
            "days": self.rows(),
        }


def backfill_of(days: Sequence[DailyTokens]) -> Backfill:
    """The sums of some days."""
    return Backfill(len({day.day for day in days}), sum(day.tokens for day in days))


def backfill(connection: Connection, chosen: Filter) -> Backfill:
    """The days before the first transcript in the period of a report."""
    return backfill_of(days_before_executions(connection, chosen))


def backfill_report(database: Readable, chosen: Filter, rows: RowChoice = ALL_ROWS) -> BackfillReport:
    """The chosen days and models before the first transcript."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        days = days_before_executions(connection, chosen)
        archived = queries.archived(connection, chosen)
    return BackfillReport(chosen.window.label, rows.in_time(days), len(days), backfill_of(days), archived)
