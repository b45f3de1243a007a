"""`claude-force statusline`: one line for the status line of Claude Code.

Claude Code runs it after every answer and shows its standard output. It is quick and always exits with 0; problems go
to standard error, which Claude Code does not show.
"""

from __future__ import annotations

import json
import sys
from datetime import tzinfo
from typing import Any

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, timezone_option
from claude_force.reports.statusline import StoredCosts, format_line, read_costs
from claude_force.settings.location import DATABASE_VARIABLE
from claude_force.text import for_terminal


@click.command()
@timezone_option
@database_option
def statusline(zone_name: str | None, location: str | None) -> None:
    """Print one line for the status line of Claude Code.

    It shows the model, the costs of the session, the day and the current block, the cost per hour, and how full the
    context is. It reads the session from standard input, which Claude Code provides. To switch it on, add to
    ~/.claude/settings.json:

    \b
      {"statusLine": {"type": "command", "command": "claude-force statusline"}}

    Parts that are unknown are left out. Problems are printed on standard error; the exit code is 0 even then.

    \b
    Example:
      claude-force statusline
    """
    session, stored, now_us = None, StoredCosts(), clock.now_us()
    try:
        session = _read_session()
        stored = _read_costs(session, location, clock.zone_of(zone_name), now_us)
    except Exception as error:  # the line shows what is known
        _warn(str(error) or type(error).__name__)
    click.echo(format_line(session, stored, now_us))


def _read_session() -> Any:
    """The JSON on standard input, or None. It does not wait for input from a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    text = sys.stdin.buffer.read()
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        _warn(f"standard input is not JSON: {error}")
        return None


def _read_costs(session: Any, location: str | None, zone: tzinfo, now_us: int) -> StoredCosts:
    database = find_workspace(location).database
    try:
        if database.exists():
            return read_costs(database, session, zone, now_us)
    finally:
        database.close()
    _warn(f"no database at {database.name}; create it with claude-force ingest, or set {DATABASE_VARIABLE}")
    return StoredCosts()


def _warn(problem: str) -> None:
    click.echo(f"claude-force statusline: {for_terminal(problem)}", err=True)
