"""`claude-force doctor`: the sources, what was left out of them, and what is wrong with the machine that watches."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_place
from claude_force.escape import for_terminal
from claude_force.place import Place
from claude_force.record import CLAUDE_CODE
from claude_force.settings import host_name, user_folder

if TYPE_CHECKING:
    from claude_force.daemon.health import Health
    from claude_force.sources_report import SourceState

_TITLES = {CLAUDE_CODE: "Claude Code transcripts", "executions": "Executions file"}
_SHOWN = 20


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def doctor(as_json: bool, location: str | None) -> None:
    """List what was left out, and what is wrong elsewhere.

    Of every source: files, lines, when last read, and whatever was rejected, left out or unreadable, with the reason.
    Then rules and channels with an error, what could not be delivered, jobs that failed. Exit 1 if something needs you.

    \b
    Example:
      claude-force doctor
    """
    from claude_force.daemon.health import health_of
    from claude_force.ingest import SourceReport
    from claude_force.passes import waiting_files
    from claude_force.query import files
    from claude_force.sources import transcripts
    from claude_force.sources_report import source_states

    place, looking = find_place(location), SourceReport()
    folders = transcripts.roots(os.environ, user_folder(), looking.say)
    found = transcripts.find(folders, looking.say)
    with place.database.read() as connection:
        cursors, reported = files.cursors(connection), files.reported(connection)
    states = source_states(cursors, found, host_name() or "", looking.problems, CLAUDE_CODE)
    health = health_of(place, clock.now_us())
    waiting = [str(path) for path in waiting_files(place) if path.exists()]
    if as_json:
        shown = {
            "database": place.database.name,
            "sources": [state.to_dict() for state in states],
            "folders": [str(folder) for folder in folders],
            "waiting_files": waiting,
            "reported_usages_waiting": reported,
            "watching": health.to_dict(),
        }
        click.echo(json.dumps(shown, indent=2))
    else:
        _say(states, [str(folder) for folder in folders], waiting, reported, place)
        _say_health(health)
    if health.problems or any(state.problems for state in states):
        sys.exit(1)


def _say(states: list[SourceState], folders: list[str], waiting: list[str], reported: int, place: Place) -> None:
    click.echo(f"Sources of {for_terminal(place.database.name)}")
    for state in states:
        click.echo("")
        where = f" on {state.host}" if state.host != (host_name() or "") else ""
        click.echo(for_terminal(f"{_TITLES.get(state.source, state.source)}{where}"))
        for line in _lines(state, folders, place):
            click.echo(f"  {for_terminal(line)}")
    for path in waiting:
        click.echo(for_terminal(f"\nExecutions wait in {path}: claude-force ingest"))
    if reported:
        click.echo(f"\nFinal figures of sub-agents whose files were not read: {reported:,}")


def _say_health(health: Health) -> None:
    for heading, lines in (("To mend", health.problems), ("To know", health.remarks)):
        if lines:
            click.echo(f"\n{heading}")
        for line in lines[:_SHOWN]:
            click.echo(f"  {for_terminal(line)}")
        if len(lines) > _SHOWN:
            click.echo(f"  and {len(lines) - _SHOWN:,} more: claude-force doctor --json")


def _lines(state: SourceState, folders: list[str], place: Place) -> list[str]:
    from claude_force.amounts import quantity

    is_own = state.source == CLAUDE_CODE and state.host == (host_name() or "")
    lines = [f"Folder:      {folder}" for folder in folders] if is_own else []
    if is_own and not folders:
        lines.append("Folder:      none is there; claude-force ingest --help says which are looked for")
    counts = ((state.files, "file"), (state.lines, "line"), (state.executions, "response"))
    lines.append(f"Read:        {', '.join(quantity(*count) for count in counts)}, copies included")
    if state.last_read_us:
        moment = clock.moment_of(state.last_read_us, clock.local_zone())
        lines.append(f"Last read:   {moment:%Y-%m-%d %H:%M:%S}")
    if state.unread:
        lines.append(f"New:         something in {quantity(state.unread, 'file')}: claude-force ingest")
    if state.unfinished:
        lines.append(f"Unfinished:  the last line of {quantity(state.unfinished, 'file')}; it is read when it is whole")
    if state.gone:
        lines.append(f"Gone:        {quantity(state.gone, 'file')} no longer there; what was read is kept")
    if state.rejected:
        lines.append(f"Rejected:    {quantity(state.rejected, 'line')}, with the reason in {place.home.rejected_file}")
    lines += [f"Left out:    {quantity(count, 'line')}: {reason}" for reason, count in sorted(state.skipped.items())]
    lines += [f"Not read:    {path}: {problem}" for path, problem in state.problems[:_SHOWN]]
    if len(state.problems) > _SHOWN:
        lines.append(f"             and {len(state.problems) - _SHOWN:,} more")
    return lines
