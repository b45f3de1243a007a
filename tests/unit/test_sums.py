"""Sums of executions at the limit of what a database holds."""

from __future__ import annotations

import pytest

from claude_force.errors import DatabaseError
from claude_force.executions.columns import by_column
from claude_force.executions.record import COST_GIVEN, COST_LIMIT_NANOUSD, to_row
from claude_force.executions.rollups import Sums, add_block, unpacked
from claude_force.executions.totals import Totals
from tests.builders import an_execution

MOST = ((1 << 63) - 1) // COST_LIMIT_NANOUSD
"""So many executions at the limit of a cost have a sum that 64 bits hold."""

DEAR = to_row(an_execution(cost_nanousd=COST_LIMIT_NANOUSD, recorded_basis=COST_GIVEN))


def test_what_a_database_holds_is_summed_up() -> None:
    """To the last unit, in one block or several."""
    for size in (MOST, MOST // 2):
        sums = Sums()
        for _ in range(MOST // size):
            add_block(sums, by_column([DEAR] * size))
        (cell,) = sums.aggregates.values()
        count = MOST // size * size
        found = Totals(*unpacked(cell))
        assert (found.executions, found.cost_nanousd) == (count, count * COST_LIMIT_NANOUSD)


def test_what_no_database_holds_is_refused() -> None:
    """No sum runs over into its neighbour, however many blocks lead there."""
    sums, half = Sums(), by_column([DEAR] * (MOST // 2))
    add_block(sums, half)
    add_block(sums, half)
    with pytest.raises(DatabaseError, match="more than a database can hold"):
        add_block(sums, half)
