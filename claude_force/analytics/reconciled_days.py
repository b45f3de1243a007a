"""The days of a period as every source knows them, and as Anthropic bills them.

Days are those of UTC, as Claude Code's metrics and Anthropic's reports have them, and the first and the last one of the
period are whole. What Anthropic bills is compared with everything in the store: it bills an organization, so a program
or a person that this store does not know is missing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cached_property
from typing import Any

from claude_force.analytics.anthropic_reports import AdminApi, Billed, billed_days
from claude_force.analytics.compared_sessions import (
    ONE_SOURCE,
    UNPRICED_BY_US,
    Control,
    Difference,
    SeenRequests,
    is_of_claude_code,
    missing_from,
)
from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.names import known_names
from claude_force.clock import DAY_US, to_datetime
from claude_force.database import queries
from claude_force.database.contract import Readable
from claude_force.database.queries import Filter
from claude_force.database.queries import reconciliation as sources
from claude_force.database.queries.reconciliation import NO_METRICS, ControlSum, Figures, Kind
from claude_force.errors import ReportUnavailable
from claude_force.executions.record import dollars
from claude_force.executions.totals import Archived
from claude_force.time_windows import Window

NOT_OVER = "the day is not over"
ARCHIVED_DAY = "executions of the day are archived"
NOT_IN_TELEMETRY = "not in telemetry"
NO_BILL = Billed()


@dataclass(frozen=True, kw_only=True)
class DayComparison(SeenRequests):
    """What every source knows of a day, which begins at `day_us`."""

    day_us: int
    metrics: ControlSum = NO_METRICS
    billed: Billed = NO_BILL
    is_over: bool = True
    is_archived: bool = False

    @property
    def day(self) -> str:
        """The date."""
        return to_datetime(self.day_us, UTC).date().isoformat()

    @cached_property
    def control(self) -> Control | None:
        """The sum that the day is compared with; None if there is none."""
        if self.billed.cost_nanousd is not None:
            return Control("anthropic", None, self.billed.cost_nanousd)
        if self.metrics.cost_nanousd is not None:
            return Control("metrics", None, self.metrics.cost_nanousd)
        heard = self.telemetry
        return Control("telemetry", None, heard.reported_nanousd) if heard.reported else None

    @cached_property
    def compared(self) -> Figures:
        """The executions that the control is compared with."""
        control = self.control
        if control is not None and control.name == "anthropic":
            return self.of(_is_billed_by_anthropic)
        heard = self.telemetry
        return heard if heard.executions else self.of(is_of_claude_code)

    @cached_property
    def unknown_reason(self) -> str | None:
        """Why the two sides cannot be compared; None if they can."""
        if self.control is None:
            return ONE_SOURCE
        if self.is_archived:
            return ARCHIVED_DAY
        if not self.is_over:
            return NOT_OVER
        return UNPRICED_BY_US if self.compared.priced < self.compared.executions else None

    @property
    def missing_nanousd(self) -> int | None:
        """What the control has more than the executions; None if they cannot be compared."""
        return None if self.unknown_reason else missing_from(self.control, self.compared)

    @cached_property
    def differences(self) -> list[Difference]:
        """What the sources differ by, and why."""
        unheard = self.of(lambda kind: kind.in_transcript and not kind.by_telemetry)
        found = list(self.only_heard)
        if unheard.executions and self.telemetry.executions:
            found.append(Difference(NOT_IN_TELEMETRY, unheard.cost_nanousd, unheard.executions))
        return found + self.of_prices(self.compared, self.missing_nanousd)


def _is_billed_by_anthropic(kind: Kind) -> bool:
    """Whether Anthropic bills the request: the names of its models at other sellers do not begin like this."""
    return kind.model.startswith("claude") and not kind.is_elsewhere


@dataclass(frozen=True, slots=True)
class ReconciledDays:
    """The days of a period, the oldest first. The sums are over the days that can be compared. `problem` says why
    Anthropic's reports are missing, if they were asked for."""

    period: str
    days: list[DayComparison]
    count: int
    compared: int
    control_nanousd: int
    apart_nanousd: int
    missing_nanousd: int
    has_bill: bool
    problem: str | None
    archived: Archived

    def exceeds(self, share: float, least_nanousd: int) -> bool:
        """Whether the differences of days, each without its sign, are together more than a share of what the days cost,
        and more than an amount."""
        return self.apart_nanousd > max(share * self.control_nanousd, least_nanousd)

    def to_dict(self) -> dict[str, Any]:
        """The sums, then the days with their differences. Costs are in US dollars."""
        is_known = bool(self.compared)
        return {
            "period": self.period,
            "total_days": self.count,
            "compared_days": self.compared,
            "difference": dollars(self.missing_nanousd) if is_known else None,
            "absolute_difference": dollars(self.apart_nanousd) if is_known else None,
            "anthropic_problem": self.problem,
            "archived_executions": self.archived.executions,
            "days": [
                row
                | {
                    "differences": [
                        {"reason": each.reason, "cost": _dollars(each.cost_nanousd), "requests": each.requests}
                        for each in day.differences
                    ]
                }
                for day, row in zip(self.days, self.rows(), strict=True)
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """The days for CSV."""
        return [_row(day) for day in self.days]


def _row(day: DayComparison) -> dict[str, Any]:
    control, heard = day.control, day.telemetry
    return {
        "date": day.day,
        "transcript_cost": _dollars(day.transcript.known_cost_nanousd),
        "telemetry_cost": _dollars(heard.known_cost_nanousd),
        "sdk_cost": _dollars(day.sdk.known_cost_nanousd),
        "stored_cost": _dollars(day.stored.known_cost_nanousd),
        "reported_cost": _dollars(heard.reported_nanousd if heard.reported else None),
        "metrics_cost": _dollars(day.metrics.cost_nanousd),
        "anthropic_cost": _dollars(day.billed.cost_nanousd),
        "compared_with": control and control.name,
        "difference": _dollars(day.missing_nanousd),
        "unknown_reason": day.unknown_reason,
        "executions": day.stored.executions,
        "stored_tokens": day.stored.tokens,
        "metrics_tokens": day.metrics.tokens,
        "anthropic_tokens": day.billed.tokens,
        "anthropic_web_searches": day.billed.web_searches,
    }


def _dollars(nanousd: int | None) -> float | None:
    return None if nanousd is None else dollars(nanousd)


def whole_days(window: Window, first_us: int, now_us: int) -> Window:
    """The days (UTC) that a window touches, from the first execution to today."""
    start_us = first_us if window.start_us is None else max(window.start_us, 0)
    end_us = now_us + 1 if window.end_us is None else min(window.end_us, now_us + 1)
    return Window(start_us // DAY_US * DAY_US, -(-end_us // DAY_US) * DAY_US, window.label)


def days_of(database: Readable, chosen: Filter, now_us: int) -> Window:
    """The days (UTC) that a report is about."""
    with database.read() as connection:
        stored = queries.time_range(connection)
    return whole_days(chosen.window, stored.first_us if stored else now_us, now_us)


def reconciled_days(
    database: Readable,
    chosen: Filter,
    now_us: int,
    billed: Mapping[int, Billed] | None = None,
    problem: str | None = None,
    rows: RowChoice = ALL_ROWS,
) -> ReconciledDays:
    """The days of a period of which any source knows something. What metrics and bills say is of all agents and
    projects, so it is left out if the filter has names. `billed` is what Anthropic says by day."""
    days = days_of(database, chosen, now_us)
    with database.read() as connection:
        chosen = known_names(connection, replace(chosen, window=days))
        sums = sources.sums_by_day(connection, chosen)
        has_names = any(names for _, names in chosen.names())
        metrics = {} if has_names else sources.control_sums_by_day(connection, days)
        archived = queries.archived(connection, chosen)
    bills = {} if has_names or billed is None else billed
    found = [
        DayComparison(
            sums.get(day_us, {}),
            day_us=day_us,
            metrics=metrics.get(day_us, NO_METRICS),
            billed=bills.get(day_us, NO_BILL),
            is_over=day_us + DAY_US <= now_us,
            is_archived=_touches(archived, day_us),
        )
        for day_us in sorted(sums.keys() | metrics.keys() | bills.keys())
    ]
    compared = [day for day in found if day.missing_nanousd is not None]
    missing = [day.missing_nanousd or 0 for day in compared]
    return ReconciledDays(
        period=chosen.window.label,
        days=rows.in_time(found),
        count=len(found),
        compared=len(compared),
        control_nanousd=sum(day.control.cost_nanousd for day in compared if day.control),
        apart_nanousd=sum(map(abs, missing)),
        missing_nanousd=sum(missing),
        has_bill=bool(bills),
        problem=problem,
        archived=archived,
    )


def with_bills(
    database: Readable, chosen: Filter, now_us: int, api: AdminApi | None, rows: RowChoice = ALL_ROWS
) -> ReconciledDays:
    """`reconciled_days` with what Anthropic bills, if there is a key to ask with. A refusal is the report's problem."""
    billed, problem = None, None
    if api is not None:
        days = days_of(database, chosen, now_us)
        try:
            billed = billed_days(api, days.start_us or 0, days.end_us or 0)
        except ReportUnavailable as error:
            problem = str(error)
    return reconciled_days(database, chosen, now_us, billed, problem, rows)


def _touches(archived: Archived, day_us: int) -> bool:
    """Whether archived executions may be of a day."""
    if not archived.executions:
        return False
    return day_us <= archived.last_us and archived.first_us < day_us + DAY_US
