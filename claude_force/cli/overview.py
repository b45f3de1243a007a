"""`claude-force` alone: the first answer."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from claude_force import clock
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.freshness import freshen, warn_of_unread
from claude_force.cli.say import say
from claude_force.ingest.found_transcripts import FoundTranscripts, found_transcripts
from claude_force.reports.freshness import freshness_dict, unknown_figures, write_foot
from claude_force.reports.overview import Overview, read_overview
from claude_force.settings.home import user_folder
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace
    from claude_force.ingest.freshness import Freshness

_OF_A_LINE = re.compile(r": line \d+: ")


def show_overview(location: str | None, *, as_json: bool, no_ingest: bool) -> None:
    """Read what is new, then print today, the week, the month, the plan, what needs attention, and what to type next.
    A first command also says what it found to read."""
    workspace, zone, now_us = find_workspace(location), clock.local_zone(), clock.now_us()
    is_first = not workspace.database.exists()
    freshness = freshen(workspace, now_us, no_ingest=no_ingest)
    overview = read_overview(workspace.database, zone, now_us, workspace)
    found = found_transcripts(_warn) if is_first or overview.stored is None else []
    if as_json:
        _write_json(overview, found, freshness)
    else:
        _write_text(workspace, overview, found, freshness)


def _write_json(overview: Overview, found: list[FoundTranscripts], freshness: Freshness) -> None:
    from claude_force.output import write_json

    report = unknown_figures(overview.to_dict()) if freshness.is_incomplete else overview.to_dict()
    context = {
        "found": [each.to_dict() for each in found],
        "timezone": str(overview.zone),
        "data": freshness_dict(freshness, overview.zone),
    }
    write_json(report | context, sys.stdout)


def _write_text(workspace: Workspace, overview: Overview, found: list[FoundTranscripts], freshness: Freshness) -> None:
    from claude_force.reports.layouts import overview as layout
    from claude_force.reports.layouts.first_steps import first_steps
    from claude_force.reports.render import write_page

    if overview.stored is None and not found:
        lines = layout.introduction(user_folder() / ".claude" / "projects")
        sys.stdout.write("\n".join(map(for_terminal, lines)) + "\n")
        warn_of_unread(freshness)
        return
    if overview.stored is None:
        sys.stdout.write(f"{first_steps(workspace)}\n")
    else:
        write_page(layout.overview_page(overview, found, is_incomplete=freshness.is_incomplete), sys.stdout)
    write_foot(_without_rejected(freshness, overview), sys.stdout)


def _without_rejected(freshness: Freshness, overview: Overview) -> Freshness:
    """The problems without those of single lines, if what needs attention counts these lines already."""
    if not any(each.kind == "rejected_lines" for each in overview.attention):
        return freshness
    return freshness._replace(problems=tuple(each for each in freshness.problems if not _OF_A_LINE.search(each)))


def _warn(path: object, problem: str) -> None:
    say(f"warning: {path}: {problem}", err=True)
