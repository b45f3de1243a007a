"""The interface of a channel.

A channel sends notifications and returns an `Outcome`. It never raises for what a network or a service does, keeps no
state between messages, and never retries: that is the task of the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from claude_force.alerts.notification import Notification
from claude_force.network.outcome import Outcome


class Channel(Protocol):
    """A way to notify people."""

    @property
    def name(self) -> str:
        """Its name in claude.json."""

    @property
    def kind(self) -> str:
        """Its type in claude.json."""

    @property
    def groups(self) -> bool:
        """Whether `send` takes several notifications as one message."""

    def send(self, notifications: Sequence[Notification], key: str, receipt: str | None) -> Outcome:
        """Make one attempt. `key` is the same in every attempt at a message. `receipt` is that of an earlier outcome of
        the same episode."""
