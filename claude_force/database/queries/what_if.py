"""What the price of other tokens depends on: executions grouped by it, and what archived executions add to sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import SUMS, known_ranges, totals_of
from claude_force.database.queries.archives import archived_hours
from claude_force.database.queries.filter import ROW_FILTERS, SERIES_NAMES, Filter, where, within
from claude_force.executions.record import STEP_TOKENS
from claude_force.executions.rollups import ARCHIVED, EACH_SERIES
from claude_force.executions.totals import Totals
from claude_force.time_windows import Window

_PROMPT = "(input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens)"
_SPECIAL = (
    "COALESCE(steps, provider, inference_geo, service_tier) IS NOT NULL", "cost_nanousd IS NULL",
    "input_tokens IS NULL", "web_searches > 0",
)  # fmt: skip
"""What makes an execution another than one at the standard price with a known cost."""

_KEYS = (
    "series_id", "service_tier", "inference_geo", "provider", "steps",
    "CASE WHEN cost_nanousd IS NULL THEN 0 ELSE 1 END AS has_cost",
    "CASE WHEN input_tokens IS NULL THEN 0 ELSE 1 END AS has_usage",
    "CASE WHEN web_searches > 0 THEN 1 ELSE 0 END AS has_searches",
)  # fmt: skip
_SUMMED = (*STEP_TOKENS, "web_searches", "cost_nanousd")
_SUMS = (
    "COUNT(*) AS counted", *(f"COALESCE(SUM({name}), 0) AS sum_{name}" for name in _SUMMED),
    f"COALESCE(MAX({_PROMPT}), 0) AS longest", f"MIN(timestamp_us) / {DAY_US} AS day",
)  # fmt: skip

_WIDE = 3
"""A period of a third of the history or more is read in the order of the table: to look rows up by time takes twice as
long for each."""


class Slots(NamedTuple):
    """Parts of a day, and the instants between which a part of one day is like that of another."""

    length_us: int
    edges_us: Sequence[int]


class PriceGroup(NamedTuple):
    """Executions of one day, or of one part of several days, that are equal in everything that a price depends on, but
    for their numbers of tokens, which are sums.

    `day` is that of the first of them, `slot` the part of the day, `steps` is as the database has it, `longest_prompt`
    are tokens of one of them."""

    agent_name: str
    model: str
    service_tier: str | None
    inference_geo: str | None
    provider: str | None
    steps: str | None
    has_cost: bool
    has_usage: bool
    day: int
    slot: int
    executions: int
    tokens: tuple[int, ...]
    searches: int
    cost_nanousd: int
    longest_prompt: int


def price_groups(
    connection: Connection, filters: Filter, limits: Sequence[int], slots: Slots | None = None
) -> list[PriceGroup]:
    """The matching executions that are not at the standard price, have no known cost, or have a prompt of more tokens
    than the least of `limits`, in no particular order. No group has prompts on both sides of a limit. With `slots`
    all executions, grouped by these."""
    parameters = {f"limit_{index}": limit for index, limit in enumerate(sorted(limits))}
    period, slot = f"timestamp_us / {DAY_US}", "0"
    if slots is not None:
        parameters |= {f"edge_{index}": edge for index, edge in enumerate(slots.edges_us)}
        period = _count_true(f"timestamp_us >= :edge_{index}" for index in range(len(slots.edges_us)))
        slot = f"timestamp_us % {DAY_US} / {slots.length_us}"
    above = _count_true(f"{_PROMPT} > :limit_{index}" for index in range(len(limits)))
    keys = [*_KEYS, f"{period} AS period", f"{slot} AS slot", f"{above} AS above"]
    long_prompts = [f"{_PROMPT} > :limit_0"] if limits else []
    special = [] if slots is not None else [f"({' OR '.join([*_SPECIAL, *long_prompts])})"]
    labels, named = filters.conditions(*SERIES_NAMES)
    ours = [f"series_id IN (SELECT series_id FROM series{where(labels)})"] if labels else []
    names, more = filters.conditions(*ROW_FILTERS)
    times, edges = within(filters.searched)
    if _is_wide(connection, filters.searched):
        times = [f"+{condition}" for condition in times]
    # Joined last: with the series at each row, the same takes twice as long.
    groups = (
        f"SELECT {', '.join([*keys, *_SUMS])} FROM executions{where([*times, *special, *ours, *names])} "
        f"GROUP BY {', '.join(str(index + 1) for index in range(len(keys)))}"
    )
    rows = connection.fetch(
        f"SELECT agent_name, model, priced.* FROM ({groups}) AS priced JOIN series USING (series_id)",
        parameters | edges | named | more,
    )
    return [_group_of(row) for row in rows]


def _count_true(conditions: Iterable[str]) -> str:
    """SQL for how many conditions are true."""
    return " + ".join(f"CASE WHEN {condition} THEN 1 ELSE 0 END" for condition in conditions) or "0"


def _group_of(row: Sequence[Any]) -> PriceGroup:
    agent, model, _, tier, geo, provider, steps, has_cost, has_usage, _, _, *numbers = row
    # PostgreSQL sums bigint as numeric, which arrives as Decimal.
    slot, _, executions, *tokens, searches, cost, longest, day = map(int, numbers)
    known = bool(has_cost), bool(has_usage)
    return PriceGroup(
        agent, model, tier, geo, provider, steps, *known, day, slot, executions, tuple(tokens), searches, cost, longest
    )


def _is_wide(connection: Connection, window: Window) -> bool:
    stored, _ = known_ranges(connection)
    if stored is None or window == Window(label=window.label):
        return False
    start = max(stored.first_us, window.start_us or stored.first_us)
    end = min(stored.last_us, window.end_us or stored.last_us)
    return _WIDE * (end - start) >= stored.last_us - stored.first_us


def archived_totals(connection: Connection, filters: Filter) -> dict[tuple[str, str], Totals]:
    """The sums of the archived executions by agent and model, as `totals_by` counts them; not those of a filter that
    roll-ups do not know."""
    _, archives = known_ranges(connection)
    if archives is None or filters.has_rows_only:
        return {}
    names, named = filters.conditions(*SERIES_NAMES)
    ours = [f"scope = {EACH_SERIES}", f"level = {ARCHIVED}", "bucket >= :first", "bucket < :end", *names]
    rows = connection.fetch(
        f"SELECT agent_name, model, {SUMS} FROM rollups JOIN series USING (series_id){where(ours)} GROUP BY 1, 2",
        archived_hours(archives, filters.window) | named,
    )
    return {(agent, model): totals_of(sums) for agent, model, *sums in rows}
