"""Layout of `analytics reconcile`: Claude Code's own ledgers beside the executions of their sessions."""

from __future__ import annotations

from functools import partial

from claude_force.analytics.labels import workflow_labels
from claude_force.analytics.reconciliation import Reconciliation, SessionComparison, model_difference
from claude_force.executions.record import dollars
from claude_force.formatting import NONE, count, quantity, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import INGEST, Layout, Request, explain_empty
from claude_force.reports.render import Page, Section, Table, wrap_lines
from claude_force.time_windows import heading_of

_SESSION_WIDTH = len("2026-11-24 15:38 1b2c3d4e folder")
_OUTSIDE = (
    "Outside: in the ledger and in no transcript. Claude Code makes requests of its own, for web searches, titles and "
    "summaries."
)


def reconciliation_layout(report: Reconciliation, request: Request, by_model: bool) -> Layout:
    """The sessions, each followed by its models if asked for."""
    is_empty = not report.count
    return Layout(partial(_page, report, by_model), report.rows, is_empty, partial(_explain_empty, report, request))


def _page(report: Reconciliation, by_model: bool) -> Page:
    columns = [Column("Session", "name", _SESSION_WIDTH), *map(Column, ("Ledger", "Transcripts", "Outside"))]
    labels = workflow_labels(report.starts, report.zone)
    rows = []
    for session in report.sessions:
        name = session.entry.session_id
        rows.append([labels.get(name, name), *_session_cells(session)])
        rows += _model_rows(session) if by_model else []
    page = Page(f"Ledgers of Claude Code ({heading_of(report.period)})", [Table(columns, rows)])
    page.parts.append(Section(None, _total_lines(report)))
    page.parts.append(Section(None, _notes(report)))
    return page


def _session_cells(session: SessionComparison) -> list[str]:
    total = session.total
    spent = total.cost_nanousd if total.is_known else None
    return [_cost(session.entry.cost_nanousd), _cost(spent), _cost(session.difference_nanousd)]


def _model_rows(session: SessionComparison) -> list[list[str]]:
    return [
        [
            f"  {found.model}",
            _cost(found.entry.cost_nanousd if found.entry else None),
            _cost(found.spent.cost_nanousd if found.spent and found.spent.is_known else None),
            _cost(model_difference(session, found)),
        ]
        for found in session.models
    ]


def _cost(nanousd: int | None) -> str:
    return NONE if nanousd is None else unit_cost(dollars(nanousd))


def _total_lines(report: Reconciliation) -> list[str]:
    if not report.compared:
        return ["No session can be compared"]
    outside = report.ledger_nanousd - report.spent_nanousd
    sums = (
        f"{quantity(report.compared, 'session')} compared: ledgers {_cost(report.ledger_nanousd)}, "
        f"transcripts {_cost(report.spent_nanousd)}, outside {_cost(outside)}"
    )
    shown = f"{count(len(report.sessions))} of {count(report.count)} shown (--limit)"
    return [sums] if len(report.sessions) == report.count else [shown, sums]


def _notes(report: Reconciliation) -> list[str]:
    notes = wrap_lines(_OUTSIDE)
    for reason, sessions in report.unknown.items():
        notes += wrap_lines(f"{quantity(sessions, 'session')} not compared: {reason}")
    if report.provisional:
        never = f"{quantity(report.provisional, 'execution')} never finalised"
        notes += wrap_lines(f"{never}: the transcripts cost more than is shown, and less is outside")
    if report.without_ledger:
        have = "has" if report.without_ledger == 1 else "have"
        notes += wrap_lines(f"{quantity(report.without_ledger, 'session')} {have} no ledger and are not in this report")
    return notes


def _explain_empty(report: Reconciliation, request: Request) -> str:
    if not report.without_ledger:
        return explain_empty(request)
    return (
        f"No session of the period has a ledger; {quantity(report.without_ledger, 'session')} without one.\n"
        "Claude Code writes the ledger at the end of a session,\n"
        "since version 2.1.258; older versions write none.\n"
        f"Read what is new:\n  {INGEST}"
    )
