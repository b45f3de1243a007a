"""How much one body may hold. A body that unpacks to its limit may have 32 million empty parts, which would need 2 GiB
and keep a core busy for minutes; no real one has a fifth of that.

The values of a large body are counted before it is decoded, the parts and attributes of every body while it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from claude_force.errors import InvalidBody

PARTS_LIMIT = 400_000
"""The most groups and records of a body. As many requests of Claude Code would be five times the largest body."""

ATTRIBUTES_LIMIT = 10_000
"""The most attributes of a record."""

VALUES_LIMIT = 5_000_000
"""The most parts, attributes and values of a body together. The largest body has 4.5 million, if it is full of requests
of Claude Code."""

COUNTED_BYTES = 1024 * 1024
"""A body that is larger has its values counted. Those of a smaller one need 34 MB at most."""

Part = TypeVar("Part")


class Budget:
    """What is left of the parts that a body may have."""

    def __init__(self) -> None:
        self._left = PARTS_LIMIT

    def spend(self, parts: Sequence[Part] | None) -> Sequence[Part]:
        """The same parts, or none. Raises InvalidBody if the body has too many."""
        if not parts:
            return ()
        self._left -= len(parts)
        if self._left < 0:
            raise InvalidBody(f"the body has more than {PARTS_LIMIT:,} groups and records")
        return parts


def too_many_values() -> InvalidBody:
    """What a body with more than VALUES_LIMIT is refused with."""
    return InvalidBody(f"the body has more than {VALUES_LIMIT:,} values")


def check_attributes(pairs: Sequence[Part]) -> None:
    """Raise InvalidBody if a record has too many attributes."""
    if len(pairs) > ATTRIBUTES_LIMIT:
        raise InvalidBody(f"a record has more than {ATTRIBUTES_LIMIT:,} attributes")
