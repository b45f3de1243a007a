"""A model that a price is asked for: it must be one model that has one."""

from __future__ import annotations

from difflib import get_close_matches

from claude_force.errors import UnpricedModel
from claude_force.executions.pricing import PriceTable
from claude_force.executions.published_rates import published_models
from claude_force.text import for_terminal

_NAMES_SHOWN = 3


def check_priced(prices: PriceTable, model: str, at_us: int) -> None:
    """Raises UnpricedModel, with the nearest name, for what has no price at an instant."""
    reason = prices.rates(model, at_us)
    if not isinstance(reason, str):
        return
    raise UnpricedModel(for_terminal(f"--model {model}: {reason}{_hint(prices, model, at_us)}"))


def _hint(prices: PriceTable, model: str, at_us: int) -> str:
    """The newest models of a family, or the nearest name, of what has a price."""
    begin = f"claude-{model.lower()}-"
    # Some sellers write 5.5 for 5-5.
    published = [name for name in published_models() if "." not in name]
    known = [*prices.overridden, *published]
    family = sorted((name for name in known if name.startswith(begin)), reverse=True)
    near = family or get_close_matches(model.lower(), known, n=5, cutoff=0.5)
    priced = [name for name in near if not isinstance(prices.rates(name, at_us), str)]
    if not priced:
        return ""
    return f"; name one: {', '.join(priced[:_NAMES_SHOWN])}" if family else f"; did you mean {priced[0]}?"
