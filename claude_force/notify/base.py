"""What a channel is, and what it says about a delivery.

A channel takes notices and answers with an `Outcome`: it never raises for what a network or a service does, and keeps
nothing between two messages. Who calls it decides about the next attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from claude_force.notice import Notice
from claude_force.notify.secret import Secret, redact
from claude_force.notify.wording import plain

Status = Literal["delivered", "retry", "failed"]

PROBLEM_LIMIT = 300


class Outcome(NamedTuple):
    """What came of one attempt.

    `retry` is temporary: the same message may be sent again. `failed` is permanent: it would fail again. `problem` is
    one line without a secret, of at most 300 characters; a delivery may have one too (an address that was refused).
    `retry_after_s` is what the service asked for. `receipt` is what resolving needs later.
    """

    status: Status
    problem: str | None = None
    retry_after_s: float | None = None
    receipt: str | None = None


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

    def send(self, notices: Sequence[Notice], key: str, receipt: str | None) -> Outcome:
        """One attempt. `key` is the same in every attempt at the same message; `receipt` is what an earlier outcome of
        the same episode gave. Raises nothing for anything that the network or the service does."""


def conclude(
    status: Status, problem: str, secrets: Iterable[Secret] = (), retry_after_s: float | None = None
) -> Outcome:
    """An outcome with a problem that may be shown: redacted first and cut afterwards, so that no half of a secret is
    left."""
    return Outcome(status, plain(redact(problem, secrets), PROBLEM_LIMIT), retry_after_s)
