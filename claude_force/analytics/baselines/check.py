"""The regression check: compares the executions of a period with a baseline, by the rules in `rules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.analytics.baselines.parse import filters_in, parse_snapshot, read_file
from claude_force.analytics.baselines.rules import NOT_ENOUGH, OK, REGRESSED, MetricResult, Verdict, compare
from claude_force.analytics.baselines.snapshots import (
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
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.baselines import newest
from claude_force.database.rows.baselines import Baseline
from claude_force.errors import BaselineError, NoBaseline
from claude_force.text import for_terminal

_SUBJECTS_SHOWN = 5


class LabelSide(NamedTuple):
    """One of two labels that are compared: how many executions and runs it has, and how many of them have no known
    price, so that costs are without them."""

    label: str
    executions: int
    runs: int
    unpriced_executions: int
    unpriced_runs: int


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check. `executions` is the number of those of the period, `origin` the name or the file of the
    baseline; `is_overlapping` is true if the baseline may hold executions of the period. `labels` are the two that are
    compared, that of the baseline first; None for a check against a baseline. `archived` is the number of archived
    executions that may be missing."""

    period: str
    executions: int
    origin: str
    baseline_period: str
    is_overlapping: bool
    filters: dict[str, list[str]]
    results: list[MetricResult]
    remarks: list[str]
    labels: tuple[LabelSide, LabelSide] | None = None
    archived: int = 0

    @property
    def verdict(self) -> Verdict:
        """REGRESSED if any metric is; NOT_ENOUGH if no metric could be compared."""
        verdicts = [result.verdict for result in self.results]
        return REGRESSED if REGRESSED in verdicts else OK if OK in verdicts else NOT_ENOUGH

    @property
    def regressions(self) -> list[MetricResult]:
        """The metrics that regressed."""
        return [result for result in self.results if result.verdict == REGRESSED]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "period": self.period,
            "executions": self.executions,
            "baseline": self.origin,
            "baseline_period": self.baseline_period,
            "metrics": [result.to_dict() for result in self.results],
            "remarks": self.remarks,
            **({"labels": [side._asdict() for side in self.labels]} if self.labels else {}),
        }


class _ChosenBaseline(NamedTuple):
    snapshot: Mapping[str, Any]
    origin: str
    period: str
    end_us: int | None


def check(database: Readable, chosen: Filter, wanted: str | None, threshold: float, now_us: int, zone: tzinfo) -> Check:
    """Compare the chosen executions with a baseline. `wanted` is the name of a baseline or a file; None means the
    newest one that ended before the period. A filter without names takes those of the baseline.

    Raises BaselineError if there is no such baseline or the file is invalid, NoBaseline if `wanted` is None and none
    fits, UnknownName for an unknown name in the filter."""
    remarks: list[str] = []
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        window = whole_window(connection, chosen.window, now_us)
        baseline = _choose(connection, replace(chosen, window=window), wanted, zone)
        baseline_filters = filters_in(baseline.snapshot, baseline.origin)
        if not filters_of(chosen):
            chosen = replace(filter_of(baseline_filters, chosen.window), project_names=chosen.project_names)
            chosen = queries.with_projects(connection, chosen)
        elif baseline_filters != filters_of(chosen):
            remarks.append("The baseline covers other executions than the period.")
        current = measure(connection, replace(chosen, window=window))[None]
    assert window.start_us is not None
    is_overlapping = baseline.end_us is not None and baseline.end_us > window.start_us
    if is_overlapping:
        remarks.append("The baseline overlaps the period, which makes a change look smaller.")
    before, now = parse_snapshot(baseline.snapshot, baseline.origin), parse_snapshot(current, "the period")
    results = compare(before, now, threshold)
    return Check(
        window.label,
        current["total_executions"],
        baseline.origin,
        baseline.period,
        is_overlapping,
        filters_of(chosen),
        results,
        remarks,
    )


def _choose(connection: Connection, chosen: Filter, wanted: str | None, zone: tzinfo) -> _ChosenBaseline:
    if wanted is not None and is_file(wanted):
        return _from_file(Path(wanted))
    start_us = chosen.window.start_us
    assert start_us is not None
    agent, model = key_of(chosen)
    found = newest(connection, wanted, agent, model, start_us, narrowing_of(chosen))
    if found is None:
        found = _only_one(connection, wanted, chosen)
    first, last = found.days(zone)
    return _ChosenBaseline(found.snapshot, for_terminal(found.name), f"{first} to {last}", found.end_us)


def _only_one(connection: Connection, wanted: str | None, chosen: Filter) -> Baseline:
    """The only baseline of a name, whatever it covers, if the filter names nothing. Raises BaselineError otherwise."""
    asked = filters_of(chosen)
    options = "".join(f" --{kind} '{name}'" for kind, names in asked.items() for name in names)
    if wanted is None:
        raise NoBaseline(
            f"there is no baseline{' of exactly these executions' if asked else ''} to compare with; create one: "
            f"claude-force baseline create{for_terminal(options)}"
        )
    found = find_named(connection, wanted)
    if not asked and len(found) == 1:
        return found[0]
    covered = "; ".join(map(subject, found[:_SUBJECTS_SHOWN])) + (" and more" if len(found) > _SUBJECTS_SHOWN else "")
    raise BaselineError(for_terminal(f"the baseline {wanted} does not cover exactly these executions, but: {covered}"))


def _from_file(path: Path) -> _ChosenBaseline:
    found, name = read_file(path), for_terminal(str(path))
    period = found.get("period", "")
    end = found.get("end")
    try:
        end_us = clock.parse_instant(end, UTC) if isinstance(end, str) else None
    except ValueError as error:
        raise BaselineError(f"{name}: end: {for_terminal(str(error))}") from None
    return _ChosenBaseline(found, name, for_terminal(period) if isinstance(period, str) else "", end_us)
