"""Layout of `outcomes --by agent`, workflow, model and project: what success costs."""

from __future__ import annotations

from functools import partial

from claude_force.analytics.labels import model_labels, project_labels, uuid_labels
from claude_force.analytics.run_outcomes import FEWEST, RunOutcomes, SuccessCost
from claude_force.executions.runs import amount_of
from claude_force.formatting import NONE, count, duration, money, percent, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import cut_note, unpriced_sentence
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_COLUMNS = (
    Column("Runs"), Column("Success"), Column("95 %\nInterval"), Column("Cost"), Column("Cost per\nSuccess"),
    Column("Time per\nSuccess"), Column("Wasted"),
)  # fmt: skip
_TOO_FEW = "too few"


def run_outcomes_layout(report: RunOutcomes) -> Layout:
    """The rows, their total, and what of the money was for nothing."""
    return Layout(partial(_page, report), report.rows, not report.count)


def _page(report: RunOutcomes) -> Page:
    labels = _labels(report)
    page = Page(f"Outcomes by {report.by.capitalize()} ({heading_of(report.period)})")
    rows = [[labels.get(name or "", name) or f"(no {report.by})", *_cells(found)] for name, found in report.groups]
    columns = [Column(report.by.capitalize(), "name"), *_COLUMNS]
    page.parts.append(Table(columns, [*rows, ["Total", *_cells(report.totals)]]))
    page.parts.extend(cut_note(len(report.groups), report.count))
    page.parts.append(Section("Wasted", _wasted(report.totals)))
    page.parts.append(Section("Per dollar", _per_dollar(report)))
    page.parts.extend(_notes(report))
    return page


def _labels(report: RunOutcomes) -> dict[str, str]:
    names = [name for name, _ in report.groups if name]
    if report.by == "model":
        return model_labels(names)
    if report.by == "workflow":
        return uuid_labels(names)
    return project_labels(names) if report.by == "project" else {}


def _cells(found: SuccessCost) -> list[str]:
    seconds = found.seconds_per_success
    return [
        count(found.sums.runs),
        percent(found.success_rate) if found.success_rate is not None else _TOO_FEW,
        NONE if found.interval is None else "–".join(f"{edge:.0f}" for edge in found.interval) + "%",
        money(found.cost),
        money(found.cost_per_success),
        duration(None if seconds is None else 1000 * seconds),
        money(found.wasted),
    ]


def _wasted(totals: SuccessCost) -> list[str]:
    sums, wasted = totals.sums, totals.wasted
    failed, refused, retried, unknown = (
        money(amount_of(cost, unpriced))
        for cost, unpriced in (
            (sums.failed_nanousd, sums.failed_unpriced),
            (sums.refused_nanousd, sums.refused_unpriced),
            (sums.retried_nanousd, sums.retried_unpriced),
            (sums.unknown_nanousd, sums.unknown_unpriced),
        )
    )
    share = f" ({percent(100 * wasted / totals.cost)} of the cost)" if totals.cost and wasted is not None else ""
    lines = [
        f"Failed runs: {failed} ({quantity(sums.failures, 'run')})",
        f"Refused runs: {refused} ({quantity(sums.refusals, 'run')})",
        f"Failed requests of successful runs: {retried}",
        f"Together: {money(wasted)}{share}",
    ]
    if sums.unknown or sums.unknown_nanousd:
        lines.append(f"Neither wasted nor useful: {unknown} ({quantity(sums.unknown, 'run')} without a known outcome)")
    return lines


def _per_dollar(report: RunOutcomes) -> list[str]:
    """What came for a dollar: of everything, since only few names have it."""
    delivered = report.totals.delivered
    if delivered.commits is None:
        return ["Commits, pull requests and lines are not known: no metrics came (claude-force telemetry setup)."]
    lines = [
        f"{name.replace('_', ' ').capitalize()}: {_rate(report.totals.per_dollar(number))} ({count(number)} in all)"
        for name, number in delivered._asdict().items()
    ]
    if report.by in ("agent", "model"):
        lines.append(f"Telemetry says them by session, not by {report.by}.")
    return lines


def _rate(number: float | None) -> str:
    return NONE if number is None else f"{number:,.2f}"


def _notes(report: RunOutcomes) -> list[Section]:
    lines = []
    if any(found.success_rate is None for _, found in report.groups):
        lines.append(f"Too few: fewer than {FEWEST} runs with a known outcome, so no success rate is claimed.")
    unpriced = report.totals.sums.unpriced
    if unpriced:
        lines += [unpriced_sentence(unpriced), "Costs per success are lower bounds."]
    return [Section(None, lines)] if lines else []
