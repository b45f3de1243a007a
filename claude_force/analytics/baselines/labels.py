"""Two labels compared: what the runs of one cost, took and achieved, against those of the other.

By the execution as in a check against a baseline, and by the run: a prompt that asks for twice as many requests costs
twice as much, although each request costs what it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from claude_force.analytics.baselines.check import Check, LabelSide
from claude_force.analytics.baselines.parse import parse_snapshot
from claude_force.analytics.baselines.rules import NOT_ENOUGH, MetricResult, RunSide, Sides, compare, compare_runs
from claude_force.analytics.baselines.snapshots import Snapshot, filters_of, measure
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.database.queries.run_labels import Used, ended_runs, used_by_runs
from claude_force.errors import BaselineError
from claude_force.executions.histogram import bin_of
from claude_force.executions.record import DURATION_LIMIT_US, NANOUSD
from claude_force.formatting import quantity
from claude_force.text import for_terminal

_NANOUSD_IN_MICROUSD = 1000


class _Measured(NamedTuple):
    labels: tuple[str, ...]
    snapshot: Snapshot
    of_runs: RunSide
    runs: int
    unpriced_runs: int

    @property
    def title(self) -> str:
        return ", ".join(map(for_terminal, self.labels))

    @property
    def unpriced(self) -> int:
        samples = self.snapshot["samples"]
        return int(samples["executions"] - samples["priced"])

    def side(self) -> LabelSide:
        executions = self.snapshot["total_executions"]
        return LabelSide(", ".join(self.labels), executions, self.runs, self.unpriced, self.unpriced_runs)


def check_labels(database: Readable, chosen: Filter, against: str, threshold: float) -> Check:
    """Compare the chosen executions, which are those of labels, with those of another label in the same period.

    Raises UnknownName for a label that the store does not have, BaselineError if an execution would be on both
    sides."""
    with database.read() as connection:
        other = known_names(connection, replace(chosen, run_labels=(against,)))
        chosen = known_names(connection, chosen)
        if common := {*chosen.run_labels} & {*other.run_labels}:
            raise BaselineError(f"label {for_terminal(min(common))} is on both sides; choose two different labels")
        before, now = _measure(connection, other), _measure(connection, chosen)
        archived = queries.archived(connection, chosen).executions
    sides = Sides(before.title, now.title)
    parsed, parsed_now = (parse_snapshot(side.snapshot, side.title) for side in (before, now))
    results = [*compare(parsed, parsed_now, threshold, sides), *compare_runs(before.of_runs, now.of_runs, sides)]
    return Check(
        chosen.window.label,
        now.snapshot["total_executions"],
        f"label {before.title}",
        "",
        False,
        filters_of(chosen),
        results,
        [*_too_few(results), *_left_out(before), *_left_out(now), *_archived(archived)],
        (before.side(), now.side()),
        archived,
    )


def _measure(connection: Connection, chosen: Filter) -> _Measured:
    snapshot = measure(connection, chosen)[None]
    ended = ended_runs(connection, chosen)
    counted = _Runs(used_by_runs(connection, chosen))
    has_other_names = any(names for dimension, names in chosen.names() if dimension != "run_label")
    if has_other_names:
        ended = {run: success for run, success in ended.items() if run in counted.runs}
    unpriced = len(counted.runs) - len(counted.priced)
    return _Measured(chosen.run_labels, snapshot, _run_side(counted, ended), len({*counted.runs, *ended}), unpriced)


class _Runs:
    """The executions of runs, added up."""

    def __init__(self, used: Iterable[Used]) -> None:
        self.runs: dict[str, int | None] = {}
        """The cost of each run; None if that of an execution is not known."""
        self.tokens: Counter[int] = Counter()
        self.token_sum = 0
        for run, cost, tokens, is_request in used:
            known = self.runs.get(run, 0)
            self.runs[run] = None if known is None or cost is None else known + cost
            if tokens is not None:
                self.tokens[_bin(tokens)] += is_request
                self.token_sum += tokens

    @property
    def priced(self) -> list[int]:
        """The costs of the runs whose cost is known."""
        return [cost for cost in self.runs.values() if cost is not None]


def _run_side(counted: _Runs, ended: dict[str, bool]) -> RunSide:
    metered, costs = counted.tokens.total(), counted.priced
    return RunSide(
        counted.token_sum / metered if metered else None,
        metered,
        counted.tokens,
        sum(costs) / NANOUSD / len(costs) if costs else None,
        len(costs),
        Counter(_bin(cost // _NANOUSD_IN_MICROUSD) for cost in costs),
        100 * sum(ended.values()) / len(ended) if ended else None,
        len(ended),
    )


def _bin(value: int) -> int:
    return bin_of(min(value, DURATION_LIMIT_US))


def _too_few(results: Iterable[MetricResult]) -> list[str]:
    """The metrics that could not be compared, in one line."""
    titles = [result.title for result in results if result.verdict == NOT_ENOUGH]
    return [f"Too few to tell, so not compared: {', '.join(titles)}."] if titles else []


def _archived(executions: int) -> list[str]:
    """That labels of archived executions are not known, so that runs may be missing or incomplete."""
    found = (
        f"{quantity(executions, 'archived execution')} may be of these labels and {'is' if executions == 1 else 'are'}"
    )
    return [f"{found} not compared; to bring back: claude-force archive restore"] if executions else []


def _left_out(side: _Measured) -> list[str]:
    """How much of a side has no known price."""
    found = [quantity(side.unpriced, "execution")] if side.unpriced else []
    found += [quantity(side.unpriced_runs, "run")] if side.unpriced_runs else []
    return [f"Costs of {side.title} are without {' and '.join(found)} whose price is not known."] if found else []
