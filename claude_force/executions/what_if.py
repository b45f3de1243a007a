"""The same tokens at other prices: of another model, as a batch, or with another cache policy.

An execution of several steps changes only in those of the chosen models. It is compared only if both costs of all that
changes are known, so that both sides are about the same executions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from claude_force.executions.billed_steps import REFUSAL, UNBILLED_REFUSAL, Step, Steps
from claude_force.executions.costs import NO_REFUSAL_PRICE, Billed, why_unpriced
from claude_force.executions.model_rates import NO_SEARCH_PRICE, ModelRates
from claude_force.executions.pricing import Modifiers, PriceTable, Usage, modifiers_of
from claude_force.executions.unknown_costs import NO_USAGE, PRICED_TODAY

CachePolicy = Literal["1h", "5m", "none"]

NOT_DIVIDED = "the cost came with the record, and is not divided among its steps"

_BATCH = "batch"


class Change(NamedTuple):
    """What is assumed: another model (None: each its own), a batch, another cache policy (None: as it was)."""

    model: str | None = None
    is_batch: bool = False
    cache: CachePolicy | None = None

    def keeps(self, model: str) -> bool:
        """Whether nothing changes for what ran on a model: it keeps its cost."""
        return self.model == model and not self.is_batch and self.cache is None

    def model_of(self, model: str) -> str:
        """The model in place of a model."""
        return self.model or model

    def modifiers(self, modifiers: Modifiers) -> Modifiers:
        """The modifiers in place of these: a batch is its own tier, the rest carries over."""
        return modifiers._replace(tier=_BATCH) if self.is_batch else modifiers

    def usage(self, usage: Usage) -> Usage:
        """The tokens in place of these: as many, but perhaps of other kinds."""
        sent, written, read, short, long = usage
        if self.cache == "1h":
            return Usage(sent, written, read, 0, short + long)
        if self.cache == "5m":
            return Usage(sent, written, read, short + long, 0)
        return Usage(sent + read + short + long, written) if self.cache == "none" else usage


class Part(NamedTuple):
    """Executions of which a part changes: what the whole of them costs, and what decides on their other cost. They are
    equal in everything but their tokens and searches, which are sums, and in their costs.

    `instant_us` is one at which the same prices hold. `prompt_tokens` is a prompt in the tier of each of them. `cost`
    is None if it is not known, `usage` if it is not.
    """

    model: str
    modifiers: Modifiers
    instant_us: int
    executions: int
    cost: int | None
    usage: Usage | None
    searches: int = 0
    prompt_tokens: int = 0
    steps: Steps | None = None


class Compared(NamedTuple):
    """Nano-dollars of what changes: what it cost, and what it would."""

    actual: int
    what_if: int


class Incomparable(NamedTuple):
    """Why executions are not compared, and the model without a price; "" if it is not about a price."""

    reason: str
    model: str = ""


IsChosen = Callable[[str], bool]


def part_rates(prices: PriceTable, change: Change, part: Part) -> ModelRates | str:
    """The rates in place of those of executions without steps, or why there are none."""
    return prices.rates(change.model_of(part.model), part.instant_us, change.modifiers(part.modifiers))


def compare(prices: PriceTable, change: Change, part: Part, is_chosen: IsChosen) -> Compared | Incomparable | None:
    """Both costs of what changes, or why one is not known; None if nothing of it is of the chosen models."""
    if part.steps is not None:
        return _compare_steps(prices, change, part, part.steps, is_chosen)
    if not is_chosen(part.model):
        return None
    if part.cost is None:
        return _why_no_cost(prices, part)
    if change.keeps(part.model):
        return Compared(part.cost, part.cost)
    if part.usage is None:
        return Incomparable(NO_USAGE, part.model)
    rates, model = part_rates(prices, change, part), change.model_of(part.model)
    if isinstance(rates, str):
        return Incomparable(rates, model)
    found = rates.cost_of_sum(change.usage(part.usage), part.searches, part.prompt_tokens)
    return Incomparable(NO_SEARCH_PRICE, model) if found is None else Compared(part.cost, found)


def _why_no_cost(prices: PriceTable, part: Part) -> Incomparable:
    if part.usage is None:
        return Incomparable(NO_USAGE, part.model)
    nothing = Usage(0, 0)
    billed = Billed(part.model, part.instant_us, nothing, part.modifiers, part.searches, part.steps)
    why = why_unpriced(prices, billed)
    return Incomparable(PRICED_TODAY, part.model) if why is None else Incomparable(why.reason, why.model)


def _compare_steps(
    prices: PriceTable, change: Change, part: Part, steps: Steps, is_chosen: IsChosen
) -> Compared | Incomparable | None:
    ours = [step for step in steps if is_chosen(step.model)]
    has_searches = bool(part.searches) and is_chosen(part.model)
    if not ours and not has_searches:
        return None
    actual = _actual_cost(prices, part, steps, ours, has_searches=has_searches)
    if isinstance(actual, Incomparable):
        return actual
    if all(change.keeps(model) for model in [*(step.model for step in ours), *[part.model] * has_searches]):
        return Compared(actual, actual)
    found = [_step_cost(prices, change, part, step) for step in ours]
    if has_searches:
        found.append(_search_cost(prices, change, part, steps))
    unknown = next((each for each in found if isinstance(each, Incomparable)), None)
    return unknown or Compared(actual, sum(each for each in found if not isinstance(each, Incomparable)))


def _actual_cost(
    prices: PriceTable, part: Part, steps: Steps, ours: list[Step], *, has_searches: bool
) -> int | Incomparable:
    """What the chosen steps and searches of executions cost."""
    is_whole = len(ours) == len(steps) and has_searches == bool(part.searches)
    if is_whole and part.cost is not None:
        return part.cost
    known = [step.cost_nanousd for step in ours if step.cost_nanousd is not None]
    if len(known) < len(ours) or (has_searches and _searched(part, steps) is None):
        return _why_no_cost(prices, part) if part.cost is None else Incomparable(NOT_DIVIDED)
    return part.executions * sum(known) + (_searched(part, steps) or 0 if has_searches else 0)


def _searched(part: Part, steps: Steps) -> int | None:
    """What the searches cost: what the steps leave of the whole cost."""
    known = [step.cost_nanousd for step in steps if step.cost_nanousd is not None]
    if part.cost is None or len(known) < len(steps):
        return None
    return part.cost - part.executions * sum(known)


def _step_cost(prices: PriceTable, change: Change, part: Part, step: Step) -> int | Incomparable:
    """What a step of all executions would cost."""
    if step.kind == UNBILLED_REFUSAL:
        return 0
    if change.keeps(step.model):
        return Incomparable(NOT_DIVIDED) if step.cost_nanousd is None else part.executions * step.cost_nanousd
    if step.kind == REFUSAL:
        return Incomparable(NO_REFUSAL_PRICE, change.model_of(step.model))
    modifiers = change.modifiers(modifiers_of(step.service_tier, step.inference_geo, part.modifiers.provider))
    rates = prices.rates(change.model_of(step.model), part.instant_us, modifiers)
    if isinstance(rates, str):
        return Incomparable(rates, change.model_of(step.model))
    return part.executions * (rates.cost(change.usage(Usage(*step.tokens)), 0) or 0)


def _search_cost(prices: PriceTable, change: Change, part: Part, steps: Steps) -> int | Incomparable:
    """What the searches would cost."""
    if change.keeps(part.model):
        searched = _searched(part, steps)
        return Incomparable(NOT_DIVIDED) if searched is None else searched
    rates, model = part_rates(prices, change, part), change.model_of(part.model)
    if isinstance(rates, str):
        return Incomparable(rates, model)
    found = rates.cost(Usage(0, 0), part.searches)
    return Incomparable(NO_SEARCH_PRICE, model) if found is None else found
