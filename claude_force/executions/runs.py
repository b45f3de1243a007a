"""Runs: what an agent did about one task, in one or more requests, and how it ended. Pure.

| execution                                            | its run                                                |
|------------------------------------------------------|--------------------------------------------------------|
| has a `run_id`: a prompt's part of the main          | all with this `run_id` in its session                  |
| conversation, a sub-agent, a run of a program        |                                                        |
| has none, but a workflow: a workflow of a program, a | all without a `run_id` of this workflow, in its        |
| session that telemetry alone saw, a program of       | session                                                |
| `claude-force run`                                   |                                                        |
| has neither                                          | is a run of its own                                    |

So every execution is in exactly one run. A `run_id` counts within its session only: two sessions may use the same one.

| the last request of the run                                              | outcome   |
|--------------------------------------------------------------------------|-----------|
| succeeded, also where its usage is provisional                           | `success` |
| was refused by the model (`refusal`)                                     | `refused` |
| was killed before its result came, or still goes on (`unfinished`)       | `unknown` |
| failed otherwise                                                         | `failed`  |
| is not known: only steps of other models' requests match                 | `unknown` |

Of several last requests at one instant the one that is higher in the table counts, but a failed one before a refused
one. If `claude-force run` recorded how its program ended, that wins for the last run of the main conversation in it:
`success`, or where it failed `refused` if the last request was refused, else `failed`.

The cost of a run is useful or wasted, never both:

| outcome of the run | request   | its cost is |
|--------------------|-----------|-------------|
| `failed`           | any       | failed      |
| `refused`          | any       | refused     |
| `success`          | failed    | retried     |
| `success`          | succeeded | useful      |
| `unknown`          | any       | unknown     |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from claude_force.executions.totals import Totals

Outcome = Literal["success", "failed", "refused", "unknown"]

UNFINISHED = "unfinished"
"""The `error_type` of a run that ended before its result came, or still goes on."""

OUTCOMES: tuple[Outcome, ...] = ("unknown", "refused", "failed", "success")
"""The outcomes by their code. Of requests at one instant the one with the highest code counts."""


class RunKey(NamedTuple):
    """What tells a run from all others. `name` is None for an execution that is a run of its own, else `uid` is."""

    session: str | None
    name: str | None
    uid: str | None = None

    @property
    def id(self) -> str:
        """What a person calls the run: its `run_id`, workflow or session, or the uid of its only execution."""
        return self.name or self.uid or ""


@dataclass(frozen=True, slots=True)
class Waste:
    """Nano-dollars for nothing, each counted once: see the table above."""

    failed_nanousd: int = 0
    refused_nanousd: int = 0
    retried_nanousd: int = 0

    @property
    def total_nanousd(self) -> int:
        """All of it."""
        return self.failed_nanousd + self.refused_nanousd + self.retried_nanousd


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or the part of it that was asked for.

    `began_us` is when its first request began, `first_us` and `last_us` when its first and its last request ended; all
    are None only in a part that consists of steps of other models' requests. `failures` are the failed requests by
    error type, `failed_request_nanousd` is the cost of these. Of names, those with the most
    requests come first.
    """

    key: RunKey
    began_us: int | None
    first_us: int | None
    last_us: int | None
    totals: Totals
    outcome: Outcome
    failures: dict[str | None, int]
    failed_request_nanousd: int
    agents: tuple[str, ...]
    models: tuple[str, ...]
    projects: tuple[str, ...]
    workflows: tuple[str, ...]

    @property
    def duration_us(self) -> int | None:
        """From the start of its first request to the end of its last one; None for one request without a duration."""
        if self.began_us is None or self.last_us is None:
            return None
        return self.last_us - self.began_us if self.totals.timed or self.last_us > self.began_us else None

    @property
    def waste(self) -> Waste:
        """What of its cost was for nothing."""
        return waste_of(self.outcome, self.totals.cost_nanousd, self.failed_request_nanousd)


def waste_of(outcome: Outcome, cost_nanousd: int, failed_request_nanousd: int) -> Waste:
    """What is wasted of the cost of a run, part of which is for failed requests."""
    if outcome == "failed":
        return Waste(failed_nanousd=cost_nanousd)
    if outcome == "refused":
        return Waste(refused_nanousd=cost_nanousd)
    return Waste(retried_nanousd=failed_request_nanousd if outcome == "success" else 0)


def told_outcome(outcome: Outcome, *, has_succeeded: bool) -> Outcome:
    """The outcome of a run whose last request says `outcome`, and whose program succeeded or not."""
    if has_succeeded:
        return "success"
    return "refused" if outcome == "refused" else "failed"
