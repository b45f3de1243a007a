"""Which rows of a report are shown, and in which order."""

from __future__ import annotations

from typing import get_args

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.analytics.groups import ALL_ROWS, RowChoice, SortKey, sort_groups
from claude_force.cli.rows import row_options
from claude_force.executions.totals import Group, Totals

limits = st.none() | st.integers(1, 5)


def totals(executions: int, timed: int, priced: int, tokens: int, duration_us: int, nanousd: int) -> Totals:
    """Sums in which an average or a cost may be unknown."""
    return Totals(
        executions=executions,
        successes=executions // 2,
        timed=min(timed, executions),
        duration_us=duration_us if timed and executions else 0,
        priced=min(priced, executions),
        cost_nanousd=nanousd if priced and executions else 0,
        input_tokens=tokens,
    )


groups_of = st.lists(
    st.tuples(
        st.none() | st.sampled_from("abcdefgh"),
        st.builds(totals, *[st.integers(0, 3)] * 4, st.integers(0, 9), st.integers(0, 9)),
    ),
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Group(*pair) for pair in pairs])


@given(rows=st.lists(st.integers()), limit=limits, is_ascending=st.booleans())
def test_rows_are_turned_and_then_cut(rows: list[int], limit: int | None, is_ascending: bool) -> None:
    """The first rows of the chosen order; without a choice, of the order of the report."""
    usual = sorted(rows, reverse=not is_ascending)
    assert RowChoice(None, limit).of(usual, is_ascending=is_ascending) == usual[:limit]
    assert RowChoice(True, limit).of(usual, is_ascending=is_ascending) == sorted(rows)[:limit]
    assert RowChoice(False, limit).of(usual, is_ascending=is_ascending) == sorted(rows, reverse=True)[:limit]


@given(rows=st.lists(st.integers()).map(sorted), limit=limits)
def test_rows_over_time_are_the_last_ones(rows: list[int], limit: int | None) -> None:
    """Without a choice the newest of them, in order of time; --asc begins with the oldest, --desc with the newest."""
    assert RowChoice(None, limit).in_time(rows) == (rows if limit is None else rows[-limit:])
    assert RowChoice(True, limit).in_time(rows) == rows[:limit]
    assert RowChoice(False, limit).in_time(rows) == rows[::-1][:limit]


@pytest.mark.parametrize("key", get_args(SortKey))
@given(groups=groups_of, limit=limits)
def test_groups_are_sorted_both_ways(key: SortKey, groups: list[Group], limit: int | None) -> None:
    """What is known is turned round, and what is unknown comes last in both orders. By name the usual order is
    ascending, else descending. A limit keeps the first."""
    up, down = (sort_groups(groups, key, RowChoice(is_ascending)) for is_ascending in (True, False))
    assert sort_groups(groups, key, ALL_ROWS) == (up if key == "name" else down)
    assert sort_groups(groups, key, RowChoice(True, limit)) == up[:limit]

    def value(group: Group) -> float | str | None:
        found = {
            "name": group.name, "executions": group.totals.executions, "time": group.totals.average_ms,
            "cost": group.totals.cost, "success": group.totals.success_rate, "tokens": group.totals.total_tokens,
        }[key]  # fmt: skip
        assert found is None or isinstance(found, (int, float, str))
        return found

    for ordered, is_reversed in ((up, False), (down, True)):
        known = [value(group) for group in ordered if value(group) is not None]
        assert known == sorted(known, reverse=is_reversed)  # type: ignore[type-var]
        assert [value(group) for group in ordered[len(known) :]] == [None] * (len(groups) - len(known))


def test_both_orders_at_once_are_refused() -> None:
    """One of them would be ignored."""
    command = click.command()(row_options(lambda rows: rows))
    assert command.main([], standalone_mode=False) == ALL_ROWS
    assert command.main(["--desc", "--limit", "3"], standalone_mode=False) == RowChoice(False, 3)
    assert command.main(["--asc"], standalone_mode=False) == RowChoice(True)
    with pytest.raises(click.UsageError, match="--asc and --desc cannot be combined"):
        command.main(["--asc", "--desc"], standalone_mode=False)
