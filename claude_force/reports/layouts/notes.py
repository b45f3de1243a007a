"""Notes below a report: what its totals do not include, and what is not final."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.analytics.backfill import Backfill
from claude_force.analytics.unpriced import UnpricedReason
from claude_force.executions.totals import Totals
from claude_force.formatting import count, quantity
from claude_force.ingest.report import too_low
from claude_force.reports.cells import cell_width
from claude_force.reports.render import Section
from claude_force.text import for_terminal

_NAMES_WIDTH = 60
"""Room for the names of models in a sentence. The others are counted."""


def notes(
    totals: Totals, unpriced_models: Sequence[str], reasons: Sequence[UnpricedReason] | None = None
) -> list[Section]:
    """The notes on tokens and costs. Empty if every execution is final and has a price. With `reasons` they say why a
    cost is missing, else for which models."""
    lines = []
    if totals.unpriced:
        lines.append(unpriced_sentence(totals.unpriced))
        if reasons is None:
            lines.append(f"Of models: {join_names(unpriced_models, _NAMES_WIDTH)}. Why: claude-force costs")
        lines += map(reason_line, reasons or ())
    if totals.provisional:
        lines.append(provisional_sentence(totals.provisional))
    return [Section(None, lines)] if lines else []


def too_low_notes(executions: int) -> list[Section]:
    """That costs are known to be wrong, and the command that corrects them. Empty if none are."""
    return [Section(None, [f"{too_low(executions)}: claude-force db reprice"])] if executions else []


def cut_note(shown: int, available: int) -> list[Section]:
    """How many rows of how many are shown. Empty if all are."""
    return [Section(None, [f"{count(shown)} of {count(available)} shown (--limit)"])] if shown < available else []


def unpriced_sentence(unpriced: int) -> str:
    """That a cost leaves out executions."""
    have, are = ("has", "is") if unpriced == 1 else ("have", "are")
    return f"{quantity(unpriced, 'execution')} {have} no known price and {are} not in this cost"


def provisional_sentence(provisional: int) -> str:
    """That a cost is a lower bound."""
    were, their = ("was", "its") if provisional == 1 else ("were", "their")
    executions = quantity(provisional, "execution")
    return f"{executions} {were} never finalised: {their} output tokens and cost may be higher"


def reason_line(found: UnpricedReason) -> str:
    """A reason with the number of its executions and their models: "3 executions: no published price (gpt-9)"."""
    models = f" ({join_names(found.models, _NAMES_WIDTH)})" if found.models else ""
    return f"{quantity(found.executions, 'execution')}: {for_terminal(found.reason)}{models}"


def backfill_notes(backfill: Backfill) -> list[Section]:
    """That Claude Code's own statistics know more days of the period. Empty if they do not."""
    if not backfill.days:
        return []
    found = f"{quantity(backfill.days, 'day')}, {quantity(backfill.tokens, 'token')}"
    text = f"Before the first transcript: {found} from Claude Code's own statistics (not in the figures above):"
    return [Section(None, [text, "  claude-force analytics backfill"])]


def join_names(names: Sequence[str], width: int) -> str:
    """As many names as fit, at least one, and the number of the others."""
    safe = [for_terminal(name) for name in names]
    for kept in range(len(safe), 1, -1):
        text = _join(safe, kept)
        if cell_width(text) <= width:
            return text
    return _join(safe, 1)


def _join(names: Sequence[str], kept: int) -> str:
    more = f" and {count(len(names) - kept)} more" if kept < len(names) else ""
    return ", ".join(names[:kept]) + more
