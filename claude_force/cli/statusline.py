"""`claude-force statusline`: one line for the status line of Claude Code.

Claude Code calls it after every answer and shows what it prints: it is quick, and it never fails. What is not known is
left out; what went wrong is said on stderr, where Claude Code does not look.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, NamedTuple

import click

from claude_force import clock, windows
from claude_force.analytics import blocks as session_blocks
from claude_force.cli.options import database_option, find_workspace, timezone_option
from claude_force.clock import MINUTE_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.executions.session_blocks import Block
from claude_force.formatting import count, hours_minutes, money
from claude_force.settings.location import DATABASE_VARIABLE
from claude_force.text import for_terminal
from claude_force.windows import Window

ELSEWHERE = f"claude-force ingest makes it, {DATABASE_VARIABLE} names another"

_SESSION_DAYS = 7
"""How far back a session is looked for: its cost is not worth reading all of history after every answer."""

_PROMPT_KINDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Stored(NamedTuple):
    """What the store knows: the cost of the session and of the day in US dollars, and the block that is open now."""

    session: float | None = None
    today: float | None = None
    block: Block | None = None


@click.command()
@timezone_option
@database_option
def statusline(zone_name: str | None, location: str | None) -> None:
    """One line for the status line of Claude Code.

    The model, what session, day and block cost, how fast, and how full the context is.

    It reads what Claude Code says of the session on standard input. To see it there, put into ~/.claude/settings.json:

    \b
      {"statusLine": {"type": "command", "command": "claude-force statusline"}}

    What is not known is left out; what went wrong is said on stderr, and the exit code is 0 all the same.

    \b
    Example:
      claude-force statusline
    """
    given, stored, now_us = None, Stored(), clock.now_us()
    try:
        given = _read_input()
        stored = _look_up(given, location, clock.zone_of(zone_name), now_us)
    except Exception as error:  # a status line shows what it can
        click.echo(f"claude-force statusline: {for_terminal(str(error)) or type(error).__name__}", err=True)
    click.echo(line_of(given, stored, now_us))


def _read_input() -> Any:
    """The JSON on standard input; None where there is none. A person who calls it by hand is not kept waiting."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    text = sys.stdin.buffer.read()
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        click.echo(f"claude-force statusline: standard input is not JSON: {error}", err=True)
        return None


def _look_up(given: Any, location: str | None, zone: tzinfo, now_us: int) -> Stored:
    database = find_workspace(location).database
    try:
        if not database.exists():
            click.echo(f"claude-force statusline: no database at {for_terminal(database.name)}; {ELSEWHERE}", err=True)
            return Stored()
        return _read(database, given, zone, now_us)
    finally:
        database.close()


def _read(database: Database, given: Any, zone: tzinfo, now_us: int) -> Stored:
    session_id = _at(given, "session_id")
    midnight_us = clock.start_of_day(clock.to_datetime(now_us, zone).date(), zone)
    mine = session_blocks.of_claude_code(Filter(Window(midnight_us, now_us + 1)))
    with database.read() as connection:
        session = None
        if _cost_given(given) is None and isinstance(session_id, str):
            week = windows.last_window(now_us, days=_SESSION_DAYS)
            found = queries.totals(connection, Filter(week, workflows=(session_id,)))
            session = found.cost if found.executions else None
        today = queries.totals(connection, mine).cost
        return Stored(session, today, session_blocks.active_block(connection, mine, now_us))


def line_of(given: Any, stored: Stored, now_us: int) -> str:
    """The line; of `given` nothing is taken for granted."""
    name = _at(given, "model", "display_name") or _at(given, "model", "id")
    parts = [
        for_terminal(name) if isinstance(name, str) else "Claude",
        " / ".join(_costs(given, stored, now_us)),
        _rate(stored.block),
        _context(given),
    ]
    return " | ".join(filter(None, parts))


def _costs(given: Any, stored: Stored, now_us: int) -> Iterator[str]:
    session = _cost_given(given)
    if session is None:
        session = stored.session
    if session is not None:
        yield f"{money(session)} session"
    if stored.today is not None:
        yield f"{money(stored.today)} today"
    if stored.block and stored.block.totals.priced:
        left = hours_minutes((stored.block.end_us - now_us) // MINUTE_US)
        yield f"{money(stored.block.totals.cost)} block ({left} left)"


def _rate(block: Block | None) -> str:
    burn = block.burn() if block else None
    return "" if burn is None or burn.cost_per_hour is None else f"{money(burn.cost_per_hour)}/hr"


def _context(given: Any) -> str:
    """How full the context is: what the last request sent, of what the model takes."""
    kinds = [_number(_at(given, "context_window", "current_usage", kind)) for kind in _PROMPT_KINDS]
    known = [tokens for tokens in kinds if tokens is not None]
    size = _number(_at(given, "context_window", "context_window_size"))
    percent = _number(_at(given, "context_window", "used_percentage"))
    if percent is None and known and size:
        percent = 100 * sum(known) / size
    share = "" if percent is None else f"{percent:.0f}%"
    if not known:
        return f"{share} context" if share else ""
    return f"{count(sum(known))} ({share}) context" if share else f"{count(sum(known))} context"


def _cost_given(given: Any) -> float | None:
    return _number(_at(given, "cost", "total_cost_usd"))


def _at(value: Any, *path: str) -> Any:
    """What stands at a path of keys; None where there is nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e15 and not math.isnan(value) and value >= 0 else None
