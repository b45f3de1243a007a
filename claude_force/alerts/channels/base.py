"""What a channel is.

A channel takes notices and answers with an `Outcome`: it never raises for what a network or a service does, and keeps
nothing between two messages. Who calls it decides about the next attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from claude_force.alerts.notification import Notification
from claude_force.network.outcome import Outcome


class Channel(Protocol):
    """A way to tell. `groups` says whether several notices go out as one message."""

    @property
    def name(self) -> str:
        """What claude.json calls it."""

    @property
    def kind(self) -> str:
        """Its type in claude.json."""

    @property
    def groups(self) -> bool:
        """Whether `send` takes more than one notice."""

    def send(self, notices: Sequence[Notification], key: str, receipt: str | None) -> Outcome:
        """One attempt. `key` is the same in every attempt at the same message; `receipt` is what an earlier outcome of
        the same episode gave. Raises nothing for anything that the network or the service does."""
