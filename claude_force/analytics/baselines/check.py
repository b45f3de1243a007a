"""The regression gate: are executions worse than a baseline?

Four rules, those of the guide and one for the slowest; each asks two questions. Is the figure beyond its limit? And
could it be so by chance (see `significance`)? Only what is beyond its limit, and not by chance, is a regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Literal, NamedTuple

from claude_force import clock
from claude_force.analytics.baselines.parse import ParsedSnapshot, filters_in, parse_snapshot, read_file
from claude_force.analytics.baselines.significance import (
    ALPHA,
    exceedance_test,
    is_higher,
    lowest_mean,
    mean_of,
    newcombe,
    wilson,
)
from claude_force.analytics.baselines.snapshots import (
    MINIMUM_SAMPLES,
    filter_of,
    filters_of,
    find_named,
    is_file,
    key_of,
    measure,
    narrowing_of,
    subject,
    whole_window,
)
from claude_force.analytics.reports import known_names
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.baselines import newest
from claude_force.database.rows.baselines import Baseline
from claude_force.errors import BaselineError, NoBaseline
from claude_force.executions.histogram import bin_of
from claude_force.formatting import NONE, milliseconds, percent, quantity, unit_cost
from claude_force.text import for_terminal

Verdict = Literal["regressed", "ok", "not enough data"]
REGRESSED: Verdict = "regressed"
OK: Verdict = "ok"
NOT_ENOUGH: Verdict = "not enough data"

SUCCESS_FACTOR = 0.95
COST_FACTOR = 1.5
_P95 = 0.95
_LONGEST_US = 10**15


class Evidence(NamedTuple):
    """Whether a change is more than chance, and how that is known."""

    is_significant: bool
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one metric. `key` is its key in the guide's baseline; values have the unit of that key."""

    key: str
    title: str
    baseline: float | None
    current: float | None
    limit: float | None
    samples: int
    verdict: Verdict
    why: str

    @property
    def change(self) -> float | None:
        """Percent, or of a rate the difference in points; None where there is nothing to compare."""
        if self.baseline is None or self.current is None:
            return None
        if self.key == "success_rate":
            return self.current - self.baseline
        return 100 * (self.current / self.baseline - 1) if self.baseline else None

    def shown(self, value: float | None) -> str:
        """A value of this metric as a person reads it."""
        return _SHOWN[self.key](value)

    def shown_change(self) -> str:
        """The change as a person reads it: +12.3%, -4.0pp."""
        if self.change is None:
            return NONE
        return f"{self.change:+.1f}{'pp' if self.key == 'success_rate' else '%'}"

    def to_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return {
            "metric": self.key,
            "title": self.title,
            "baseline": self.baseline,
            "current": self.current,
            "limit": self.limit,
            "change_points" if self.key == "success_rate" else "change_percent": self.change,
            "samples": self.samples,
            "verdict": self.verdict,
            "why": self.why,
        }


_SHOWN: dict[str, Callable[[float | None], str]] = {
    "avg_execution_time_ms": milliseconds,
    "p95_latency_ms": milliseconds,
    "success_rate": percent,
    "avg_cost_per_execution": unit_cost,
}


@dataclass(frozen=True, slots=True)
class Check:
    """Executions compared with a baseline. `origin` is how a person knows it, `baseline_period` when it was,
    `is_overlapping` whether it may hold executions of the period, too."""

    period: str
    origin: str
    baseline_period: str
    is_overlapping: bool
    filters: dict[str, list[str]]
    findings: list[Finding]
    remarks: list[str]

    @property
    def verdict(self) -> Verdict:
        """A regression if there is one; not enough data where nothing could be compared."""
        verdicts = [finding.verdict for finding in self.findings]
        return REGRESSED if REGRESSED in verdicts else OK if OK in verdicts else NOT_ENOUGH

    @property
    def regressions(self) -> list[Finding]:
        """What is worse."""
        return [finding for finding in self.findings if finding.verdict == REGRESSED]

    def to_dict(self) -> dict[str, Any]:
        """The check for JSON."""
        return {
            "verdict": self.verdict,
            "period": self.period,
            "baseline": self.origin,
            "baseline_period": self.baseline_period,
            "metrics": [finding.to_dict() for finding in self.findings],
            "remarks": self.remarks,
        }


class _Chosen(NamedTuple):
    """The baseline to compare with."""

    snapshot: Mapping[str, Any]
    origin: str
    period: str
    end_us: int | None


