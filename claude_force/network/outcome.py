"""The outcome of one attempt to send something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from claude_force.network.redaction import Secret, redact
from claude_force.text import sanitize

Status = Literal["delivered", "retry", "failed"]

PROBLEM_LIMIT = 300


class Outcome(NamedTuple):
    """The outcome of one attempt.

    `retry` is temporary: sending the same message again may succeed. `failed` is permanent. `problem` is one line
    without secrets, at most 300 characters long; a delivery may have one too, such as a refused recipient.
    `retry_after_s` is the wait that the service asked for. `receipt` is what a later resolve needs.
    """

    status: Status
    problem: str | None = None
    retry_after_s: float | None = None
    receipt: str | None = None


def conclude(
    status: Status, problem: str, secrets: Iterable[Secret] = (), retry_after_s: float | None = None
) -> Outcome:
    """An outcome whose problem may be shown. It is redacted before it is cut, so that no part of a secret remains."""
    return Outcome(status, sanitize(redact(problem, secrets), PROBLEM_LIMIT), retry_after_s)
