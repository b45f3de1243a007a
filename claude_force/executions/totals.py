"""What queries return. Everything is an integer with its unit in its name; faces turn it into dollars and seconds.

`Totals` is additive: the totals of two periods that do not overlap, added, are the totals of both. What is derived
(rates, averages) is a property, and None where there is nothing to divide by.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from claude_force.executions.record import NANOUSD, dollars


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a set of executions. The fields are the columns of every aggregate query, in this order.

    `timed`, `metered` and `priced` count the executions whose duration, usage and cost are known: averages are over
    these. The `compared_` sums are over executions whose cost and reference cost are both known. `provisional` counts
    those whose usage was never finalised; `recorded_cost_nanousd` is the cost as it was before any repricing.
    """

    executions: int = 0
    successes: int = 0
    timed: int = 0
    duration_us: int = 0
    metered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    priced: int = 0
    cost_nanousd: int = 0
    compared_cost_nanousd: int = 0
    compared_reference_nanousd: int = 0
    provisional: int = 0
    recorded_cost_nanousd: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, name) + getattr(other, name) for name in TOTALS))

    def __sub__(self, other: Totals) -> Totals:
        return Totals(*(getattr(self, name) - getattr(other, name) for name in TOTALS))

    @property
    def failures(self) -> int:
        """Executions that did not succeed."""
        return self.executions - self.successes

    @property
    def success_rate(self) -> float | None:
        """Percent, 0 to 100."""
        return _ratio(100 * self.successes, self.executions)

    @property
    def average_ms(self) -> float | None:
        """Average duration of the timed executions, in milliseconds."""
        return _ratio(self.duration_us, 1000 * self.timed)

    @property
    def known_input_tokens(self) -> int | None:
        """The sum; None when there are executions and the usage of none is known."""
        return self.input_tokens if self.metered or not self.executions else None

    @property
    def known_output_tokens(self) -> int | None:
        """The sum; None when there are executions and the usage of none is known."""
        return self.output_tokens if self.metered or not self.executions else None

    @property
    def total_tokens(self) -> int | None:
        """The sum of all kinds; None when there are executions and the usage of none is known."""
        if self.executions and not self.metered:
            return None
        cached = self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        return self.input_tokens + self.output_tokens + cached

    @property
    def average_input_tokens(self) -> float | None:
        """Over the executions whose usage is known."""
        return _ratio(self.input_tokens, self.metered)

    @property
    def average_output_tokens(self) -> float | None:
        """Over the executions whose usage is known."""
        return _ratio(self.output_tokens, self.metered)

    @property
    def cost(self) -> float | None:
        """US dollars of the priced executions; None when there are executions and none has a price."""
        return dollars(self.cost_nanousd) if self.priced or not self.executions else None

    @property
    def recorded_cost(self) -> float | None:
        """US dollars before any repricing; None when none was known then."""
        known = self.recorded_cost_nanousd or (self.cost is not None and not self.cost_nanousd)
        return dollars(self.recorded_cost_nanousd) if known else None

    @property
    def average_cost(self) -> float | None:
        """US dollars an execution, over the priced ones."""
        return _ratio(self.cost_nanousd, NANOUSD * self.priced)

    @property
    def unpriced(self) -> int:
        """Executions without a known cost."""
        return self.executions - self.priced

    @property
    def saved_nanousd(self) -> int:
        """What the reference model would have cost more (negative: less) for the executions that can be compared."""
        return self.compared_reference_nanousd - self.compared_cost_nanousd

    @property
    def saved_percent(self) -> float | None:
        """Savings as percent of the reference cost; None where nothing can be compared."""
        return _ratio(100 * self.saved_nanousd, self.compared_reference_nanousd)


def _ratio(dividend: int, divisor: int) -> float | None:
    return dividend / divisor if divisor else None


TOTALS: tuple[str, ...] = tuple(field.name for field in fields(Totals))


class Percentiles(NamedTuple):
    """Nearest-rank percentiles of the durations, in microseconds; None where nothing was timed."""

    p50_us: int | None = None
    p95_us: int | None = None
    p99_us: int | None = None


class Group(NamedTuple):
    """One row of a breakdown. `name` is None for the executions that have none (no workflow, no project);
    `percentiles` is None where they were not asked for."""

    name: str | None
    totals: Totals
    percentiles: Percentiles | None = None


class Bucket(NamedTuple):
    """One interval of a trend. `start_us` is its first instant, `label` the local date or hour."""

    label: str
    start_us: int
    end_us: int
    totals: Totals


class ErrorGroup(NamedTuple):
    """The failures of one kind. `error_type` is None for failures that did not say."""

    error_type: str | None
    failures: int
    agents: int
    first_us: int
    last_us: int


class WorkflowStart(NamedTuple):
    """The first execution of a workflow: when it was, in which project (None where that is not known), and what told
    of it."""

    first_us: int
    project: str | None
    source: str


class TimeRange(NamedTuple):
    """The first and the last instant of a set of executions."""

    first_us: int
    last_us: int


class Archived(NamedTuple):
    """The executions of a question that were archived: how many, and the hours of the first and of the last of them.
    `is_counted` says whether the answer holds their sums; the rows of an execution are in no answer."""

    executions: int = 0
    first_us: int = 0
    last_us: int = 0
    is_counted: bool = True


class Added(NamedTuple):
    """What `store.add` did with the records it was given."""

    added: int = 0
    duplicates: int = 0
