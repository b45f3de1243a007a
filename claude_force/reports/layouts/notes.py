"""Notes below a report: what its totals do not include, and what is not final."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from claude_force.analytics.backfill import Backfill
from claude_force.analytics.unpriced import UnpricedReason
from claude_force.executions.totals import Totals
from claude_force.formatting import count, quantity
from claude_force.reports.columns import cell_width
from claude_force.reports.render import Section, wrap_lines
from claude_force.text import for_terminal

_WIDTH = 78
_UNPRICED = "No known price: "
_MODELS = "Models: "


def notes(
    totals: Totals, unpriced_models: Sequence[str], reasons: Sequence[UnpricedReason] | None = None
) -> list[Section]:
    """The notes on tokens and costs. Empty if every execution is final and has a price. With `reasons` they say why a
    cost is missing, else for which models."""
    lines = []
    if totals.unpriced:
        verbs = "has no known price and is" if totals.unpriced == 1 else "have no known price and are"
        lines.append(f"{quantity(totals.unpriced, 'execution')} {verbs} not included in costs")
        if reasons is None:
            lines.append(_UNPRICED + join_names(unpriced_models, _WIDTH - len(_UNPRICED)))
        lines += [line for reason in reasons or () for line in _reason_lines(reason)]
    if totals.provisional:
        lines.append(
            f"{quantity(totals.provisional, 'execution')} never finalised: output tokens and cost are lower bounds"
        )
    return [Section(None, lines)] if lines else []


def _reason_lines(found: UnpricedReason) -> Iterator[str]:
    """A reason with the number of its executions, and below it their models."""
    yield f"{count(found.executions)}: {for_terminal(found.reason)}"
    if found.models:
        yield _MODELS + join_names(found.models, _WIDTH - len(_MODELS))


def backfill_notes(backfill: Backfill) -> list[Section]:
    """That Claude Code's own statistics know more days of the period. Empty if they do not."""
    if not backfill.days:
        return []
    found = f"{quantity(backfill.days, 'day')}, {quantity(backfill.tokens, 'token')}"
    text = f"Before the first transcript: {found} from Claude Code's own statistics (not in the figures above):"
    return [Section(None, [*wrap_lines(text), "  claude-force analytics backfill"])]


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
