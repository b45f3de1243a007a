"""Layout of `analytics outcomes`: what agents did, by day or by session."""

from __future__ import annotations

from functools import partial

from claude_force.analytics.labels import workflow_labels
from claude_force.analytics.outcomes import OutcomeReport, Outcomes, ToolUse
from claude_force.clock import MINUTE_US
from claude_force.formatting import NONE, count, hours_minutes, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout, Request
from claude_force.reports.layouts.notes import cut_note
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_COLUMNS = (
    Column("Added"), Column("Removed"), Column("Commits"), Column("PRs"), Column("Active"), Column("Tool\nCalls"),
    Column("Failed"), Column("Rejected"),
)  # fmt: skip
_TOOLS_SHOWN = 5
_SETUP = "claude-force telemetry setup"


def outcome_layout(report: OutcomeReport, request: Request) -> Layout:
    """The days or sessions, and their total."""
    return Layout(partial(_page, report, request), report.rows, not report.count, partial(_explain_empty, report))


def _page(report: OutcomeReport, request: Request) -> Page:
    labels = workflow_labels(report.starts, report.zone)
    names = [labels.get(name, name) or "(no session)" for name, _ in report.groups]
    rows = [[name, *_cells(found)] for name, (_, found) in zip(names, report.groups, strict=True)]
    first = Column("Date (UTC)", "text") if report.by == "day" else Column("Session", "name", 16)
    page = Page(f"Outcomes ({heading_of(report.period)})")
    page.parts.append(Table([first, *_COLUMNS], [*rows, ["Total", *_cells(report.totals)]]))
    page.parts.extend(cut_note(len(report.groups), report.count))
    page.parts.extend([*_more(report.totals), *_tools(report.tools), *_notes(report, request)])
    return page


def _cells(found: Outcomes) -> list[str]:
    return [
        count(found.lines_added),
        count(found.lines_removed),
        count(found.commits),
        count(found.pull_requests),
        NONE if found.active_us is None else hours_minutes(found.active_us // MINUTE_US),
        count(found.tool_calls),
        count(found.tool_failures),
        count(found.rejected),
    ]


def _more(totals: Outcomes) -> list[Section]:
    """The totals that have no column."""
    numbers = {
        "prompt": totals.prompts,
        "accepted decision": totals.accepted,
        "retry": totals.retries,
        "refusal": totals.refusals,
        "compaction": totals.compactions,
    }
    known = [_quantity(number, noun) for noun, number in numbers.items() if number is not None]
    return [Section(None, [f"Also: {', '.join(known)}"])] if known else []


def _quantity(number: int, noun: str) -> str:
    return f"{count(number)} retries" if noun == "retry" and number != 1 else quantity(number, noun)


def _tools(tools: list[ToolUse]) -> list[Section]:
    if not tools:
        return []
    lines = [_tool_line(tool) for tool in tools[:_TOOLS_SHOWN]]
    rest = tools[_TOOLS_SHOWN:]
    if rest:
        calls, failures = sum(use.calls for use in rest), sum(use.failures for use in rest)
        lines.append(_tool_line(ToolUse(quantity(len(rest), "other"), calls, failures)))
    return [Section("Tools", lines)]


def _tool_line(use: ToolUse) -> str:
    failed = f", {count(use.failures)} failed" if use.failures else ""
    return f"{use.tool or '(no name)'}: {quantity(use.calls, 'call')}{failed}"


def _notes(report: OutcomeReport, request: Request) -> list[Section]:
    lines = []
    if report.totals.commits is None:
        lines.append("Lines, commits, pull requests and active time are not known: no metrics came.")
    if report.totals.tool_calls is None:
        lines.append("Tool calls, retries, refusals and compactions are not known: no events came.")
    if any(dimension != "session_id" for dimension, names in request.chosen.names() if names):
        lines.append("Of whole sessions: those with an execution that matches.")
    return [Section(None, lines)] if lines else []


def _explain_empty(report: OutcomeReport) -> str:
    if report.of_store is None:
        return (
            "No outcomes yet: lines, commits, active time and tool calls come by telemetry.\n"
            f"Set it up for Claude Code:\n  {_SETUP}\n"
            "What a success costs is known without it:\n  claude-force outcomes --by agent"
        )
    first, last = report.of_store
    return f"No outcomes match. The store has outcomes from {first} to {last}."
