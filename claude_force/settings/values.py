"""Checks of single values and names in claude.json: our keys, prices, and the fields of exporters and channels.

A check names the kind of value that it wants and the kind that it found, as in "must be text, not a number".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from claude_force.text import kind_of

Bounds = tuple[int, int]

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A reference to an environment variable."""

KIND_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
}
"""What messages call the kinds of values."""


def value_problem(value: object, kind: type, bounds: Bounds | None = None) -> str | None:
    """What is wrong with a value, as the end of a sentence that begins with its key; None if nothing is.

    `kind` is bool, int, float (whole numbers too), str, dict or list. `bounds` are inclusive, and NaN is never within
    them.
    """
    # Not isinstance: in Python, True is an int.
    if type(value) is not kind and not (kind is float and type(value) is int):
        return f"must be {KIND_NAMES[kind]}{_range(bounds)}, not {kind_of(value)}"
    if bounds and isinstance(value, (int, float)) and not bounds[0] <= value <= bounds[1]:
        return f"must be {KIND_NAMES[kind]}{_range(bounds)}, not {value}"
    return None


def _range(bounds: Bounds | None) -> str:
    return f" from {bounds[0]} to {bounds[1]}" if bounds else ""


def nearest(given: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(given, names, n=1) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(names)}"
