"""Is the data complete and fresh: the findings of the doctor, and how far each source was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from claude_force import clock
from claude_force.clock import SECOND_US
from claude_force.doctor.examine import Examination
from claude_force.doctor.findings import Finding
from claude_force.doctor.text import TITLES, format_verdict
from claude_force.formatting import NONE, age, count
from claude_force.ingest.status import SourceState
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table
from claude_force.web.view import View, Visit

_FINDINGS = (Column("Check", "text"), Column("What was found", "name"))
_REMEDY = Column("Remedy", "name")
_SOURCES = (
    Column("Source", "name"), Column("Host", "text"), Column("Last read", "text"), Column("Files"), Column("Lines"),
    Column("Executions"), Column("Unread files"), Column("Rejected lines"), Column("Skipped lines"),
)  # fmt: skip
_AGES = (Column("What", "name"), Column("Age", "text"))
_HEADINGS = {"problem": "Problems", "note": "Notes", "ok": "In order"}


def _fill(visit: Visit) -> Mapping[str, Any]:
    found: Examination = visit.answer.report
    now_us = clock.now_us()
    parts: list[Section | Table] = [Section(None, [format_verdict(found)])]
    for level, heading in _HEADINGS.items():
        if findings := found.of(level):
            parts += [Section(heading, []), _findings(findings)]
    parts += [Section("Ages", []), Table(_AGES, _ages(found, now_us))]
    if found.sources and found.sources.states:
        rows = [_source_cells(state, now_us) for state in found.sources.states]
        parts += [Section("Sources", []), Table(_SOURCES, rows)]
    return {"found": Page("Health", parts)}


def _findings(findings: Sequence[Finding]) -> Table:
    if not any(finding.remedy for finding in findings):
        return Table(_FINDINGS, [[finding.id, finding.text] for finding in findings])
    return Table([*_FINDINGS, _REMEDY], [[finding.id, finding.text, finding.remedy or ""] for finding in findings])


def _ages(found: Examination, now_us: int) -> list[list[str]]:
    ages = found.ages
    instants = {
        "Newest execution": ages.newest_execution_us,
        "Last look at the sources": ages.last_pass_us,
        "Last backup": ages.last_backup_us,
    }
    return [[name, _age(at_us, now_us)] for name, at_us in instants.items()]


def _age(at_us: int | None, now_us: int) -> str:
    return NONE if at_us is None else age(max(now_us - at_us, 0) // SECOND_US)


def _source_cells(state: SourceState, now_us: int) -> list[str]:
    numbers = (state.files, state.lines, state.executions, state.unread, state.rejected, state.skipped.total())
    title = TITLES.get(state.source, state.source)
    return [title, state.host or NONE, _age(state.last_read_us, now_us), *map(count, numbers)]


VIEW = View("/health", "Health", "doctor", "command.html", _fill, takes=())
