"""The status line of Claude Code: `model | costs | rate | budget | plan limits | context`. Parts that are unknown are
left out.

`session` is the JSON that Claude Code writes to standard input. Every field of it is optional, and any of them may have
the wrong type. https://code.claude.com/docs/en/statusline
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force import clock, formatting, time_windows
from claude_force.analytics.blocks import active_block, of_claude_code
from claude_force.clock import DAY_US, MINUTE_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Filter
from claude_force.database.queries.plan_limits import latest_of_host
from claude_force.executions.plan_limits import FIVE_HOUR, SEVEN_DAY, SPEND, PlanLimit
from claude_force.executions.session_blocks import Block
from claude_force.formatting import count, hours_minutes, money
from claude_force.ingest.freshness import Freshness
from claude_force.text import for_terminal
from claude_force.time_windows import Window

_SESSION_DAYS = 7
"""How far back the cost of a session is looked up. All of history would take too long after every answer."""

_PROMPT_FIELDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


_LIMITS = {FIVE_HOUR: "5h", SEVEN_DAY: "week", SPEND: "spend limit"}
"""The limits of a plan that the line shows, and their names in it. The limits of single models are in the reports."""


class StoredCosts(NamedTuple):
    """What the store knows: the costs of the session and of today in US dollars, and the active block."""

    session: float | None = None
    today: float | None = None
    block: Block | None = None
    unpriced_today: int = 0
    """Executions of today that its cost leaves out."""


class Stored(NamedTuple):
    """What the store knows: the costs, the last observation of each limit of the plan, by kind, and the budget that
    the line shows."""

    costs: StoredCosts
    limits: dict[str, PlanLimit]
    budget: str = ""


def read_stored(
    database: Database, session: Any, sent: Sequence[PlanLimit], host: str, zone: tzinfo, freshness: Freshness
) -> Stored:
    """Read what the line shows of the store, and what is known of the limits that were sent."""
    now_us = freshness.as_of_us
    with database.read() as connection:
        kinds = (*_LIMITS, *(limit.kind for limit in sent))
        costs = _read_costs(connection, session, zone, freshness)
        return Stored(costs, latest_of_host(connection, host, kinds, now_us))


def _read_costs(connection: Connection, session: Any, zone: tzinfo, freshness: Freshness) -> StoredCosts:
    """The costs. The session's cost is read only if Claude Code did not send it."""
    now_us = freshness.as_of_us
    midnight_us = clock.start_of_day(clock.to_datetime(now_us, zone).date(), zone)
    today = of_claude_code(Filter(Window(midnight_us, now_us + 1)))
    session_id = _session_id(session)
    session_cost = None
    if _sent_cost(session) is None and session_id is not None:
        week = time_windows.last_window(now_us, days=_SESSION_DAYS)
        totals = queries.totals(connection, Filter(week, sessions=(session_id,)))
        session_cost = totals.cost if totals.executions else None
    spent = queries.totals(connection, today)
    is_unknown = freshness.is_incomplete and spent.is_empty
    today_cost = None if is_unknown else spent.cost
    return StoredCosts(session_cost, today_cost, active_block(connection, today, now_us), spent.unpriced)


def format_limits(limits: Iterable[PlanLimit], zone: tzinfo | None, now_us: int) -> str:
    """The limits of the plan: "5h 62% until 14:00 · week 31%". Without a zone, no time is shown."""
    shown = [limit for limit in limits if limit.kind in _LIMITS]
    return " · ".join(
        f"{_LIMITS[limit.kind]} {formatting.percent(limit.used_percent, 0)}{_until(limit, zone, now_us)}"
        for limit in shown
    )


def _until(limit: PlanLimit, zone: tzinfo | None, now_us: int) -> str:
    """When a limit is reset, if that is within a day."""
    if zone is None or limit.resets_us is None or limit.resets_us - now_us >= DAY_US:
        return ""
    return f" until {clock.to_datetime(limit.resets_us, zone):%H:%M}"


def format_line(session: Any, stored: StoredCosts, now_us: int, limits: str = "", budget: str = "") -> str:
    """The status line, safe for a terminal. `limits` is that of `format_limits`, `budget` that of `budget_part`."""
    model = _get(session, "model", "display_name") or _get(session, "model", "id")
    parts = [
        for_terminal(model) if isinstance(model, str) else "Claude",
        " / ".join(_format_costs(session, stored, now_us)),
        _format_rate(stored.block),
        budget,
        limits,
        _format_context(session),
    ]
    return " | ".join(filter(None, parts))


def _format_costs(session: Any, stored: StoredCosts, now_us: int) -> Iterator[str]:
    sent_cost = _sent_cost(session)
    session_cost = stored.session if sent_cost is None else sent_cost
    if session_cost is not None:
        yield f"{money(session_cost)} session"
    if stored.today is not None:
        without = f" without {count(stored.unpriced_today)} unpriced" if stored.unpriced_today else ""
        yield f"{money(stored.today)} today{without}"
    if stored.block and stored.block.totals.is_priced:
        left = hours_minutes((stored.block.end_us - now_us) // MINUTE_US)
        yield f"{money(stored.block.totals.cost)} block ({left} left)"


def _format_rate(block: Block | None) -> str:
    burn = block.burn() if block else None
    return "" if burn is None or burn.cost_per_hour is None else f"{money(burn.cost_per_hour)}/hr"


def _format_context(session: Any) -> str:
    """The tokens of the last request, and their share of the context window."""
    counts = [_number(_get(session, "context_window", "current_usage", name)) for name in _PROMPT_FIELDS]
    known = [tokens for tokens in counts if tokens is not None]
    size = _number(_get(session, "context_window", "context_window_size"))
    percent = _number(_get(session, "context_window", "used_percentage"))
    if percent is None and known and size and size >= 1:
        percent = 100 * sum(known) / size
    share = "" if percent is None else f"{percent:.0f}%"
    if not known:
        return f"{share} context" if share else ""
    return f"{count(sum(known))} ({share}) context" if share else f"{count(sum(known))} context"


def _session_id(session: Any) -> str | None:
    """The id of the session; None if it has half a character, which no database can look up."""
    found = _get(session, "session_id")
    is_text = isinstance(found, str) and not any("\ud800" <= char <= "\udfff" for char in found)
    return found if is_text else None


def has_sent_cost(session: Any) -> bool:
    """Whether Claude Code sent the cost of the session."""
    return _sent_cost(session) is not None


def _sent_cost(session: Any) -> float | None:
    return _number(_get(session, "cost", "total_cost_usd"))


def _get(value: Any, *path: str) -> Any:
    """The value at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> float | None:
    """The value if it is a number from 0 to 1e15, or None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e15 and not math.isnan(value) and value >= 0 else None
