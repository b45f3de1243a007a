"""Layout of `analytics blocks`: the five-hour windows of a Claude subscription."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from claude_force import clock
from claude_force.analytics.blocks import SessionBlocks
from claude_force.clock import HOUR_US, MINUTE_US
from claude_force.executions.record import CLAUDE_CODE, dollars, model_family
from claude_force.executions.session_blocks import Block
from claude_force.formatting import count, hours_minutes, money, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout, Request, explain_empty
from claude_force.reports.layouts.first_steps import INGEST
from claude_force.reports.layouts.notes import cut_note, notes
from claude_force.reports.layouts.plan_limits import limits_table
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_COLUMNS = (
    Column("Block", "text"), Column("", "text"), Column("Executions"), Column("Tokens"), Column("Cost"),
    Column("Models", "name", len("haiku, opus, sonnet")),
)  # fmt: skip


def blocks_layout(report: SessionBlocks, request: Request, only_active: bool) -> Layout:
    """The limits of the plan, then the blocks with the burn rate of the active one."""
    explain = partial(_explain_empty, report, request, only_active)
    return Layout(partial(_page, report, explain), report.rows, not report.blocks and not report.plan_limits, explain)


def _page(report: SessionBlocks, explain: Callable[[], str]) -> Page:
    page = Page(f"Session Blocks ({heading_of(report.period)})")
    if report.plan_limits:
        page.parts.append(limits_table(report.plan_limits, report.zone, report.now_us))
    if report.blocks:
        page.parts.append(Table(_COLUMNS, [_row(block, report) for block in report.shown]))
        page.parts.extend(cut_note(sum(not block.is_gap for block in report.shown), len(report.blocks)))
    else:
        page.parts.append(Section(None, explain().splitlines()))
    if report.active:
        page.parts.append(Section("Active Block", _active_lines(report.active, report.now_us)))
    page.parts.extend(notes(report.totals, report.unpriced_models))
    if report.archived.executions:
        note = f"Of {quantity(report.archived.executions, 'archived execution')} only the hour is known."
        page.parts.append(Section(None, [note]))
    return page


def _row(block: Block, report: SessionBlocks) -> list[str]:
    start, end = (clock.to_datetime(at, report.zone) for at in (block.start_us, block.end_us))
    if block.is_gap:
        hours = (block.end_us - block.start_us) // HOUR_US
        return [f"  gap of {quantity(hours, 'hour')}", "", "", "", "", ""]
    families = sorted({model_family(model) for model in block.models})
    return [
        f"{start:%Y-%m-%d %H:%M}–{end:{'%H:%M' if end - start < timedelta(days=1) else '%m-%d %H:%M'}}",
        "active" if block.is_active(report.now_us) else "",
        count(block.totals.executions),
        count(block.totals.total_tokens),
        money(block.totals.cost),
        ", ".join(families),
    ]


def _active_lines(block: Block, now_us: int) -> list[str]:
    elapsed, left = (hours_minutes(time // MINUTE_US) for time in (now_us - block.start_us, block.end_us - now_us))
    lines = [f"Elapsed: {elapsed}, {left} left"]
    burn, projection = block.burn(), block.projection(now_us)
    if burn:
        lines.append(f"Burn Rate: {count(burn.tokens_per_minute)} tokens/min, {money(burn.cost_per_hour)}/hour")
    if projection:
        lines.append(f"Projected: {count(projection.tokens)} tokens, {money(dollars(projection.nanousd))}")
    return lines


def _explain_empty(report: SessionBlocks, request: Request, only_active: bool) -> str:
    if not report.known_sources or request.chosen.sources:
        return explain_empty(request)
    if CLAUDE_CODE not in report.known_sources:
        others = " ".join(f"--source {name}" for name in report.known_sources)
        return (
            f"No executions of Claude Code yet. Read its transcripts:\n  {INGEST}\nor choose another source: {others}"
        )
    return "No block is active now." if only_active else explain_empty(request)
