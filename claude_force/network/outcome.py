"""What came of one attempt to tell or send something, whatever it was sent with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_force.network.secret import Secret, redact
from claude_force.text import sanitize

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


def conclude(
    status: Status, problem: str, secrets: Iterable[Secret] = (), retry_after_s: float | None = None
) -> Outcome:
    """An outcome with a problem that may be shown: redacted first and cut afterwards, so that no half of a secret is
    left."""
    return Outcome(status, sanitize(redact(problem, secrets), PROBLEM_LIMIT), retry_after_s)