def check(database: Readable, chosen: Filter, wanted: str | None, threshold: float, now_us: int, zone: tzinfo) -> Check:
    """Compare the chosen executions with a baseline: `wanted` is its name or a file, None the newest that ended before
    the period begins. Without names in the filter, those of the baseline hold. Raises BaselineError where there is no
    such baseline, or the file is none; NoBaseline where none was asked for, and there is none."""
    remarks: list[str] = []
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        window = whole_window(connection, chosen.window, now_us)
        found = _choose(connection, replace(chosen, window=window), wanted, zone)
        own = filters_in(found.snapshot, found.origin)
        if not filters_of(chosen):
            chosen = filter_of(own, chosen.window)
        elif own != filters_of(chosen):
            remarks.append("The baseline is of other executions than those that were compared with it.")
        current = measure(connection, replace(chosen, window=window))[None]
    assert window.start_us is not None
    is_overlapping = found.end_us is not None and found.end_us > window.start_us
    if is_overlapping:
        remarks.append("The baseline overlaps the period: what both hold makes a change look smaller.")
    findings = compare(parse_snapshot(found.snapshot, found.origin), parse_snapshot(current, "the period"), threshold)
    return Check(window.label, found.origin, found.period, is_overlapping, filters_of(chosen), findings, remarks)


def _choose(connection: Connection, chosen: Filter, wanted: str | None, zone: tzinfo) -> _Chosen:
    if wanted is not None and is_file(wanted):
        return _from_file(Path(wanted))
    start = chosen.window.start_us
    assert start is not None
    agent, model = key_of(chosen)
    found = newest(connection, wanted, agent, model, start, narrowing_of(chosen))
    if found is None:
        found = _only_one(connection, wanted, chosen)
    first, last = (clock.to_datetime(at, zone).date() for at in (found.start_us, found.end_us))
    return _Chosen(found.snapshot, for_terminal(found.name), f"{first} to {last}", found.end_us)


def _only_one(connection: Connection, wanted: str | None, chosen: Filter) -> Baseline:
    """The one baseline of a name, whatever it is of, for who did not ask for anything else."""
    asked = filters_of(chosen)
    options = "".join(f" --{kind} '{name}'" for kind, names in asked.items() for name in names)
    if wanted is None:
        raise NoBaseline(
            f"there is no baseline{' of just these executions' if asked else ''} to compare with; "
            f"claude-force baseline create{for_terminal(options)} makes one"
        )
    found = find_named(connection, wanted)
    if not asked and len(found) == 1:
        return found[0]
    others = "; ".join(map(subject, found[:5])) + (" and more" if len(found) > 5 else "")
    raise BaselineError(for_terminal(f"the baseline {wanted} is not of just these executions; it is of: {others}"))


def _from_file(path: Path) -> _Chosen:
    found, name = read_file(path), for_terminal(str(path))
    period = found.get("period", "")
    end = found.get("end")
    try:
        end_us = clock.parse_instant(end, UTC) if isinstance(end, str) else None
    except ValueError as error:
        raise BaselineError(f"{name}: end: {for_terminal(str(error))}") from None
    return _Chosen(found, name, for_terminal(period) if isinstance(period, str) else "", end_us)


def compare(baseline: ParsedSnapshot, current: ParsedSnapshot, threshold: float) -> list[Finding]:
    """What became of each metric; times may grow by the factor `threshold`."""
    return [
        _average_time(baseline, current, threshold),
        _slowest(baseline, current, threshold),
        _success(baseline, current),
        _cost(baseline, current),
    ]


def _average_time(baseline: ParsedSnapshot, current: ParsedSnapshot, threshold: float) -> Finding:
    def evidence() -> Evidence:
        return _higher(baseline.durations, baseline.average_ms, baseline.timed, current.durations, current.average_ms)

    sizes = (baseline.timed, current.timed, "timed execution")
    values = (baseline.average_ms, current.average_ms)
    return _judge("avg_execution_time_ms", "Average Execution Time", *values, threshold, sizes, evidence)


