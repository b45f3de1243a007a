"""Everything the doctor formats for people: the report, and the phrases that several findings share."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from claude_force import clock
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE, RESULT
from claude_force.formatting import quantity
from claude_force.ingest.sources import STATISTICS
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.doctor.examine import Examination
    from claude_force.doctor.findings import Finding
    from claude_force.doctor.sources import SourceOverview
    from claude_force.ingest.status import SourceState

_LEAST_WIDTH = 40
"""Below, the ids of the findings leave no room for their sentences."""

_FINDINGS_SHOWN = 20
_HEADINGS = (("problem", "Problems"), ("note", "Notes"), ("ok", "OK"))
TITLES = {
    CLAUDE_CODE: "Claude Code transcripts",
    STATISTICS: "Claude Code's statistics",
    RESULT: "Results of claude -p",
    "executions": "Executions file",
}
_ID_WIDTH = 18
_LABEL_WIDTH = 15


def format_minute(instant_us: int) -> str:
    """Local date and time: 2026-11-24 10:00."""
    return f"{clock.to_datetime(instant_us, clock.local_zone()):%Y-%m-%d %H:%M}"


def format_waiting(executions: int) -> str:
    """The number of executions that wait: "1 execution waits"."""
    return f"{quantity(executions, 'execution')} wait{'s' if executions == 1 else ''}"


def report_lines(found: Examination) -> Iterator[str]:
    """The lines of the report; the last one counts the problems and notes."""
    if found.workspace:
        yield from _wrap(f"Database: {found.workspace.database.name}")
    for level, heading in _HEADINGS:
        findings = found.of(level)
        if findings:
            yield from ("", heading)
        for finding in findings[:_FINDINGS_SHOWN]:
            yield from _finding_lines(finding)
        if len(findings) > _FINDINGS_SHOWN:
            yield f"  and {len(findings) - _FINDINGS_SHOWN:,} more: claude-force doctor --json"
    if found.sources:
        yield from _source_lines(found.sources)
    yield from ("", format_verdict(found))


def format_verdict(found: Examination) -> str:
    """The number of problems and notes: "1 problem, 2 notes"."""
    numbers = [quantity(number, level) for level in ("problem", "note") if (number := len(found.of(level)))]
    return ", ".join(numbers) or "no problems found"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield from _wrap(finding.text, f"  {finding.id:<{_ID_WIDTH - 2}}", " " * _ID_WIDTH)
    if finding.remedy:
        # Not wrapped, so that a command can be copied whole.
        yield for_terminal(f"{' ' * _ID_WIDTH}-> {finding.remedy}")


def _wrap(text: str, first_indent: str = "", indent: str = "  ") -> list[str]:
    """Lines as wide as the terminal, or 80 columns where there is none. A longer word, such as a path, stays whole."""
    return textwrap.wrap(
        for_terminal(text),
        max(shutil.get_terminal_size().columns, _LEAST_WIDTH),
        initial_indent=first_indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _source_lines(overview: SourceOverview) -> Iterator[str]:
    for state in overview.states:
        where = f" on {state.host}" if state.host != (host_name() or "") else ""
        yield from ("", for_terminal(f"{TITLES.get(state.source, state.source)}{where}"))
        for line in _state_lines(state, overview.folders):
            yield from _wrap(line, "  ", " " * _LABEL_WIDTH)
    if overview.reported_usages:
        yield f"\nFinal usages of sub-agents whose transcripts were not read: {overview.reported_usages:,}"


def _state_lines(state: SourceState, folders: list[str]) -> Iterator[str]:
    if state.source == CLAUDE_CODE and state.host == (host_name() or ""):
        for folder in folders or ["none found; claude-force ingest --help lists where it looks"]:
            yield f"Folder:      {folder}"
    if state.source == STATISTICS:
        yield f"Read:        {quantity(state.files, 'file')}, {quantity(state.lines, 'day')}"
    else:
        counts = ((state.files, "file"), (state.lines, "line"), (state.executions, "response"))
        yield f"Read:        {', '.join(quantity(*count) for count in counts)}, copies included"
    if state.last_read_us:
        yield f"Last read:   {clock.to_datetime(state.last_read_us, clock.local_zone()):%Y-%m-%d %H:%M:%S}"
    if state.unread:
        yield f"New:         lines in {quantity(state.unread, 'file')}: claude-force ingest"
    if state.unfinished:
        yield f"Unfinished:  the last line of {quantity(state.unfinished, 'file')}; it is read once it is complete"
    if state.gone:
        yield f"Gone:        {quantity(state.gone, 'file')} no longer there; what was read is kept"
    if state.rejected:
        yield f"Rejected:    {quantity(state.rejected, 'line')}"
    for reason, lines in sorted(state.skipped.items()):
        yield f"Skipped:     {quantity(lines, 'line')}: {reason}"
