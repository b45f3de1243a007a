"""`claude-force statusline`: one line for the status line of Claude Code.

Claude Code runs it after every answer and shows its standard output. It is quick and always exits with 0; problems go
to standard error, which Claude Code does not show. It reads what is new in the transcripts first, this session before
all others, for at most 0.3 seconds. It stores the limits of the plan when they have changed, after the line is printed,
and never waits for another process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Any

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.freshness import freshen_line, no_ingest_option
from claude_force.database.workspace import Workspace
from claude_force.executions import plan_limits
from claude_force.executions.origin import host_name
from claude_force.executions.plan_limits import PlanLimit
from claude_force.files import make_folder, replacing
from claude_force.ingest.freshness import Freshness
from claude_force.reports.freshness import unread_lines
from claude_force.reports.statusline import (
    Stored,
    StoredCosts,
    format_limits,
    format_line,
    has_sent_cost,
    read_stored,
)
from claude_force.settings.location import DATABASE_VARIABLE
from claude_force.text import for_terminal

INPUT_LIMIT = 16 << 20
"""Bytes of standard input. Claude Code writes a few thousand; an input without an end must not fill the memory."""


@click.command()
@timezone_option
@database_option
@no_ingest_option
@click.option("--install", is_flag=True, help="Show the line in Claude Code: change settings.json.")
@click.option("--yes", is_flag=True, help="With --install: do not ask.")
def statusline(zone_name: str | None, location: str | None, no_ingest: bool, install: bool, yes: bool) -> None:
    """Print one line for the status line of Claude Code.

    It shows the model, the costs of the session, the day and the current block, the cost per hour, how much of the
    budget of this project and of the limits of your plan is used, and how full the context is. It keeps the limits in
    the database, for reports and alerts. It reads the session from standard input, which Claude Code provides.
    --install shows the change to ~/.claude/settings.json that switches it on, and asks:

    \b
      {"statusLine": {"type": "command", "command": "claude-force statusline"}}

    Parts that are unknown are left out. Problems are printed on standard error; the exit code is 0 even then.

    \b
    Example:
      claude-force statusline
    """
    if install:
        # Imported here: it is called once.
        from claude_force.cli.statusline_install import install_status_line

        install_status_line(yes=yes)
        return
    session, zone, workspace, now_us = None, None, None, clock.now_us()
    sent: Sequence[PlanLimit] = ()
    stored: Stored | None = None
    try:
        session = read_session(_warn)
        sent = _sent_limits(session, now_us)
        zone = clock.zone_of(zone_name)
        workspace = find_workspace(location)
        freshness = Freshness(now_us) if no_ingest else _freshen(workspace, session, now_us)
        stored = _read_stored(workspace, session, sent, zone, freshness)
    except Exception as error:  # the line shows what is known
        _warn(str(error) or type(error).__name__)
    found = stored or Stored(StoredCosts(), {})
    limits = format_limits(plan_limits.merge(sent, found.limits, now_us), zone, now_us)
    click.echo(format_line(session, found.costs, now_us, limits, found.budget))
    if sys.stdin is not None and sys.stdin.isatty() and not limits:
        _warn("the limits of your plan are known once Claude Code runs this: claude-force statusline --help")
    if workspace and stored:
        _keep_limits(workspace, [limit for limit in sent if plan_limits.is_news(limit, stored.limits.get(limit.kind))])


def read_session(warn: Callable[[str], None]) -> Any:
    """The JSON that Claude Code writes on standard input, for a status line or a hook; None without any, and `warn` is
    told why. It does not wait for input from a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return None
    text = sys.stdin.buffer.read(INPUT_LIMIT + 1)
    if len(text) > INPUT_LIMIT:
        warn("standard input is longer than 16 MB: not JSON of Claude Code")
        return None
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        warn(f"standard input is not JSON: {error}")
        return None


def _sent_limits(session: Any, now_us: int) -> list[PlanLimit]:
    limits, problems = plan_limits.decode(session, host_name() or "", now_us)
    for problem in problems:
        _warn(problem)
    return limits


def _freshen(workspace: Workspace, session: Any, now_us: int) -> Freshness:
    """Read what is new, this session first."""
    given = session.get("transcript_path") if isinstance(session, dict) else None
    transcript = given if isinstance(given, str) else None
    is_needed = transcript is not None and not has_sent_cost(session)
    freshness = freshen_line(workspace, now_us, session_file=transcript, is_needed=is_needed)
    for line in unread_lines(freshness):
        _warn(line)
    return freshness


def _read_stored(
    workspace: Workspace, session: Any, sent: Sequence[PlanLimit], zone: tzinfo, freshness: Freshness
) -> Stored | None:
    """What the store knows; None if there is no database."""
    database = workspace.database
    try:
        if database.exists():
            stored = read_stored(database, session, sent, host_name() or "", zone, freshness)
            return stored._replace(budget=_budget(workspace, session, zone, freshness))
    finally:
        database.close()
    _warn(f"no database at {database.name}; create it with claude-force ingest, or set {DATABASE_VARIABLE}")
    return None


def _budget(workspace: Workspace, session: Any, zone: tzinfo, freshness: Freshness) -> str:
    """The budget that matters where Claude Code works; "" without budgets. A failure costs the line nothing else."""
    if not workspace.settings.budgets:
        return ""
    try:
        # Imported here because most settings have no budgets.
        from claude_force.reports.budget_line import budget_part, folder_of
        from claude_force.settings.budgets import load_budgets

        budgets, problems = load_budgets(workspace.settings.budgets)
        for problem in problems:
            _warn(problem)
        names = workspace.project_names
        return budget_part(workspace.database, budgets, names, folder_of(session), zone, freshness)
    except Exception as error:
        _warn(f"the budget is unknown: {error}")
        return ""


def _keep_limits(workspace: Workspace, news: Sequence[PlanLimit]) -> None:
    """Store what is new. A failure must not reach Claude Code: it is kept for the doctor, and the next line tries
    again."""
    if not news:
        return
    # Imported here because most lines store nothing.
    from claude_force.database.plan_limits import add_plan_limits

    problem_file = workspace.home.plan_limits_problem_file
    try:
        with workspace.database.write_at_once() as connection:
            add_plan_limits(connection, news)
        problem_file.unlink(missing_ok=True)
    except Exception as error:
        with suppress(OSError):
            make_folder(problem_file.parent)
            with replacing(problem_file, 0o600) as descriptor:
                os.write(descriptor, f"{error}\n".encode(errors="backslashreplace"))
    finally:
        workspace.database.close()


def _warn(problem: str) -> None:
    click.echo(f"claude-force statusline: {for_terminal(problem)}", err=True)