def _slowest(baseline: ParsedSnapshot, current: ParsedSnapshot, threshold: float) -> Finding:
    def evidence() -> Evidence:
        assert baseline.p95_ms is not None
        bound = bin_of(min(round(1000 * baseline.p95_ms), _LONGEST_US))
        durations = current.durations or {}
        size = sum(durations.values())
        above = sum(count for number, count in durations.items() if number > bound)
        share = percent(100 * above / size)
        if baseline.timed is None:
            least = wilson(above / size, size)[0]
            return Evidence(
                least > 1 - _P95, f"{share} of executions take longer than its P95, surely {percent(100 * least)}"
            )
        p = exceedance_test(above, size, baseline.timed)
        return Evidence(p <= ALPHA, f"{share} of executions take longer than its P95, {_shown_p(p)}")

    sizes = (baseline.timed, current.timed, "timed execution")
    return _judge("p95_latency_ms", "P95 Latency", baseline.p95_ms, current.p95_ms, threshold, sizes, evidence)


def _success(baseline: ParsedSnapshot, current: ParsedSnapshot) -> Finding:
    def evidence() -> Evidence:
        assert baseline.success_rate is not None
        assert current.success_rate is not None
        assert current.executions is not None
        before, now = baseline.success_rate / 100, current.success_rate / 100
        if baseline.executions is None:
            most = wilson(now, current.executions)[1] - before
        else:
            most = newcombe(now, current.executions, before, baseline.executions)[1]
        return Evidence(most < 0, f"surely {-100 * most:.1f} points lower" if most < 0 else _BY_CHANCE)

    sizes = (baseline.executions, current.executions, "execution")
    values = (baseline.success_rate, current.success_rate)
    return _judge("success_rate", "Success Rate", *values, SUCCESS_FACTOR, sizes, evidence)


def _cost(baseline: ParsedSnapshot, current: ParsedSnapshot) -> Finding:
    def evidence() -> Evidence:
        return _higher(baseline.costs, baseline.average_cost, baseline.priced, current.costs, current.average_cost)

    sizes = (baseline.priced, current.priced, "priced execution")
    values = (baseline.average_cost, current.average_cost)
    return _judge("avg_cost_per_execution", "Cost Per Execution", *values, COST_FACTOR, sizes, evidence)


def _higher(
    before: Mapping[int, int] | None,
    before_average: float | None,
    before_size: int | None,
    now: Mapping[int, int] | None,
    now_average: float | None,
) -> Evidence:
    """Whether values are higher than those of a baseline; of which only the average may be known."""
    assert before_average is not None
    assert now_average is not None
    assert now
    if before:
        is_so, p = is_higher(before, now)
        return Evidence(is_so, _shown_p(p))
    # The histogram is in whole bins of another unit: what counts is by how much the bound is below the average.
    average = mean_of(now)
    least = now_average * lowest_mean(now, before_size) / average if average else 0.0
    return Evidence(
        least > before_average,
        f"surely {_more(least, before_average)}" if least > before_average else _BY_CHANCE,
    )


_BY_CHANCE = "which may be chance"


def _more(now: float, before: float) -> str:
    return f"{100 * (now / before - 1):.1f}% more" if before else "more than nothing"


def _shown_p(p: float) -> str:
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return shown if p <= ALPHA else f"{_BY_CHANCE} ({shown})"


def _judge(
    key: str,
    title: str,
    baseline: float | None,
    current: float | None,
    factor: float,
    sizes: tuple[int | None, int | None, str],
    evidence: Callable[[], Evidence],
) -> Finding:
    """The rule that all metrics share: beyond the limit, and more than chance. A factor below 1 is a lower limit."""
    limit = None if baseline is None else baseline * factor
    before, now, noun = sizes

    def finding(verdict: Verdict, why: str) -> Finding:
        return Finding(key, title, baseline, current, limit, now or 0, verdict, why)

    if baseline is None or limit is None:
        return finding(NOT_ENOUGH, "the baseline does not have it")
    if before is not None and before < MINIMUM_SAMPLES:
        return finding(NOT_ENOUGH, f"the baseline has {_needed(before, noun)}")
    if current is None or now is None or now < MINIMUM_SAMPLES:
        return finding(NOT_ENOUGH, f"the period has {_needed(now or 0, noun)}")
    shown = finding(OK, "").shown(limit)
    if not (current > limit if factor >= 1 else current < limit):
        return finding(OK, f"within the limit of {shown}")
    found = evidence()
    beyond = f"{'over' if factor >= 1 else 'under'} the limit of {shown}"
    return finding(REGRESSED if found.is_significant else OK, f"{beyond}; {found.why}")


def _needed(size: int, noun: str) -> str:
    return f"{quantity(size, noun)}; {MINIMUM_SAMPLES} are needed"
