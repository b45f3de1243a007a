"""Layout of `claude-force` alone: about ten lines that end with what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from claude_force import clock
from claude_force.analytics.labels import model_labels
from claude_force.clock import MINUTE_US
from claude_force.executions.record import UNKNOWN
from claude_force.executions.session_blocks import Block
from claude_force.executions.totals import Group, Totals
from claude_force.formatting import NONE, count, hours_minutes, money, percent
from claude_force.ingest.found_transcripts import FoundTranscripts
from claude_force.reports.columns import Column
from claude_force.reports.freshness import unknown_row
from claude_force.reports.layouts.first_steps import found_lines, shown_path
from claude_force.reports.layouts.notes import provisional_sentence
from claude_force.reports.layouts.plan_limits import limits_line
from claude_force.reports.overview import Overview, Period
from claude_force.reports.render import Page, Section, Table

_NAMES = {"today": "Today", "week": "This week", "month": "This month"}
_COLUMNS = (
    Column("", "text"), Column("Cost"), Column("Executions"), Column("Tokens"), Column("Top model", "name"),
    Column("Top agent", "name"),
)  # fmt: skip

_NEXT = "claude-force daily, sessions, runs, costs, dashboard or --help"


def overview_page(overview: Overview, found: Sequence[FoundTranscripts], *, is_incomplete: bool) -> Page:
    """The overview. `found` is what a first command found to read; while the database `is_incomplete`, a period
    without executions is unknown."""
    at = clock.to_datetime(overview.now_us, overview.zone)
    rows = list(map(_row, overview.periods))
    rows = list(map(unknown_row, rows)) if is_incomplete else rows
    page = Page(f"Overview ({at:%Y-%m-%d %H:%M})", [Table(_COLUMNS, rows)])
    active = overview.blocks.active
    now = [_block_line(active, overview.now_us)] if active else []
    if overview.blocks.plan_limits:
        now.append(f"Plan limits: {limits_line(overview.blocks.plan_limits, overview.zone, overview.now_us)}")
    provisional = overview.longest.totals.provisional
    caveats = [provisional_sentence(provisional)] if provisional else []
    attention = [f"Attention: {each.text}: {each.command}" for each in overview.attention]
    lines = [
        *(f"Found {line}" for line in found_lines(found)),
        *caveats,
        *now,
        *attention,
        *_last_line(overview),
        f"Next: {_NEXT}",
    ]
    page.parts.append(Section(None, lines))
    return page


def introduction(folder: Path) -> list[str]:
    """What claude-force is and how to begin, for a user who has nothing to read."""
    return [
        "claude-force stores what Claude agents do: time, success, tokens and cost.",
        f"Nothing is stored yet, and {shown_path(folder)} has no session of Claude Code.",
        "",
        "Three ways to begin:",
        "  use Claude Code, then type claude-force again",
        "  claude-force import FILE    # executions in a JSONL file",
        "  record from Python: claude_force.performance_tracker.PerformanceTracker",
    ]


def _row(period: Period) -> list[str]:
    totals = period.totals
    labels = model_labels(group.name or UNKNOWN for group in period.models)
    return [
        _NAMES[period.name],
        money(totals.cost),
        count(totals.executions),
        count(totals.total_tokens),
        _top(period.models, totals, labels),
        _top(period.agents, totals, {}),
    ]


def _top(groups: Sequence[Group], totals: Totals, labels: dict[str, str]) -> str:
    """The most expensive one and its share of the cost: "opus-5 82%"."""
    if not groups:
        return NONE
    name = groups[0].name or UNKNOWN
    cost = groups[0].totals.cost_nanousd
    share = f" {percent(100 * cost / totals.cost_nanousd, 0)}" if cost and totals.cost_nanousd else ""
    return labels.get(name, name) + share


def _block_line(block: Block, now_us: int) -> str:
    left, burn = hours_minutes((block.end_us - now_us) // MINUTE_US), block.burn()
    rate = f", {money(burn.cost_per_hour)}/hour" if burn and burn.cost_per_hour is not None else ""
    return f"Block of 5 hours: {money(block.totals.cost)}, {left} left{rate}"


def _last_line(overview: Overview) -> list[str]:
    """When the last execution was, if it was before the periods."""
    if overview.stored is None or not all(period.totals.is_empty for period in overview.periods):
        return []
    first, last = (clock.to_datetime(at, overview.zone).date() for at in overview.stored)
    return [f"The executions are from {first} to {last}: claude-force summary"]
