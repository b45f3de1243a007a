"""Labels of a bounded number, for systems that keep a series for each combination of them for ever.

The agents and models that were there first keep their names, all later ones share one. Who was first never changes, so
that a sum under a label never falls because a name moved to another one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, TypeVar

from claude_force.executions.totals import Totals
from claude_force.text import sanitize

V = TypeVar("V", Totals, Counter[int])

Labels = tuple[str, ...]

AGENTS, MODELS = 100, 50
"""So many names of each keep a label of their own."""

OTHER = "other"
"""The label of the names that came later."""

LABEL_LIMIT = 100
"""A label is no longer than so many characters."""


def bounded(found: Mapping[Any, V], agents: Set[str], models: Set[str]) -> dict[Labels, V]:
    """What was found by agent and model, by their labels: `agents` and `models` (see `query.first_names`) keep their
    names, made inert, and the others are added up."""
    return merged(found, lambda names: (label(names[0], agents), label(names[1], models)))


def merged(found: Mapping[Any, V], labels: Callable[[Any], Labels]) -> dict[Labels, V]:
    """The sums of what has the same labels: names that differ may be alike once they are inert."""
    sums: dict[Labels, V] = {}
    for names, value in found.items():
        key = labels(names)
        sums[key] = sums[key] + value if key in sums else value
    return sums


def label(name: str, kept: Set[str]) -> str:
    """The label of a name."""
    return label_of(name) if name in kept else OTHER


def label_of(name: str) -> str:
    """A name as a label of its own: one line of what can be seen, and not too long."""
    return sanitize(name, LABEL_LIMIT)


def nameless(found: Iterable[tuple[str, str]], agents: Set[str], models: Set[str]) -> int:
    """How many of the agents and models that were found have no label of their own."""
    pairs = list(found)
    return len({agent for agent, _ in pairs}.difference(agents)) + len({model for _, model in pairs}.difference(models))
