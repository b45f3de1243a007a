"""The `track()` block that a task is in. A call of the Anthropic SDK inside it is recorded by the block alone."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Block(Protocol):
    """A block."""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet: a task that it started may outlive it."""


current: ContextVar[Block | None] = ContextVar("claude_force_block", default=None)


def is_in_block() -> bool:
    """Whether a block is open here."""
    block = current.get()
    return block is not None and block.is_open
