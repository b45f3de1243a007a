"""The parts of runs: what a run has in one day, workflow and series. Pure.

A run of one agent on one model in one day, as most are, has one part, and the part is the whole run:

| day   | session | run    | series              | executions | cost   | ended with                |
|-------|---------|--------|---------------------|------------|--------|---------------------------|
| 20421 | s1      | r1     | reviewer, sonnet    | 10         | $0.31  | 12:04:59.1, success       |
| 20421 | s1      | r2     | planner, opus       | 3          | $0.80  | 12:06:10.4, failed        |
| 20422 | s1      | r2     | planner, opus       | 1          | $0.20  | 09:30:00.0, success       |

Parts of one run are added up: r2 has 4 executions, cost $1.00 and succeeded, since its last request did. The instant
and the outcome of the last request are one number, the `code`, of which the largest counts. A part that consists of
steps of other series' requests has neither. Executions that are runs of their own have no parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import compress, count
from operator import not_
from typing import Any, NamedTuple

from claude_force.clock import DAY_US
from claude_force.executions.billed_steps import Share
from claude_force.executions.columns import RUN_NAMES, Columns
from claude_force.executions.record import ExecutionRow, getter
from claude_force.executions.runs import OUTCOMES, code_of
from claude_force.executions.totals import TOTALS

PART_TOTALS = TOTALS[: TOTALS.index("cost_nanousd") + 1]
"""The columns of `Totals` that the database keeps for each part."""

PartKey = tuple[int, str, str, str, int]
"""A day since the epoch (UTC); session, run and workflow, "" for those that it does not have; a series."""


class RunPart(NamedTuple):
    """The packed columns of `Totals` (see `rollups.packed`); what failed requests cost, and how many of them have no
    known cost; when the first request began; and the code of the last one."""

    cell: int
    failed_nanousd: int
    failed_unpriced: int
    began_us: int | None
    code: int | None

    def merged(self, other: RunPart) -> RunPart:
        """Both together."""
        began = [part.began_us for part in (self, other) if part.began_us is not None]
        codes = [part.code for part in (self, other) if part.code is not None]
        return RunPart(
            self.cell + other.cell,
            self.failed_nanousd + other.failed_nanousd,
            self.failed_unpriced + other.failed_unpriced,
            min(began, default=None),
            max(codes, default=None),
        )

    def negated(self) -> RunPart:
        """What takes the sums of this part away when it is added. Its beginning and its end stay as they are."""
        return self._replace(
            cell=-self.cell, failed_nanousd=-self.failed_nanousd, failed_unpriced=-self.failed_unpriced
        )


_names_of = getter("timestamp_us", *RUN_NAMES)
_success_of = getter("success")
_NEVER_US = 1 << 63
"""Later than any instant."""


def part_key(row: ExecutionRow, series: int) -> PartKey | None:
    """Where an execution counts; None if it is a run of its own."""
    instant, *names = _names_of(row)
    return key_of(instant // DAY_US, series, *names)


def key_of(day: int, series: int, session: str | None, workflow: str | None, run: str | None) -> PartKey | None:
    """Where executions of a day and a series count, from the values of RUN_NAMES; None if they are runs of their
    own."""
    name = run or workflow or session
    return (day, session or workflow or "", name, workflow or "", series) if name else None


def numbered(block: Columns, hours: Sequence[int]) -> tuple[list[int], list[tuple[Any, ...]]]:
    """What differs among the hours of executions, with the values of RUN_NAMES, and for each execution its index
    therein."""
    number_of: defaultdict[tuple[Any, ...], int] = defaultdict(count().__next__)
    numbers = list(map(number_of.__getitem__, zip(hours, *map(block.values, RUN_NAMES), strict=True)))
    return numbers, list(number_of)


def block_parts(
    block: Columns, numbers: Sequence[int], keys: Sequence[PartKey | None], cells: Sequence[int]
) -> Iterator[tuple[PartKey, RunPart]]:
    """The parts of the runs of a block. `numbers` has for each execution the index of its key and of its packed sums in
    `keys` and `cells`. A key may come several times."""
    size = len(keys)
    began, last, failed_nanousd, failed_unpriced = [_NEVER_US] * size, [-1] * size, [0] * size, [0] * size
    instants, durations, successes, errors, costs = map(
        block.values, ("timestamp_us", "duration_us", "success", "error_type", "cost_nanousd")
    )
    outcomes, codes = map(code_of, successes, errors), len(OUTCOMES)
    for number, instant, duration, outcome in zip(numbers, instants, durations, outcomes, strict=True):
        begin, code = instant - (duration or 0), instant * codes + outcome
        # A call of min or max would take as long as all the rest of this loop.
        if begin < began[number]:  # noqa: PLR1730
            began[number] = begin
        if code > last[number]:  # noqa: PLR1730
            last[number] = code
    for number, cost in compress(zip(numbers, costs, strict=True), map(not_, successes)):
        failed_nanousd[number] += cost or 0
        failed_unpriced[number] += cost is None
    parts = map(RunPart, cells, failed_nanousd, failed_unpriced, began, last)
    return ((key, part) for key, part in zip(keys, parts, strict=True) if key is not None)


def share_part(row: ExecutionRow, cell: int, share: Share) -> RunPart:
    """What the steps of an execution move to the part of a series: the packed share, and the share."""
    return RunPart(cell, 0 if _success_of(row) else share.cost_nanousd, 0, None, None)
