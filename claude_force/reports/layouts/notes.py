"""What a report says below its figures: what they leave out, and what is not final in them."""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.executions.totals import Totals
from claude_force.formatting import count, quantity
from claude_force.reports.columns import cell_width
from claude_force.reports.render import Section
from claude_force.text import for_terminal

_WIDTH = 78


def notes(totals: Totals, unpriced_models: Sequence[str]) -> list[Section]:
    """What a reader of tokens and costs has to know; nothing where everything is final and has a price."""
    lines = []
    if totals.unpriced:
        lines.append(f"{quantity(totals.unpriced, 'execution')} without a known price; costs are over the others")
        lines.append(f"Without a price: {listed(unpriced_models, _WIDTH - 17)}")
    if totals.provisional:
        lines.append(
            f"{quantity(totals.provisional, 'execution')} never finalised: output tokens and cost are lower bounds"
        )
    return [Section(None, lines)] if lines else []


def listed(names: Sequence[str], width: int) -> str:
    """As many names as fit, at least one, and how many more there are."""
    shown = [for_terminal(name) for name in names]
    for kept in range(len(shown), 1, -1):
        text = _listed(shown, kept)
        if cell_width(text) <= width:
            return text
    return _listed(shown, 1)


def _listed(names: Sequence[str], kept: int) -> str:
    more = f" and {count(len(names) - kept)} more" if kept < len(names) else ""
    return ", ".join(names[:kept]) + more
