"""The report on session blocks: read by hours from the roll-ups. A block that overlaps the period is shown in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from claude_force import clock
from claude_force.analytics.groups import ALL_ROWS, RowChoice, unpriced_models
from claude_force.analytics.json_fields import token_kinds
from claude_force.analytics.names import known_names
from claude_force.analytics.plan_limits import LimitState, current_limits
from claude_force.clock import HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.executions import session_blocks as blocks
from claude_force.executions.record import CLAUDE_CODE, dollars
from claude_force.executions.session_blocks import Block
from claude_force.executions.totals import Archived, Group, Totals
from claude_force.time_windows import Window


@dataclass(frozen=True, slots=True)
class SessionBlocks:
    """The blocks that overlap a period, oldest first. `shown` are the chosen ones of them in the chosen order, with the
    gaps between them. `known_sources` lists the sources in
    the store if there is no block, else it is empty. `plan_limits` are those of now, whatever the period."""

    period: str
    blocks: list[Block]
    shown: list[Block]
    length: int
    zone: tzinfo
    now_us: int
    unpriced_models: list[str]
    known_sources: list[str]
    archived: Archived
    plan_limits: list[LimitState]

    @property
    def totals(self) -> Totals:
        """The sum over all blocks."""
        return sum((block.totals for block in self.blocks), Totals())

    @property
    def active(self) -> Block | None:
        """The block that contains now; None if there is none."""
        return next((block for block in self.blocks if block.is_active(self.now_us)), None)

    def to_dict(self) -> dict[str, Any]:
        """The keys of ccusage."""
        return {
            "period": self.period,
            "session_length_hours": self.length,
            "unpriced_models": self.unpriced_models,
            "archived_executions": self.archived.executions,
            "plan_limits": [state.to_dict(self.zone, self.now_us) for state in self.plan_limits],
            "total_blocks": len(self.blocks),
            "blocks": [self._block_dict(block) for block in self.shown],
        }

    def _block_dict(self, block: Block) -> dict[str, Any]:
        totals, is_active = block.totals, block.is_active(self.now_us)
        start = clock.to_datetime(block.start_us, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "id": f"gap-{start}" if block.is_gap else start,
            "startTime": clock.format_instant(block.start_us, self.zone),
            "endTime": clock.format_instant(block.end_us, self.zone),
            "actualEndTime": block.reach and clock.format_instant(block.reach.last_us, self.zone),
            "isActive": is_active,
            "isGap": block.is_gap,
            "entries": totals.executions,
            "tokenCounts": {
                "inputTokens": totals.input_tokens,
                "outputTokens": totals.output_tokens,
                "cacheCreationInputTokens": totals.cache_write_5m_tokens + totals.cache_write_1h_tokens,
                "cacheReadInputTokens": totals.cache_read_tokens,
            },
            "totalTokens": totals.total_tokens,
            "costUSD": totals.cost,
            "models": list(block.models),
            "burnRate": _burn_dict(block) if is_active else None,
            "projection": _projection_dict(block, self.now_us),
            "unpricedExecutions": totals.unpriced,
            "provisionalExecutions": totals.provisional,
        }

    def rows(self) -> list[dict[str, Any]]:
        """The blocks for CSV, without the gaps."""
        return [
            {
                "start": clock.format_instant(block.start_us, self.zone),
                "end": clock.format_instant(block.end_us, self.zone),
                "last_execution": block.reach and clock.format_instant(block.reach.last_us, self.zone),
                "is_active": block.is_active(self.now_us),
                "executions": block.totals.executions,
                "total_cost": block.totals.cost,
                **token_kinds(block.totals, ""),
                "models": " ".join(block.models),
                "unpriced_executions": block.totals.unpriced,
                "provisional_executions": block.totals.provisional,
            }
            for block in self.shown
            if not block.is_gap
        ]


def _burn_dict(block: Block) -> dict[str, float | None] | None:
    burn = block.burn()
    return burn and {"tokensPerMinute": burn.tokens_per_minute, "costPerHour": burn.cost_per_hour}


def _projection_dict(block: Block, now_us: int) -> dict[str, float | None] | None:
    found = block.projection(now_us)
    return found and {
        "totalTokens": found.tokens,
        "totalCost": dollars(found.nanousd),
        "remainingMinutes": found.remaining_us // clock.MINUTE_US,
    }


def session_blocks(
    database: Readable, chosen: Filter, length: int, zone: tzinfo, now_us: int, rows: RowChoice = ALL_ROWS
) -> SessionBlocks:
    """The blocks of `length` hours that overlap the period: the chosen ones. A filter without sources means those of
    Claude Code."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        found = blocks_in(connection, of_claude_code(chosen), length)
        unpriced = _unpriced_models(connection, of_claude_code(chosen), found)
        sources = [] if found else queries.names(connection, "source")
        archived = _archived(connection, of_claude_code(chosen), found)
        limits = current_limits(connection, now_us)
    shown = _with_gaps(rows.in_time(found))
    return SessionBlocks(chosen.window.label, found, shown, length, zone, now_us, unpriced, sources, archived, limits)


