"""Sessions as a person knows them: when they began, where, how long they took, on which models, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal, NamedTuple

from claude_force import clock
from claude_force.analytics import groups
from claude_force.analytics.breakdowns import BreakdownKey, breakdown_in_order, breakdown_of, time_ranges
from claude_force.analytics.groups import ALL_ROWS, RowChoice, groups_by, sort_groups
from claude_force.analytics.names import known_names
from claude_force.analytics.narrowing import narrowed
from claude_force.analytics.report_types import Breakdown
from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Dimension, Filter
from claude_force.executions.totals import Archived, Group, TimeRange, WorkflowStart

SessionKey = Literal["duration"] | BreakdownKey
SORT_KEYS = ("newest", "duration", *groups.SORT_KEYS)

_BY: Dimension = "session_id"


class Details(NamedTuple):
    """What is known of a session beside its totals: when its last execution was, and its models and branches, those
    with the most executions first."""

    last_us: int
    models: list[str]
    branches: list[str]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a period, and their details by name. The name None is for executions outside of sessions."""

    breakdown: Breakdown
    details: dict[str | None, Details]

    @property
    def archived(self) -> Archived:
        """The archived executions of the period."""
        return self.breakdown.archived

    def start_of(self, name: str | None) -> WorkflowStart | None:
        """The first execution of a session; None for executions outside of sessions."""
        return None if name is None else self.breakdown.workflow_starts.get(name)

    def duration_us(self, name: str | None) -> int | None:
        """From the first to the last execution of a session; None for executions outside of sessions."""
        start = self.start_of(name)
        return None if start is None else self.details[name].last_us - start.first_us

    def to_dict(self) -> dict[str, Any]:
        """The breakdown by session; each also has its end, its duration, its models and its branches."""
        return {**self.breakdown.to_dict(), "sessions": self._rows(list)}

    def rows(self) -> list[dict[str, Any]]:
        """The sessions for CSV, where a space separates several names."""
        return self._rows(" ".join)

    def _rows(self, join: Callable[[list[str]], Any]) -> list[dict[str, Any]]:
        return [row | self._detail_dict(row["session"], join) for row in self.breakdown.rows()]

    def _detail_dict(self, name: str | None, join: Callable[[list[str]], Any]) -> dict[str, Any]:
        found, duration_us = self.details[name], self.duration_us(name)
        is_session = duration_us is not None
        return {
            "ended": clock.format_instant(found.last_us, self.breakdown.zone) if is_session else None,
            "duration_seconds": None if duration_us is None else duration_us // SECOND_US,
            "models": join(found.models),
            "branches": join(found.branches),
        }


def sessions(
    database: Readable, chosen: Filter, sort_by: SessionKey, rows: RowChoice = ALL_ROWS, zone: tzinfo | None = None
) -> Sessions:
    """The sessions of the chosen executions: the chosen ones of them. `zone` (None: local time) is for instants."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        if sort_by == "duration":
            ranges = time_ranges(connection, chosen, _BY)
            shown = {name: ranges[name] for name in _by_duration(ranges, rows)}
            found = breakdown_in_order(connection, chosen, _BY, shown, len(ranges), zone)
        else:
            found = breakdown_of(connection, chosen, _BY, sort_by, rows, zone)
        details = _details(connection, chosen, found)
    return Sessions(found, details)


def _by_duration(ranges: Mapping[str | None, TimeRange], rows: RowChoice) -> list[str | None]:
    """The chosen names by the time from their first to their last execution, the longest first; what is outside of
    sessions comes last."""
    sign = 1 if rows.is_ascending else -1

    def order(name: str | None) -> tuple[bool, int, str]:
        return name is None, sign * (ranges[name].last_us - ranges[name].first_us), name or ""

    return sorted(ranges, key=order)[: rows.limit]


def _details(connection: Connection, chosen: Filter, found: Breakdown) -> dict[str | None, Details]:
    names = [group.name for group in found.groups]
    parts = narrowed(connection, chosen, _BY, names) if len(names) < found.count else [chosen]
    by_session: dict[str | None, dict[tuple[str | None, ...], Any]] = {}
    ranges: dict[str | None, TimeRange] = {}
    for part in parts:
        ranges |= time_ranges(connection, part, _BY)
        found_sums = queries.totals_by(connection, part, _BY, "model", "git_branch")
        for (session, *labels), totals in found_sums.items():
            by_session.setdefault(session, {})[tuple(labels)] = totals
    return {
        session: Details(ranges[session].last_us, *(_names(groups_by(sums, place)) for place in (0, 1)))
        for session, sums in by_session.items()
        if session in ranges
    }


def _names(found: list[Group]) -> list[str]:
    return [group.name for group in sort_groups(found, "executions") if group.name]
