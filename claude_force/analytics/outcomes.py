"""The report on outcomes: what agents did beside their model requests, by day or by session.

Telemetry says it, and nothing else does. A figure is None, and not 0, if nothing of its kind came in the whole period:
metrics (lines, commits, pull requests, active time) and events (tool calls, decisions, retries, refusals, compactions)
are switched on one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, Literal, NamedTuple

from claude_force import clock
from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.names import known_names
from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries import telemetry as stored
from claude_force.database.rows.telemetry import OutcomeSum
from claude_force.executions.outcomes import (
    ACTIVE_TIME,
    COMMITS,
    COMPACTIONS,
    COST,
    DECISIONS,
    FAILED,
    LINES,
    PROMPTS,
    PULL_REQUESTS,
    REFUSALS,
    RETRIES,
    SESSIONS,
    SUBAGENTS,
    TOKENS,
    TOOL_DECISIONS,
    TOOL_RESULTS,
)
from claude_force.executions.totals import Archived, WorkflowStart

By = Literal["day", "session"]

_METRICS = frozenset((LINES, COMMITS, PULL_REQUESTS, SESSIONS, ACTIVE_TIME, DECISIONS, COST, TOKENS))
_EVENTS = frozenset((TOOL_RESULTS, TOOL_DECISIONS, PROMPTS, SUBAGENTS, RETRIES, REFUSALS, COMPACTIONS))
_SHORTEST_PREFIX = 4
_ACCEPTED, _REJECTED = "accept", "reject"


class Known(NamedTuple):
    """Whether metrics and whether events came in a period."""

    metrics: bool
    events: bool


class Outcomes(NamedTuple):
    """What was done, in the order of the report. None: nothing of the kind came, so it is not known. A compaction that
    failed is none."""

    lines_added: int | None = None
    lines_removed: int | None = None
    commits: int | None = None
    pull_requests: int | None = None
    active_us: int | None = None
    prompts: int | None = None
    tool_calls: int | None = None
    tool_failures: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    retries: int | None = None
    refusals: int | None = None
    compactions: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV; the active time is in seconds."""
        found = self._asdict()
        active_us = found.pop("active_us")
        return found | {"active_seconds": None if active_us is None else active_us / SECOND_US}


class ToolUse(NamedTuple):
    """How often a tool was called, and how many of the calls failed."""

    tool: str
    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """The days (UTC) or the sessions of a period, oldest first. `groups` may be cut to a limit; `count`, `totals` and
    `tools` are over all of them. `of_store` are the first and the last day of the store, None without any."""

    period: str
    by: By
    groups: list[tuple[str, Outcomes]]
    count: int
    totals: Outcomes
    tools: list[ToolUse]
    of_store: tuple[str, str] | None
    starts: dict[str, WorkflowStart]
    zone: tzinfo

    @property
    def archived(self) -> Archived:
        """Outcomes are never archived."""
        return Archived()

    def to_dict(self) -> dict[str, Any]:
        """The sums, the tools, then the days or sessions."""
        return {
            "period": self.period,
            "totals": self.totals.to_dict(),
            "tools": [tool._asdict() for tool in self.tools],
            f"total_{self.by}s": self.count,
            f"{self.by}s": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The days or sessions, for CSV. The session is null if it is not known."""
        return [{self.by: name or None, **found.to_dict()} for name, found in self.groups]


def outcome_report(
    database: Readable, chosen: Filter, by: By, zone: tzinfo, rows: RowChoice = ALL_ROWS
) -> OutcomeReport:
    """The outcomes of the days that the period touches, by day or by session."""
    with database.read() as connection:
        chosen = _with_sessions(connection, chosen)
        found = stored.outcomes(connection, chosen)
        days = stored.outcome_days(connection)
        groups = _groups(found, by)
        shown = rows.in_time(list(groups))
        starts = queries.workflow_starts(connection, Filter(), shown) if by == "session" else {}
    known = known_kinds(found)
    return OutcomeReport(
        period=chosen.window.label,
        by=by,
        groups=[(name, outcomes_of(groups[name], known)) for name in shown],
        count=len(groups),
        totals=outcomes_of(found, known),
        tools=tools_of(found),
        of_store=None if days is None else (_day(days[0]), _day(days[1])),
        starts=starts,
        zone=zone,
    )


def known_kinds(found: Iterable[OutcomeSum]) -> Known:
    """What came in a period with these sums."""
    names = {row.name for row in found}
    return Known(bool(names & _METRICS), bool(names & _EVENTS))


def _with_sessions(connection: Connection, chosen: Filter) -> Filter:
    """The filter with full names. A session may be known by its telemetry alone."""
    known = stored.outcome_sessions(connection) if chosen.sessions else []
    found: list[str] = []
    others: list[str] = []
    for name in chosen.sessions:
        full = [each for each in known if each == name or (len(name) >= _SHORTEST_PREFIX and each.startswith(name))]
        (found if len(full) == 1 else others).extend(full if len(full) == 1 else [name])
    named = known_names(connection, replace(chosen, sessions=tuple(others)))
    return replace(named, sessions=(*found, *named.sessions))


def _groups(found: Iterable[OutcomeSum], by: By) -> dict[str, list[OutcomeSum]]:
    groups: dict[str, list[OutcomeSum]] = {}
    for row in found:
        groups.setdefault(_day(row.day_us) if by == "day" else row.session_id, []).append(row)
    return groups


def _day(day_us: int) -> str:
    return f"{clock.to_datetime(day_us, UTC):%Y-%m-%d}"


def outcomes_of(found: Sequence[OutcomeSum], known: Known) -> Outcomes:
    """What the sums of a day or a session come to. Decisions are those about any tool, or where events do not come,
    those about edits alone."""
    metric, event = _summing(found, known.metrics), _summing(found, known.events)
    decisions, decide = (TOOL_DECISIONS, event) if known.events else (DECISIONS, metric)
    return Outcomes(
        lines_added=metric(LINES, "added".__eq__),
        lines_removed=metric(LINES, "removed".__eq__),
        commits=metric(COMMITS),
        pull_requests=metric(PULL_REQUESTS),
        active_us=metric(ACTIVE_TIME),
        prompts=event(PROMPTS),
        tool_calls=event(TOOL_RESULTS),
        tool_failures=event(TOOL_RESULTS, _is_failed),
        accepted=decide(decisions, _ACCEPTED.__eq__),
        rejected=decide(decisions, _REJECTED.__eq__),
        retries=event(RETRIES),
        refusals=event(REFUSALS),
        compactions=event(COMPACTIONS, lambda kind: not _is_failed(kind)),
    )


def _is_failed(kind: str) -> bool:
    return kind.startswith(FAILED)


def _summing(found: Sequence[OutcomeSum], is_known: bool) -> Callable[..., int | None]:
    def of(name: str, is_kind: Callable[[str], bool] = lambda _: True) -> int | None:
        return sum(row.value for row in found if row.name == name and is_kind(row.kind)) if is_known else None

    return of


def tools_of(found: Iterable[OutcomeSum]) -> list[ToolUse]:
    """The tools by their calls, most first."""
    tools: dict[str, tuple[int, int]] = {}
    for row in found:
        if row.name == TOOL_RESULTS:
            tool = row.kind.removeprefix(FAILED)
            calls, failures = tools.get(tool, (0, 0))
            tools[tool] = (calls + row.value, failures + (row.value if _is_failed(row.kind) else 0))
    return sorted((ToolUse(tool, *numbers) for tool, numbers in tools.items()), key=lambda use: (-use.calls, use.tool))
