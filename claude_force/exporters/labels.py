"""Labels of limited cardinality, for systems that keep a series for each combination of labels forever.

The agents and models that the store saw first keep their names; all later ones share `other`. The first names never
change, so no counter ever falls because a name moved to another label.
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
"""The number of agents and of models that get a label of their own."""

OTHER = "other"
"""The label that all later names share."""

LABEL_LIMIT = 100
"""The longest label, in characters."""


def limit_cardinality(found: Mapping[Any, V], agents: Set[str], models: Set[str]) -> dict[Labels, V]:
    """Sums by (agent, model) as sums by label. Names in `agents` and `models` keep a label of their own, sanitized; the
    sums of all others are added up under `other`."""
    return sum_by_label(found, lambda names: (label_or_other(names[0], agents), label_or_other(names[1], models)))


def sum_by_label(found: Mapping[Any, V], labels: Callable[[Any], Labels]) -> dict[Labels, V]:
    """Add up the values whose labels are equal: different names can sanitize to the same label."""
    sums: dict[Labels, V] = {}
    for names, value in found.items():
        key = labels(names)
        sums[key] = sums[key] + value if key in sums else value
    return sums


def label_or_other(name: str, kept: Set[str]) -> str:
    """The label of a name: its own if it is in `kept`, else `other`."""
    return sanitize_label(name) if name in kept else OTHER


def sanitize_label(name: str) -> str:
    """A name as a label: one line of visible characters, at most `LABEL_LIMIT` long."""
    return sanitize(name, LABEL_LIMIT)


def overflow_count(found: Iterable[tuple[str, str]], agents: Set[str], models: Set[str]) -> int:
    """How many of these agents and models share the label `other`."""
    pairs = list(found)
    return len({agent for agent, _ in pairs}.difference(agents)) + len({model for _, model in pairs}.difference(models))
