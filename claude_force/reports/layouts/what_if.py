"""Layout of `analytics what-if`, and of the models that `costs` names as cheaper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from claude_force.executions.record import NANOUSD, UNKNOWN
from claude_force.formatting import NONE, count, money, percent, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import cut_note, reason_line
from claude_force.reports.render import Page, Section, Table
from claude_force.text import for_terminal
from claude_force.time_windows import heading_of

if TYPE_CHECKING:
    from claude_force.analytics.model_success import CheaperModel, Success, SuccessPair
    from claude_force.analytics.what_if import CostPair, WhatIf
    from claude_force.executions.what_if import Change

_COLUMNS = (
    Column("Agent", "name"), Column("Executions"), Column("Actual\nCost"), Column("What-If\nCost"),
    Column("Difference"), Column("Percent"),
)  # fmt: skip
_PAIRS_SHOWN = 10
_CHEAPER_SHOWN = 5


def what_if_layout(report: WhatIf) -> Layout:
    """Both costs by agent, what is assumed, and the success of both models."""
    return Layout(partial(_page, report), report.rows, report.is_empty)


def _page(report: WhatIf) -> Page:
    total = report.total
    known = total.executions > 0
    figures = [
        f"Actual Cost: {_cost(total.actual_nanousd, known)}",
        f"What-If Cost: {_cost(total.what_if_nanousd, known)}",
        f"Difference: {_difference(total)} ({_percent(total)})",
        f"Compared: {quantity(total.executions, 'execution')}",
    ]
    page = Page(f"What If: {_title(report.change)} ({heading_of(report.period)})", [Section(None, figures)])
    if report.agents:
        page.parts.append(Table(_COLUMNS, [[name or UNKNOWN, *_cells(pair)] for name, pair in report.agents]))
        page.parts.extend(cut_note(len(report.agents), report.count))
    if report.not_compared:
        page.parts.append(Section("In neither cost", list(map(reason_line, report.not_compared))))
    page.parts.extend(_success(report))
    page.parts.append(Section("Assumed", list(map(for_terminal, report.assumptions))))
    return page


def _title(change: Change) -> str:
    cache = {"none": "no cache", None: ""}.get(change.cache, f"cache {change.cache}")
    parts = [change.model or "", "batch" if change.is_batch else "", cache]
    return for_terminal(", ".join(filter(None, parts)))


def _cost(nanousd: int, known: bool) -> str:
    return money(nanousd / NANOUSD) if known else NONE


def _difference(pair: CostPair) -> str:
    if not pair.executions:
        return NONE
    sign = "+" if pair.difference_nanousd > 0 else ""
    return sign + money(pair.difference_nanousd / NANOUSD)


def _percent(pair: CostPair) -> str:
    found = pair.difference_percent
    return NONE if found is None else f"{'+' if found > 0 else ''}{percent(found)}"


def _cells(pair: CostPair) -> list[str]:
    costs = (money(pair.actual_nanousd / NANOUSD), money(pair.what_if_nanousd / NANOUSD))
    return [count(pair.executions), *costs, _difference(pair), _percent(pair)]


def _success(report: WhatIf) -> list[Section]:
    """The success of both models on the same agents, those of the table first."""
    if report.change.model is None:
        return []
    place = {name: at for at, (name, _) in enumerate(report.agents)}
    pairs = sorted((pair for pair in report.success if pair.agent in place), key=lambda pair: place[pair.agent])
    if not pairs:
        unknown = f"Whether {for_terminal(report.change.model)} succeeds as often is not known: no agent ran both."
        return [Section(None, [unknown])]
    lines = [_pair_line(pair) for pair in pairs[:_PAIRS_SHOWN]]
    more = len(pairs) - len(lines)
    lines += [f"and {count(more)} more: --json, or --agent NAME"] if more else []
    return [Section("Success on the same agent, with its 95% interval", lines)]


def _pair_line(pair: SuccessPair) -> str:
    rates = ", ".join(map(_rate, (pair.other, pair.used)))
    verdict = {"better": "more often", "worse": "less often"}.get(pair.verdict, pair.verdict)
    return f"{for_terminal(pair.agent)}: {rates}: {verdict}"


def _rate(found: Success) -> str:
    low, high = found.interval
    rate = f"{percent(found.rate)} ({percent(low)} to {percent(high)})"
    return f"{for_terminal(found.model)} {rate} of {count(found.executions)}"


def cheaper_section(cheaper: Sequence[CheaperModel]) -> list[Section]:
    """The models that would have cost less, one line for each agent. Empty if there are none."""
    if not cheaper:
        return []
    lines = [_cheaper_line(option) for option in cheaper[:_CHEAPER_SHOWN]]
    more = len(cheaper) - len(lines)
    lines += [f"and {quantity(more, 'agent')} more (--json)"] if more else []
    lines.append("Exactly, and what is assumed: claude-force what-if --model NAME --agent NAME")
    return [Section("Cheaper, and no less successful so far", lines)]


def _cheaper_line(option: CheaperModel) -> str:
    others = option.instead_of
    used = others[0] if len(others) == 1 else quantity(len(others), "model")
    saved = money(option.saved_nanousd / NANOUSD)
    return for_terminal(f"{option.agent}: {option.model} in place of {used} saves about {saved}")
