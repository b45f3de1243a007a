"""Labels of a bounded number, for systems that keep a series for each combination of them for ever.

The agents and models that were there first keep their names, all later ones share one. Who was first never changes, so
that a sum under a label never falls because a name moved to another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import TypeVar

from claude_force.escape import plain
from claude_force.result import Totals

V = TypeVar("V", Totals, Counter[int])

AGENTS, MODELS = 100, 50
"""So many names of each keep a label of their own."""

OTHER = "other"
"""The label of the names that came later."""

LABEL_LIMIT = 200
"""A label is no longer than this."""


def bounded(found: Mapping[tuple[str, str], V], agents: Set[str], models: Set[str]) -> dict[tuple[str, str], V]:
    """What was found by agent and model, by their labels: `agents` and `models` (see `query.first_names`) keep their
    names, made inert, and the others are added up."""
    merged: dict[tuple[str, str], V] = {}
    for (agent, model), value in found.items():
        labels = _label(agent, agents), _label(model, models)
        # Names that differ may be alike once they are inert.
        merged[labels] = merged[labels] + value if labels in merged else value
    return merged


def nameless(found: Iterable[tuple[str, str]], agents: Set[str], models: Set[str]) -> int:
    """How many of the agents and models that were found have no label of their own."""
    pairs = list(found)
    return len({agent for agent, _ in pairs}.difference(agents)) + len({model for _, model in pairs}.difference(models))


def _label(name: str, kept: Set[str]) -> str:
    return plain(name, LABEL_LIMIT) if name in kept else OTHER
