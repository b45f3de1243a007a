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

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import add, sub
from typing import Literal, NamedTuple

from claude_force.executions.billed_steps import REFUSAL
from claude_force.executions.record import dollars
from claude_force.executions.totals import Totals

Outcome = Literal["success", "failed", "refused", "unknown"]

UNFINISHED = "unfinished"
"""The `error_type` of a run that ended before its result came, or still goes on."""

OUTCOMES: tuple[Outcome, ...] = ("unknown", "refused", "failed", "success")
"""The outcomes by their code. Of requests at one instant the one with the highest code counts."""

_CODES: dict[str | None, int] = {
    REFUSAL: OUTCOMES.index("refused"), UNFINISHED: OUTCOMES.index("unknown"),
}  # fmt: skip
_SUCCESS, _FAILED = OUTCOMES.index("success"), OUTCOMES.index("failed")


def code_of(success: int, error_type: str | None) -> int:
    """The code of the outcome of a run that ends with such a request."""
    return _SUCCESS if success else _CODES.get(error_type, _FAILED)


class RunKey(NamedTuple):
    """What tells a run from all others. `name` is None for an execution that is a run of its own, else `uid` is."""

    session: str | None
    name: str | None
    uid: str | None = None

    @property
    def id(self) -> str:
        """What a person calls the run: its `run_id`, workflow or session, or the uid of its only execution."""
        return self.name or self.uid or ""


class FailedRequests(NamedTuple):
    """What the failed requests of a run cost, and how many of them have no known cost."""

    cost_nanousd: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or the part of it that was asked for.

    `began_us` is when its first request began, `last_us` when its last one ended; both are None only in a part that
    consists of steps of other models' requests. `failures` are the failed requests by error type, the most frequent
    first, `failed` is what these cost. Of names, those with the most requests come first.
    """

    key: RunKey
    began_us: int | None
    last_us: int | None
    totals: Totals
    outcome: Outcome
    failures: dict[str | None, int]
    failed: FailedRequests
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
    def sums(self) -> RunSums:
        """What it adds to the sums of runs. A part without a request is no run."""
        totals = self.totals
        whole = RunSums(
            int(self.last_us is not None), executions=totals.executions, priced=totals.priced,
            cost_nanousd=totals.cost_nanousd, timed_successes=int(self.duration_us is not None),
            success_us=self.duration_us or 0,
        )  # fmt: skip
        return sums_of(self.outcome, whole, self.failed)


class RunSums(NamedTuple):
    """Sums over runs. `timed_successes` are the successful runs with a duration, `success_us` is how long these took.
    The costs of failed, refused and unknown runs are those of all their requests; `retried_nanousd` is what failed
    requests of successful runs cost. The `_unpriced` count the requests of each kind whose cost is not known."""

    runs: int = 0
    successes: int = 0
    failures: int = 0
    refusals: int = 0
    unknown: int = 0
    executions: int = 0
    priced: int = 0
    cost_nanousd: int = 0
    failed_nanousd: int = 0
    refused_nanousd: int = 0
    retried_nanousd: int = 0
    unknown_nanousd: int = 0
    failed_unpriced: int = 0
    refused_unpriced: int = 0
    retried_unpriced: int = 0
    unknown_unpriced: int = 0
    timed_successes: int = 0
    success_us: int = 0

    def __add__(self, other: RunSums) -> RunSums:  # type: ignore[override]
        return RunSums(*map(add, self, other))

    def __sub__(self, other: RunSums) -> RunSums:
        return RunSums(*map(sub, self, other))

    @property
    def wasted_nanousd(self) -> int:
        """What was for nothing: failed, refused and retried."""
        return self.failed_nanousd + self.refused_nanousd + self.retried_nanousd

    @property
    def wasted_unpriced(self) -> int:
        """The requests for nothing whose cost is not known."""
        return self.failed_unpriced + self.refused_unpriced + self.retried_unpriced

    @property
    def useful_nanousd(self) -> int:
        """What the successful requests of successful runs cost."""
        return self.cost_nanousd - self.wasted_nanousd - self.unknown_nanousd

    @property
    def useful_unpriced(self) -> int:
        """The successful requests of successful runs whose cost is not known."""
        return self.unpriced - self.wasted_unpriced - self.unknown_unpriced

    @property
    def unpriced(self) -> int:
        """Requests without a known cost."""
        return self.executions - self.priced


def sums_of(outcome: Outcome, sums: RunSums, failed: FailedRequests) -> RunSums:
    """The sums of runs that ended so. Of `sums` the runs, the executions and the cost are known; its `timed_successes`
    are all that have a duration, and `success_us` is that of all."""
    runs, cost, unpriced = sums.runs, sums.cost_nanousd, sums.unpriced
    known = RunSums(runs, executions=sums.executions, priced=sums.priced, cost_nanousd=cost)
    match outcome:
        case "success":
            return known._replace(
                successes=runs, retried_nanousd=failed.cost_nanousd, retried_unpriced=failed.unpriced,
                timed_successes=sums.timed_successes, success_us=sums.success_us,
            )  # fmt: skip
        case "failed":
            return known._replace(failures=runs, failed_nanousd=cost, failed_unpriced=unpriced)
        case "refused":
            return known._replace(refusals=runs, refused_nanousd=cost, refused_unpriced=unpriced)
        case "unknown":
            return known._replace(unknown=runs, unknown_nanousd=cost, unknown_unpriced=unpriced)


def most_frequent(failures: Iterable[Mapping[str | None, int]]) -> dict[str | None, int]:
    """Failed requests by error type, added up, the most frequent first."""
    found: Counter[str | None] = Counter()
    for each in failures:
        found.update(each)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0] or "")))


def amount_of(cost_nanousd: int, unpriced: int) -> float | None:
    """A part of a cost in US dollars: what is known of it, or None if nothing is, though it has requests."""
    return None if unpriced and not cost_nanousd else dollars(cost_nanousd)


def told_outcome(outcome: Outcome, *, has_succeeded: bool) -> Outcome:
    """The outcome of a run whose last request says `outcome`, and whose program succeeded or not."""
    if has_succeeded:
        return "success"
    return "refused" if outcome == "refused" else "failed"
