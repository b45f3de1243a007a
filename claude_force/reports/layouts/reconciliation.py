"""Layout of `analytics reconcile`: what each source knows of sessions, and what they differ by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from claude_force.analytics.compared_sessions import (
    BEFORE_TELEMETRY,
    ONE_SOURCE,
    ONLY_TELEMETRY,
    OUTSIDE,
    PRICES,
    RESIDENCY,
    SIDE_REQUESTS,
    TELEMETRY_LOST,
    UNKNOWN_PRICE,
    UNSEEN,
    Difference,
    SessionComparison,
    model_difference,
)
from claude_force.analytics.labels import model_labels, short_ids, workflow_labels
from claude_force.analytics.names import known_names
from claude_force.analytics.reconciliation import (
    Reconciliation,
    request_groups,
)
from claude_force.database import queries
from claude_force.database.queries.reconciliation import Figures
from claude_force.executions.record import CLAUDE_CODE, dollars
from claude_force.formatting import NONE, compact, count, quantity, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout, Request, explain_empty
from claude_force.reports.layouts.first_steps import INGEST
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_SESSION_WIDTH = len("2026-11-24 15:38")
_MEANINGS = {
    SIDE_REQUESTS: "requests of Claude Code for itself, such as a web search; no transcript has them",
    ONLY_TELEMETRY: "telemetry alone saw them; the transcript is not read yet, or gone",
    TELEMETRY_LOST: "a transcript has them; telemetry did not see them, though it came from the session",
    BEFORE_TELEMETRY: "a transcript has them, from before telemetry came from the session",
    UNKNOWN_PRICE: "requests of models without a price of ours; the amount is what Claude Code computed",
    PRICES: "Claude Code counts other prices for the same tokens",
    RESIDENCY: "Claude Code counts other prices where a residency or a tier changes them",
    UNSEEN: "Claude Code counted it; neither a transcript nor telemetry has it",
    OUTSIDE: "Claude Code counted it; no transcript has it. Telemetry would say what it was",
}
"""What each reason means, in the order in which they are shown."""


def reconciliation_layout(report: Reconciliation, request: Request, by_model: bool) -> Layout:
    """The sessions, each followed by its models if asked for. A single session that was asked for has a page of its
    own."""
    is_empty = not report.count
    is_detail = len(request.chosen.sessions) == 1 and len(report.sessions) == 1
    page = partial(_detail_page, report) if is_detail else partial(_page, report, by_model)
    return Layout(page, report.rows, is_empty, partial(_explain_empty, report, request))


def _page(report: Reconciliation, by_model: bool) -> Page:
    titles = ("Transcripts", "Telemetry", "Claude\nCode", "Missing")
    columns = [Column("Session", "name", _SESSION_WIDTH), *map(Column, titles), Column("What differs", "name")]
    labels = _labels(report)
    rows = []
    for session in report.sessions:
        rows.append([labels[session.session_id], *_session_cells(session)])
        rows += _model_rows(session) if by_model else []
    page = Page(f"What each source knows ({heading_of(report.period)})", [Table(columns, rows)])
    page.parts.append(Section(None, _total_lines(report)))
    if report.reasons:
        page.parts.append(Section("What differs", _reason_lines(report)))
    if notes := _notes(report):
        page.parts.append(Section(None, notes))
    return page


def _labels(report: Reconciliation) -> dict[str, str]:
    """A label for each session: of one that only telemetry saw, too."""
    starts = {name: found._replace(source=CLAUDE_CODE, session=None) for name, found in report.starts.items()}
    names = [session.session_id for session in report.sessions]
    return short_ids(names) | workflow_labels(starts, report.zone)


def _session_cells(session: SessionComparison) -> list[str]:
    control = session.control
    return [
        _cost(session.transcript.known_cost_nanousd),
        _cost(session.telemetry.known_cost_nanousd),
        _cost(control.cost_nanousd if control else session.entry and session.entry.cost_nanousd),
        _cost(session.missing_nanousd),
        differences_text(session.differences, session.missing_nanousd),
    ]


def differences_text(differences: Sequence[Difference], missing_nanousd: int | None) -> str:
    """What the sources of a row differ by, in words."""
    return "; ".join(_difference(found, missing_nanousd) for found in differences) or NONE


def _difference(found: Difference, missing_nanousd: int | None) -> str:
    if found.reason in (OUTSIDE, UNSEEN) and found.cost_nanousd == missing_nanousd:
        # The column beside it has the figure.
        return found.reason
    if found.cost_nanousd is None:
        return f"{found.reason} ({quantity(found.requests or 0, 'request')})"
    return f"{found.reason} {_cost(found.cost_nanousd)}"


def _model_rows(session: SessionComparison) -> list[list[str]]:
    labels = model_labels(found.model for found in session.models)
    return [
        [
            f"  {labels[found.model]}",
            _cost(found.spent_nanousd),
            "",
            _cost(found.entry.cost_nanousd if found.entry else None),
            _cost(model_difference(session, found)),
            "",
        ]
        for found in session.models
    ]


def _cost(nanousd: int | None) -> str:
    return NONE if nanousd is None else unit_cost(dollars(nanousd))


def _total_lines(report: Reconciliation) -> list[str]:
    if not report.compared:
        return ["No session can be compared"]
    sums = (
        f"{quantity(report.compared, 'session')} compared: Claude Code {_cost(report.control_nanousd)}, "
        f"stored {_cost(report.stored_nanousd)}, missing {_cost(report.control_nanousd - report.stored_nanousd)}"
    )
    shown = f"{count(len(report.sessions))} of {count(report.count)} shown (--limit)"
    return [sums] if len(report.sessions) == report.count else [shown, sums]


def _reason_lines(report: Reconciliation) -> list[str]:
    lines = []
    for reason, meaning in _MEANINGS.items():
        if found := report.reasons.get(reason):
            requests = f", {quantity(found.requests, 'request')}" if found.requests else ""
            cost = _cost(found.cost_nanousd)
            lines.append(f"{reason} {cost} ({quantity(found.sessions, 'session')}{requests}): {meaning}")
    return lines


def _notes(report: Reconciliation) -> list[str]:
    notes = [
        f"{quantity(sessions, 'session')} not compared: {reason}"
        for reason, sessions in report.unknown.items()
        if reason != ONE_SOURCE
    ]
    if report.provisional:
        were = "was" if report.provisional == 1 else "were"
        never = f"{quantity(report.provisional, 'execution')} {were} never finalised"
        notes.append(f"{never}: the transcripts may cost more than is shown, and less is missing")
    if report.alone:
        notes.append(f"{quantity(len(report.alone), 'session')} not compared: {ONE_SOURCE}")
    return notes


def _detail_page(report: Reconciliation) -> Page:
    (session,) = report.sessions
    page = Page(f"Session {_labels(report)[session.session_id]}", [_source_table(session)])
    groups = [
        [group.seen_by, group.agent, group.model, *_figure_cells(group.figures)] for group in request_groups(session)
    ]
    names = [Column(title, "name") for title in ("Seen by", "Agent", "Model")]
    page.parts.append(Table([*names, *map(Column, ("Requests", "Tokens", "Cost"))], groups))
    nothing = "unknown" if session.unknown_reason else "nothing"
    page.parts.append(Section("What differs", _reason_lines(report) or [nothing]))
    if session.unknown_reason:
        page.parts.append(Section(None, [f"Not compared: {session.unknown_reason}"]))
    elif session.control:
        with_what, missing = session.control.name, _cost(session.missing_nanousd)
        page.parts.append(Section(None, [f"Compared with: {with_what}. Missing {missing}."]))
    return page


def _source_table(session: SessionComparison) -> Table:
    """What each source knows of a session as a whole."""
    seen = {"transcript": session.transcript, "telemetry": session.telemetry, "SDK": session.sdk}
    rows = [[name, *_figure_cells(figures)] for name, figures in seen.items() if figures.executions]
    if session.telemetry.reported:
        rows.append(["telemetry, by Claude Code", count(session.telemetry.reported), NONE,
                     _cost(session.telemetry.reported_nanousd)])  # fmt: skip
    if session.metrics.cost_nanousd is not None:
        rows.append(["metrics", NONE, compact(session.metrics.tokens), _cost(session.metrics.cost_nanousd)])
    if session.run:
        rows.append(["last headless run", NONE, NONE, _cost(session.run.cost_nanousd)])
    if entry := session.entry:
        tokens = entry.input_tokens + entry.output_tokens + entry.cache_read_tokens + entry.cache_write_tokens
        rows.append(["ledger", NONE, compact(tokens), _cost(entry.cost_nanousd)])
    return Table([Column("Source", "name"), *map(Column, ("Requests", "Tokens", "Cost"))], rows)


def _figure_cells(figures: Figures) -> Sequence[str]:
    return [count(figures.executions), compact(figures.tokens), _cost(figures.known_cost_nanousd)]


def _has_executions(request: Request) -> bool:
    """Whether there are executions that the report could be about, if they were part of sessions."""
    with request.workspace.database.read() as connection:
        chosen = known_names(connection, request.chosen)
        return queries.time_ranges(connection, chosen, [chosen.window]) != [None]


def _explain_empty(report: Reconciliation, request: Request) -> str:
    if not report.alone and not _has_executions(request):
        return explain_empty(request)
    return (
        f"No session of the period is known from two sources; {quantity(len(report.alone), 'session')} from one.\n"
        "Claude Code writes a ledger at the end of a session,\n"
        "since version 2.1.258; older versions write none.\n"
        f"Read what is new:\n  {INGEST}"
    )
