"""The results of queries.

Values are integers with their unit in the name; commands convert them to dollars and seconds. `Totals` is additive: the
totals of two periods that do not overlap add up to the totals of both. Rates and averages are properties, and None if
there is nothing to divide by.
"""

from __future__ import annotations

from operator import add, sub
from typing import NamedTuple

from claude_force.executions.record import NANOUSD, dollars


class Totals(NamedTuple):
    """Sums over some executions. The fields are the columns of every aggregate query, in this order.

    `timed`, `metered` and `priced` count the executions whose duration, usage and cost are known; averages are over
    these. The `compared_` sums are over executions with both a cost and a reference cost. `provisional` counts usages
    that were never final. `recorded_cost_nanousd` is the cost before any repricing.
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

    def __add__(self, other: Totals) -> Totals:  # type: ignore[override]
        return Totals(*map(add, self, other))

    def __sub__(self, other: Totals) -> Totals:
        return Totals(*map(sub, self, other))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither an execution nor a step that an execution of another model had."""
        return not (self.executions or self.total_tokens or self.is_priced)

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
    def is_metered(self) -> bool:
        """Whether a usage is known: of an execution, or of a step that an execution of another model had."""
        return bool(self.metered or self.input_tokens or self.output_tokens)

    @property
    def known_input_tokens(self) -> int | None:
        """The sum; None if there are executions, and no usage is known."""
        return self.input_tokens if self.is_metered or not self.executions else None

    @property
    def known_output_tokens(self) -> int | None:
        """The sum; None if there are executions, and no usage is known."""
        return self.output_tokens if self.is_metered or not self.executions else None

    @property
    def total_tokens(self) -> int | None:
        """The sum of all kinds; None if there are executions, and no usage is known."""
        if self.executions and not self.is_metered:
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
        """US dollars of what is priced; None if there was usage, and no price of it is known."""
        has_usage = bool(self.executions or self.input_tokens or self.output_tokens)
        return dollars(self.cost_nanousd) if self.is_priced or not has_usage else None

    @property
    def is_priced(self) -> bool:
        """Whether a cost is known: of an execution, or of a step that an execution of another model had."""
        return bool(self.priced or self.cost_nanousd)

    @property
    def recorded_cost(self) -> float | None:
        """US dollars before any repricing; None if no cost was known then."""
        known = self.recorded_cost_nanousd or (self.cost is not None and not self.cost_nanousd)
        return dollars(self.recorded_cost_nanousd) if known else None

    @property
    def average_cost(self) -> float | None:
        """US dollars per priced execution."""
        return _ratio(self.cost_nanousd, NANOUSD * self.priced)

    @property
    def unpriced(self) -> int:
        """Executions without a known cost."""
        return self.executions - self.priced

    @property
    def saved_nanousd(self) -> int:
        """How much more the reference model would have cost (negative: less), over the compared executions."""
        return self.compared_reference_nanousd - self.compared_cost_nanousd

    @property
    def saved_percent(self) -> float | None:
        """Savings as percent of the reference cost; None if nothing can be compared."""
        return _ratio(100 * self.saved_nanousd, self.compared_reference_nanousd)


def _ratio(dividend: int, divisor: int) -> float | None:
    return dividend / divisor if divisor else None


TOTALS: tuple[str, ...] = Totals._fields


class Percentiles(NamedTuple):
    """Nearest-rank percentiles of the durations, in microseconds; None if nothing was timed."""

    p50_us: int | None = None
    p95_us: int | None = None
    p99_us: int | None = None


class Group(NamedTuple):
    """One row of a breakdown. `name` is None for executions without one (no workflow, no project); `percentiles` is
    None if they were not queried."""

    name: str | None
    totals: Totals
    percentiles: Percentiles | None = None


class Bucket(NamedTuple):
    """One interval [start, end) of a trend; `label` is the local date or hour."""

    label: str
    start_us: int
    end_us: int
    totals: Totals


class ErrorGroup(NamedTuple):
    """The failures of one error type; None for failures without one."""

    error_type: str | None
    failures: int
    agents: int
    first_us: int
    last_us: int


class WorkflowStart(NamedTuple):
    """The first execution of a workflow or a session, with its project (None if not known), its source, and the session
    that it was in."""

    first_us: int
    project: str | None
    source: str
    session: str | None


class TimeRange(NamedTuple):
    """The first and the last instant of some executions."""

    first_us: int
    last_us: int


class Archived(NamedTuple):
    """The archived executions that a query concerns: how many, and the hours of the first and the last of them.
    `is_counted` says whether the result includes their sums; their rows are in no result."""

    executions: int = 0
    first_us: int = 0
    last_us: int = 0
    is_counted: bool = True


class Added(NamedTuple):
    """How many of the given executions were new, and how many were stored already."""

    added: int = 0
    duplicates: int = 0
