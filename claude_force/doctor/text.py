"""How the findings of the doctor look: problems first, each with its remedy on a line of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from claude_force import clock
from claude_force.doctor.examine import Examination
from claude_force.doctor.findings import Finding
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.formatting import quantity
from claude_force.ingest.status import SourceState
from claude_force.text import for_terminal

WIDTH = 80
_SHOWN = 20
_HEADINGS = (("problem", "To mend"), ("note", "To know"), ("ok", "In order"))
_TITLES = {CLAUDE_CODE: "Claude Code transcripts", "executions": "Executions file"}


def lines_of(found: Examination) -> Iterator[str]:
    """The lines of the report; the last says how it stands."""
    if found.workspace:
        yield from _wrapped(f"Database: {found.workspace.database.name}")
    for level, heading in _HEADINGS:
        findings = found.of(level)
        if findings:
            yield from ("", heading)
        for finding in findings[:_SHOWN]:
            yield from _finding_lines(finding)
        if len(findings) > _SHOWN:
            yield f"  and {len(findings) - _SHOWN:,} more: claude-force doctor --json"
    if found.intake:
        yield from _source_lines(found)
    yield from ("", verdict(found))


def verdict(found: Examination) -> str:
    """How it stands, in a few words."""
    numbers = [quantity(number, level) for level in ("problem", "note") if (number := len(found.of(level)))]
    return ", ".join(numbers) or "nothing to mend"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield from _wrapped(finding.text, f"  {finding.id:<16}", " " * 18)
    if finding.remedy:
        # Not wrapped: a command is copied whole.
        yield for_terminal(f"{' ' * 18}-> {finding.remedy}")


def _wrapped(text: str, first: str = "", rest: str = "  ") -> list[str]:
    """Lines of no more than the width, but where one word is longer: a path stays whole."""
    return textwrap.wrap(
        for_terminal(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _source_lines(found: Examination) -> Iterator[str]:
    assert found.intake
    for state in found.intake.states:
        where = f" on {state.host}" if state.host != (host_name() or "") else ""
        yield from ("", for_terminal(f"{_TITLES.get(state.source, state.source)}{where}"))
        for line in _lines(state, found.intake.folders):
            yield from _wrapped(line, "  ", " " * 15)
    if found.intake.reported:
        yield f"\nFinal figures of sub-agents whose files were not read: {found.intake.reported:,}"


def _lines(state: SourceState, folders: list[str]) -> Iterator[str]:
    if state.source == CLAUDE_CODE and state.host == (host_name() or ""):
        for folder in folders or ["none is there; claude-force ingest --help says which are looked for"]:
            yield f"Folder:      {folder}"
    counts = ((state.files, "file"), (state.lines, "line"), (state.executions, "response"))
    yield f"Read:        {', '.join(quantity(*count) for count in counts)}, copies included"
    if state.last_read_us:
        yield f"Last read:   {clock.to_datetime(state.last_read_us, clock.local_zone()):%Y-%m-%d %H:%M:%S}"
    if state.unread:
        yield f"New:         something in {quantity(state.unread, 'file')}: claude-force ingest"
    if state.unfinished:
        yield f"Unfinished:  the last line of {quantity(state.unfinished, 'file')}; it is read when it is whole"
    if state.gone:
        yield f"Gone:        {quantity(state.gone, 'file')} no longer there; what was read is kept"
    if state.rejected:
        yield f"Rejected:    {quantity(state.rejected, 'line')}"
    for reason, count in sorted(state.skipped.items()):
        yield f"Left out:    {quantity(count, 'line')}: {reason}"
