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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claude_force.clock import DAY_US
from claude_force.executions.billed_steps import Share
from claude_force.executions.columns import Columns
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


_KEY_FIELDS = ("timestamp_us", "session_id", "workflow_id", "run_id")
_key_of = getter(*_KEY_FIELDS)
_success_of = getter("success")


def part_key(row: ExecutionRow, series: int) -> PartKey | None:
    """Where an execution counts; None if it is a run of its own."""
    instant, session, workflow, run = _key_of(row)
    return _key(instant, session, workflow, run, series)


def _key(instant: int, session: str | None, workflow: str | None, run: str | None, series: int) -> PartKey | None:
    name = run or workflow or session
    return (instant // DAY_US, session or workflow or "", name, workflow or "", series) if name else None


def block_keys(block: Columns, indexes: Sequence[int]) -> list[PartKey | None] | None:
    """The key of each execution of a block, whose series have these indexes; None if all are runs of their own."""
    if not any(map(block.has, _KEY_FIELDS[1:])):
        return None
    series = [indexes[place] for place in block.places]
    return list(map(_key, *map(block.values, _KEY_FIELDS), series))


def block_parts(
    block: Columns, keys: Sequence[PartKey | None], cells: Mapping[PartKey | None, int]
) -> dict[PartKey, RunPart]:
    """The parts of the runs of a block, from the keys of its executions and the packed sums by key."""
    began: dict[PartKey | None, int] = {}
    last: dict[PartKey | None, int] = {}
    failed: dict[PartKey | None, tuple[int, int]] = {}
    fields = map(block.values, ("timestamp_us", "duration_us", "success", "error_type", "cost_nanousd"))
    for key, instant, duration, success, error, cost in zip(keys, *fields, strict=True):
        begin, code = instant - (duration or 0), instant * len(OUTCOMES) + code_of(success, error)
        if begin < began.get(key, begin + 1):
            began[key] = begin
        if code > last.get(key, -1):
            last[key] = code
        if not success:
            nanousd, unpriced = failed.get(key, (0, 0))
            failed[key] = nanousd + (cost or 0), unpriced + (cost is None)
    return {
        key: RunPart(cell, *failed.get(key, (0, 0)), began[key], last[key])
        for key, cell in cells.items()
        if key is not None
    }


def share_part(row: ExecutionRow, cell: int, share: Share) -> RunPart:
    """What the steps of an execution move to the part of a series: the packed share, and the share."""
    return RunPart(cell, 0 if _success_of(row) else share.cost_nanousd, 0, None, None)
