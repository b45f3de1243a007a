"""The rules of a check: four for a baseline, and three more for two labels. Each compares one metric with its limit,
and asks `significance` if it may be chance.

Only a value that is beyond its limit and significant is a regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from claude_force.analytics.baselines.parse import ParsedSnapshot
from claude_force.analytics.baselines.significance import (
    ALPHA,
    bin_at,
    count_above,
    least_increase,
    least_mean,
    mean_of,
    rank_test,
)
from claude_force.analytics.baselines.snapshots import MINIMUM_SAMPLES
from claude_force.analytics.proportions import newcombe, wilson
from claude_force.executions.histogram import bin_of
from claude_force.executions.record import DURATION_LIMIT_US
from claude_force.formatting import NONE, count, milliseconds, percent, quantity, signed, unit_cost

Verdict = Literal["regressed", "ok", "not enough data"]
REGRESSED: Verdict = "regressed"
OK: Verdict = "ok"
NOT_ENOUGH: Verdict = "not enough data"

SUCCESS_FACTOR = 0.95
COST_FACTOR = 1.5
TOKENS_FACTOR = 1.3
_P95 = 0.95
_TAIL = 0.999
"""The tail of a distribution is what lies above this share of the baseline."""

_BY_CHANCE = "which may be chance"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """The result of one rule. `key` is the metric's key in the guide's baseline; the values have the unit of that key.
    `limit` is None if the baseline does not have the metric; `samples` is the number of executions of the period."""

    key: str
    title: str
    baseline: float | None
    current: float | None
    limit: float | None
    samples: int
    verdict: Verdict
    why: str

    @property
    def is_rate(self) -> bool:
        """Whether it is a share, whose change is one in points."""
        return self.key in ("success_rate", "run_success_rate")

    @property
    def change(self) -> float | None:
        """In percent, or in points for a rate; None if there is no baseline or it is 0."""
        if self.baseline is None or self.current is None:
            return None
        if self.is_rate:
            return self.current - self.baseline
        return 100 * (self.current / self.baseline - 1) if self.baseline else None

    def shown(self, value: float | None) -> str:
        """A value of this metric with its unit."""
        return _FORMATS[self.key](value)

    def shown_change(self) -> str:
        """The change with its unit: +12.3%, -4.0pp."""
        if self.change is None:
            return NONE
        return signed(self.change, "pp" if self.is_rate else "%")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "metric": self.key,
            "title": self.title,
            "baseline": self.baseline,
            "current": self.current,
            "limit": self.limit,
            "change_points" if self.is_rate else "change_percent": self.change,
            "samples": self.samples,
            "verdict": self.verdict,
            "why": self.why,
        }


_FORMATS: dict[str, Callable[[float | None], str]] = {
    "avg_execution_time_ms": milliseconds,
    "p95_latency_ms": milliseconds,
    "success_rate": percent,
    "avg_cost_per_execution": unit_cost,
    "avg_tokens_per_execution": count,
    "avg_cost_per_run": unit_cost,
    "run_success_rate": percent,
}


class _Evidence(NamedTuple):
    is_significant: bool
    why: str


class _Values(NamedTuple):
    """One metric on one side: its value, the number of executions behind it, and their distribution. None: unknown."""

    value: float | None
    samples: int | None
    histogram: Mapping[int, int] | None = None


class Sides(NamedTuple):
    """What both sides are called in reasons."""

    baseline: str = "the baseline"
    current: str = "the period"


AGAINST_BASELINE = Sides()


class _Rule(NamedTuple):
    """One metric: its key and title, what it is an average or a share of, its limit as a factor of the baseline (below
    1: a lower limit), and the test."""

    key: str
    title: str
    noun: str
    factor: float
    evidence: Callable[[_Values, _Values], _Evidence]


def compare(
    baseline: ParsedSnapshot, current: ParsedSnapshot, threshold: float, sides: Sides = AGAINST_BASELINE
) -> list[MetricResult]:
    """The result of each rule. Times may grow by the factor `threshold`."""
    timed = "timed execution"
    rules = (
        _Rule("avg_execution_time_ms", "Average Execution Time", timed, threshold, _average_is_higher),
        _Rule("p95_latency_ms", "P95 Latency", timed, threshold, _more_are_slow),
        _Rule("success_rate", "Success Rate", "execution", SUCCESS_FACTOR, _fewer_succeed),
        _Rule("avg_cost_per_execution", "Cost Per Execution", "priced execution", COST_FACTOR, _average_is_higher),
    )
    values = zip(rules, _values_of(baseline), _values_of(current), strict=True)
    return [_judge(rule, before, now, sides) for rule, before, now in values]


def _values_of(side: ParsedSnapshot) -> tuple[_Values, ...]:
    """The values of each rule, in their order."""
    return (
        _Values(side.average_ms, side.timed, side.durations),
        _Values(side.p95_ms, side.timed, side.durations),
        _Values(side.success_rate, side.executions),
        _Values(side.average_cost, side.priced, side.costs),
    )


class RunSide(NamedTuple):
    """What is known of the runs of a label. Costs are in US dollars; `runs_with_costs` are those whose cost is known
    whole, `ended` are runs of `claude-force run`."""

    tokens_per_execution: float | None
    metered: int
    tokens: Mapping[int, int]
    cost_per_run: float | None
    runs_with_costs: int
    run_costs: Mapping[int, int]
    run_success_rate: float | None
    ended: int


def compare_runs(baseline: RunSide, current: RunSide, sides: Sides) -> list[MetricResult]:
    """The results of the rules that only labels have: by the request for tokens, by the run for costs and success."""
    rules = [
        _Rule(
            "avg_tokens_per_execution", "Tokens Per Execution", "metered execution", TOKENS_FACTOR, _average_is_higher
        ),
        _Rule("avg_cost_per_run", "Cost Per Run", "priced run", COST_FACTOR, _average_is_higher),
    ]
    # Programs that record themselves are not known to end well or not.
    if baseline.ended or current.ended:
        rules.append(_Rule("run_success_rate", "Success Rate of Runs", "run", SUCCESS_FACTOR, _fewer_succeed))
    values = zip(rules, _values_of_runs(baseline), _values_of_runs(current), strict=False)
    return [_judge(rule, before, now, sides) for rule, before, now in values]


def _values_of_runs(side: RunSide) -> tuple[_Values, ...]:
    return (
        _Values(side.tokens_per_execution, side.metered, side.tokens),
        _Values(side.cost_per_run, side.runs_with_costs, side.run_costs),
        _Values(side.run_success_rate, side.ended),
    )


def _average_is_higher(before: _Values, now: _Values) -> _Evidence:
    """Two tests at half of ALPHA each, because the ranks do not see a tail: a few very long executions change the
    average, and hardly any rank."""
    assert now.histogram
    if not before.histogram:
        return _average_is_above(before, now)
    p = rank_test(before.histogram, now.histogram)
    if p <= ALPHA / 2:
        return _Evidence(True, "p < 0.001" if p < 0.001 else f"p = {p:.3f}")
    bound = bin_at(before.histogram, _TAIL)
    above, size = count_above(now.histogram, bound), sum(now.histogram.values())
    before_size = sum(before.histogram.values())
    share = count_above(before.histogram, bound) / before_size
    increase = least_increase(above, size, share, before_size, ALPHA / 2)
    if increase <= 0:
        return _Evidence(False, f"{_BY_CHANCE} (p = {p:.3f})")
    return _Evidence(True, f"{percent(100 * above / size)} of executions are above its P99.9{_at_least(increase)}")


def _average_is_above(before: _Values, now: _Values) -> _Evidence:
    """Against a baseline of which only the average is known."""
    assert before.value is not None
    assert now.value is not None
    assert now.histogram
    # The bins have another unit than the average: only the ratio of bound and average counts.
    mean = mean_of(now.histogram)
    least = now.value * least_mean(now.histogram, before.samples) / mean if mean else 0.0
    if least <= before.value:
        return _Evidence(False, _BY_CHANCE)
    return _Evidence(True, f"at least {100 * (least / before.value - 1):.1f}% more" if before.value else "more than 0")


def _more_are_slow(before: _Values, now: _Values) -> _Evidence:
    """Of the baseline, 5 % are above its P95, whatever its distribution."""
    assert before.value is not None
    histogram = now.histogram or {}
    size = sum(histogram.values())
    above = count_above(histogram, bin_of(min(round(1000 * before.value), DURATION_LIMIT_US)))
    increase = least_increase(above, size, 1 - _P95, before.samples)
    share = f"{percent(100 * above / size)} of executions are above its P95"
    return _Evidence(increase > 0, f"{share}{_at_least(increase) if increase > 0 else f', {_BY_CHANCE}'}")


def _fewer_succeed(before: _Values, now: _Values) -> _Evidence:
    assert before.value is not None
    assert now.value is not None
    assert now.samples is not None
    rate_before, rate = before.value / 100, now.value / 100
    if before.samples is None:
        change = wilson(rate, now.samples)[1] - rate_before
    else:
        change = newcombe(rate, now.samples, rate_before, before.samples)[1]
    return _Evidence(change < 0, f"at least {-100 * change:.1f} points lower" if change < 0 else _BY_CHANCE)


def _at_least(increase: float) -> str:
    return f", at least {100 * increase:.1f} points more"


def _judge(rule: _Rule, before: _Values, now: _Values, sides: Sides) -> MetricResult:
    """Apply a rule."""
    limit = None if before.value is None else before.value * rule.factor

    def result(verdict: Verdict, why: str) -> MetricResult:
        return MetricResult(rule.key, rule.title, before.value, now.value, limit, now.samples or 0, verdict, why)

    missing = _missing_data(before, now, rule.noun, sides)
    if missing or limit is None or now.value is None:
        return result(NOT_ENOUGH, missing)
    shown = _FORMATS[rule.key](limit)
    if not (now.value > limit if rule.factor >= 1 else now.value < limit):
        return result(OK, f"within the limit of {shown}")
    found = rule.evidence(before, now)
    beyond = f"{'over' if rule.factor >= 1 else 'under'} the limit of {shown}"
    return result(REGRESSED if found.is_significant else OK, f"{beyond}; {found.why}")


def _missing_data(before: _Values, now: _Values, noun: str, sides: Sides) -> str:
    """What is missing for a comparison; "" if nothing is."""
    if before.value is None:
        return f"{sides.baseline} does not have it"
    if before.samples is not None and before.samples < MINIMUM_SAMPLES:
        return f"{sides.baseline} has {quantity(before.samples, noun)}; {MINIMUM_SAMPLES} are needed"
    samples = now.samples or 0
    if now.value is None or samples < MINIMUM_SAMPLES:
        return f"{sides.current} has {quantity(samples, noun)}; {MINIMUM_SAMPLES} are needed"
    return ""