def _with_gaps(shown: list[Block]) -> list[Block]:
    """Blocks in either order, with the gaps between them."""
    if shown and shown[0].start_us > shown[-1].start_us:
        return blocks.with_gaps(shown[::-1])[::-1]
    return blocks.with_gaps(shown)


def _archived(connection: Connection, chosen: Filter, found: Sequence[Block]) -> Archived:
    """The archived executions in the blocks, for which only the hour is known."""
    window = Window(found[0].start_us, found[-1].end_us) if found else chosen.window
    return queries.archived(connection, replace(chosen, window=window))


def _unpriced_models(connection: Connection, chosen: Filter, found: Sequence[Block]) -> list[str]:
    if not any(block.totals.unpriced for block in found):
        return []
    window = Window(found[0].start_us, found[-1].end_us)
    sums = queries.totals_by(connection, replace(chosen, window=window), "model")
    return unpriced_models(Group(model, totals) for (model,), totals in sums.items())


def of_claude_code(chosen: Filter) -> Filter:
    """The filter, restricted to Claude Code unless it names a source."""
    return chosen if chosen.sources else replace(chosen, sources=(CLAUDE_CODE,))


def active_block(connection: Connection, chosen: Filter, now_us: int) -> Block | None:
    """The block of a Claude subscription that contains now; None if there is none."""
    found = blocks_in(connection, replace(chosen, window=Window(now_us, now_us + 1)), blocks.LENGTH)
    return found[0] if found else None


def blocks_in(connection: Connection, chosen: Filter, length: int) -> list[Block]:
    """The blocks that overlap the period, oldest first, each with all its chosen executions. All executions of the same
    sources decide where a block starts, as in a subscription."""
    start_us, end_us = chosen.window.start_us, chosen.window.end_us
    whole = Filter(chosen.window, sources=chosen.sources)
    found = [
        block
        for block in blocks.blocks_of(_sums(connection, whole, length), length)
        if (start_us is None or start_us < block.end_us) and (end_us is None or block.start_us < end_us)
    ]
    if found and chosen != whole:
        span = Window(found[0].start_us, found[-1].end_us)
        found = blocks.narrowed(found, queries.hours(connection, replace(chosen, window=span)))
    reaches = queries.time_ranges(connection, chosen, [Window(block.start_us, block.end_us) for block in found])
    return [replace(block, reach=reach) for block, reach in zip(found, reaches, strict=True)]


def _sums(connection: Connection, chosen: Filter, length: int) -> dict[tuple[int, str], Totals]:
    """The sums by hour and model in the period and in whole blocks around it. The first hour starts a block."""
    reach = queries.time_range(connection)
    if reach is None:
        return {}
    start_us, end_us = chosen.window.start_us, chosen.window.end_us
    until = None if end_us is None else (end_us // HOUR_US + 1 + length) * HOUR_US
    first = 0 if start_us is None else start_us // HOUR_US
    back = 4 * length
    while start_us is not None and (first - back) * HOUR_US > reach.first_us:
        since = first - back
        sums = queries.hours(connection, replace(chosen, window=Window(since * HOUR_US, until)))
        hours = sorted({hour for hour, _ in sums})
        begin = blocks.certain_start(hours, since, length)
        # The hours that are dropped must end before the period starts.
        if begin is not None and (begin == hours[0] or begin <= first):
            return {key: found for key, found in sums.items() if key[0] >= begin}
        if not hours:
            return {}
        back *= 4
    return queries.hours(connection, replace(chosen, window=Window(None, until)))
