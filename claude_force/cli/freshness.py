"""What every report does before it answers: read what is new (see `ingest.freshness`)."""

from __future__ import annotations

import click

from claude_force import clock
from claude_force.cli.asked import asked
from claude_force.cli.progress import explained_interrupt, reading_progress
from claude_force.cli.say import say
from claude_force.database.workspace import Workspace
from claude_force.ingest.freshness import MAX_AGE_US, Freshness, bring_up_to_date, stored_freshness
from claude_force.reports.freshness import unread_lines

REPORT_BUDGET_S = 5.0
"""How long a report reads what is new before it answers."""

LINE_BUDGET_S = 0.3
"""The same for a status line, and for one refresh of the dashboard."""

KEPT = "what was read so far is stored; the next report, or claude-force ingest, goes on from there"

no_ingest_option = click.option("--no-ingest", is_flag=True, help="Answer without reading what is new first.")


def freshen(workspace: Workspace, now_us: int, *, no_ingest: bool = False) -> Freshness:
    """Read what is new into the database of a workspace, as far as `REPORT_BUDGET_S` reaches, with a progress bar where
    there is much of it. Returns how old the answer of a report is. With `no_ingest` nothing is read, nor for a page,
    whose server reads what is new once for all of them."""
    if page := asked():
        return page.freshness(now_us)
    if no_ingest:
        return stored_freshness(workspace, now_us)
    with explained_interrupt(KEPT):
        return bring_up_to_date(workspace, now_us, clock.deadline(REPORT_BUDGET_S), reading_progress)


def freshen_refresh(workspace: Workspace, now_us: int, *, no_ingest: bool) -> Freshness:
    """The same for one refresh of the dashboard, within `LINE_BUDGET_S`. For a thread of its own: it draws no bar."""
    if no_ingest:
        return stored_freshness(workspace, now_us)
    return bring_up_to_date(workspace, now_us, clock.deadline(LINE_BUDGET_S))


def freshen_line(workspace: Workspace, now_us: int, *, session_file: str | None, is_needed: bool) -> Freshness:
    """The same for a status line, within `LINE_BUDGET_S`. The session whose transcript is `session_file` comes first;
    where its cost `is_needed`, also if everything was read a moment ago."""
    return bring_up_to_date(
        workspace,
        now_us,
        clock.deadline(LINE_BUDGET_S),
        max_age_us=-1 if is_needed else MAX_AGE_US,
        session_file=session_file,
    )


def warn_of_unread(freshness: Freshness) -> None:
    """Say on stderr what an output without a foot does not contain yet."""
    for line in unread_lines(freshness):
        say(f"warning: {line}", err=True)
