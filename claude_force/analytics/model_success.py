"""Whether another model does the work of an agent as well: success rates on the same agent, with their intervals.

A comparison of success needs LEAST_SAMPLE executions of both models on the agent. The tasks may still differ: whoever
chose the model may have given it the easier ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from claude_force.analytics.proportions import Z_95, newcombe, rate_interval
from claude_force.executions.record import dollars, model_family
from claude_force.executions.totals import Totals

LEAST_SAMPLE = 30
"""Fewer executions say little: with 30 the interval of a rate of 95 % is 17 percentage points wide."""

Verdict = Literal["better", "worse", "no clear difference", "too few"]
Interval = tuple[float, float]

_LEAST_SAVING_NANOUSD = 10_000_000
"""A cent: less is not worth a line."""

_DATE = re.compile(r"-\d{8}$")


class Success(NamedTuple):
    """The executions of a model, and how many of them succeeded."""

    model: str
    executions: int
    successes: int

    @property
    def rate(self) -> float:
        """Percent."""
        return 100 * self.successes / self.executions

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the rate, in percent (Wilson's)."""
        return rate_interval(self.successes, self.executions)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        low, high = self.interval
        return {
            "model": self.model,
            "executions": self.executions,
            "success_rate": self.rate,
            "success_rate_low": low,
            "success_rate_high": high,
        }


class SuccessPair(NamedTuple):
    """Two models on one agent: the one that was used, and the one in its place."""

    agent: str
    used: Success
    other: Success

    @property
    def verdict(self) -> Verdict:
        """Whether the other model succeeds more often, by the 95 % interval of the difference (Newcombe's)."""
        if min(self.used.executions, self.other.executions) < LEAST_SAMPLE:
            return "too few"
        (mine, size), (theirs, other_size) = (
            (each.successes / each.executions, each.executions) for each in (self.other, self.used)
        )
        low, high = newcombe(mine, size, theirs, other_size, Z_95)
        return "better" if low > 0 else "worse" if high < 0 else "no clear difference"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "agent": self.agent,
            "used": self.used.to_dict(),
            "what_if": self.other.to_dict(),
            "verdict": self.verdict,
            "least_executions": LEAST_SAMPLE,
        }


_Sums = Mapping[tuple[str, str], Totals]
"""Sums by agent and model."""


def named_sums(sums: Mapping[tuple[str | None, ...], Totals]) -> dict[tuple[str, str], Totals]:
    """The sums of a query by agent and model: every execution has both."""
    return {(agent or "", model or ""): found for (agent, model), found in sums.items()}


def success_pairs(sums: _Sums, model: str, used: Sequence[str] = ()) -> list[SuccessPair]:
    """The agents that used both the model and another one (of `used`, if it is not empty), by name."""
    rates = _by_agent(sums)
    return [
        SuccessPair(agent, found, models[model])
        for agent, models in sorted(rates.items())
        for found in models.values()
        if model in models and found.model != model and (not used or found.model in used)
    ]


def _by_agent(sums: _Sums) -> dict[str, dict[str, Success]]:
    found: dict[str, dict[str, Success]] = {}
    for (agent, model), totals in sorted(sums.items()):
        if totals.executions:
            found.setdefault(agent, {})[model] = Success(model, totals.executions, totals.successes)
    return found


class CheaperModel(NamedTuple):
    """A model that would have cost less on an agent, and is not known to fail more often there. `saved_nanousd` is
    about what it saves in the period, in place of the models `instead_of`."""

    agent: str
    model: str
    instead_of: tuple[str, ...]
    saved_nanousd: int
    pairs: tuple[SuccessPair, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "agent": self.agent,
            "model": self.model,
            "instead_of": list(self.instead_of),
            "saved": dollars(self.saved_nanousd),
            "success": [pair.to_dict() for pair in self.pairs],
        }


def cheaper_models(sums: _Sums, reference_model: str) -> list[CheaperModel]:
    """For each agent the model that would have saved most, the largest saving first. Only of models with LEAST_SAMPLE
    executions on the agent that do not succeed significantly less often.

    The saving is made of sums alone, with no price: the reference cost says what the tokens of one model cost on the
    reference model, and the cost of the other says what part of its own reference cost it is. It is exact where prices
    differ by one factor for all kinds of tokens, as those of most Claude models do.
    """
    rates, found = _by_agent(sums), []
    for agent, models in rates.items():
        able = [
            each.model
            for each in models.values()
            if each.executions >= LEAST_SAMPLE and _is_comparable(sums[agent, each.model], each.model, reference_model)
        ]
        options = [_option(sums, models, agent, model, able) for model in able]
        best = max(options, key=lambda option: (option.saved_nanousd, option.model), default=None)
        if best is not None and best.saved_nanousd >= _LEAST_SAVING_NANOUSD:
            found.append(best)
    return sorted(found, key=lambda option: (-option.saved_nanousd, option.agent))


def _option(sums: _Sums, models: Mapping[str, Success], agent: str, model: str, able: Sequence[str]) -> CheaperModel:
    """What a model would save in place of others on an agent."""
    savings = {
        used: saved for used in able if used != model and (saved := _saved(sums[agent, used], sums[agent, model])) > 0
    }
    pairs = {used: SuccessPair(agent, models[used], models[model]) for used in savings}
    good = tuple(used for used, pair in pairs.items() if pair.verdict != "worse")
    return CheaperModel(agent, model, good, sum(savings[used] for used in good), tuple(pairs[used] for used in good))


def _saved(used: Totals, other: Totals) -> int:
    """How much less the tokens of one model would cost at the prices of another (negative: more)."""
    reference = other.compared_reference_nanousd
    return used.compared_cost_nanousd - used.compared_reference_nanousd * other.compared_cost_nanousd // reference


def _is_comparable(totals: Totals, model: str, reference_model: str) -> bool:
    """Whether the reference costs of a model are those of the reference model. Another model of its family is its own
    reference."""
    is_reference = _DATE.sub("", model) == _DATE.sub("", reference_model)
    is_other_family = model_family(model) != model_family(reference_model)
    return totals.compared_reference_nanousd > 0 and (is_reference or is_other_family)
