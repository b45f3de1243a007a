"""Blocks: where they begin, what lies between them, and how a running one is going."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from claude_force.clock import HOUR_US, MINUTE_US
from claude_force.executions.session_blocks import LENGTH, Block, blocks_of, certain_start, with_gaps
from claude_force.executions.totals import TimeRange, Totals

ONE = Totals(executions=1, metered=1, input_tokens=100, output_tokens=20, priced=1, cost_nanousd=60)
hours = st.lists(st.integers(0, 200), max_size=60).map(lambda found: sorted(set(found)))


def starts_of(found: list[int], length: int = LENGTH) -> list[int]:
    return [block.start_us // HOUR_US for block in blocks_of({(hour, "m"): ONE for hour in found}, length)]


def a_block(first_us: int, last_us: int, totals: Totals = ONE) -> Block:
    return Block(0, LENGTH * HOUR_US, totals, ("m",), TimeRange(first_us, last_us))


def test_a_block_begins_after_the_one_before_it_ended() -> None:
    """Five hours are one block, however busy; the sixth begins the next, and so does any later hour."""
    assert starts_of([10, 11, 14, 15, 19, 20, 31]) == [10, 15, 20, 31]
    assert starts_of([10, 11, 14, 15], length=1) == [10, 11, 14, 15]
    assert starts_of([]) == []


def test_a_block_adds_up_its_hours_and_names_its_models() -> None:
    """Sums over all models and hours in it; each model once, in order."""
    first, second = blocks_of({(10, "b"): ONE, (10, "a"): ONE, (12, "b"): ONE, (15, "c"): ONE}, LENGTH)
    assert (first.totals, first.models) == (ONE + ONE + ONE, ("a", "b"))
    assert (second.totals, second.models) == (ONE, ("c",))
    assert (first.start_us, first.end_us) == (10 * HOUR_US, 15 * HOUR_US)


@given(found=hours, length=st.integers(1, 24))
def test_blocks_are_disjoint_and_hold_every_hour(found: list[int], length: int) -> None:
    """Each hour is in exactly one block; with the gaps there is no hole between the first and the last."""
    blocks = blocks_of({(hour, "m"): ONE for hour in found}, length)
    assert sum(block.totals.executions for block in blocks) == len(found)
    for hour in found:
        assert sum(block.start_us <= hour * HOUR_US < block.end_us for block in blocks) == 1
    chain = with_gaps(blocks)
    assert all(before.end_us == after.start_us for before, after in pairwise(chain))
    assert [block for block in chain if not block.is_gap] == blocks


@given(found=hours, since=st.integers(0, 200), length=st.integers(1, 12))
def test_a_certain_start_begins_a_block_whatever_was_before(found: list[int], since: int, length: int) -> None:
    """Reading from there on gives the blocks that reading all of history gives."""
    start = certain_start([hour for hour in found if hour >= since], since, length)
    if start is not None:
        assert starts_of([hour for hour in found if hour >= start], length) == [
            begin for begin in starts_of(found, length) if begin >= start
        ]


def test_without_a_pause_no_start_is_certain() -> None:
    """Hours without a pause of a block's length: where blocks begin depends on what was before."""
    assert certain_start([7, 9, 12], 5, LENGTH) is None
    assert certain_start([7, 12, 13], 5, LENGTH) == 12
    assert certain_start([9], 5, LENGTH) == 9


def test_a_rate_is_from_the_first_to_the_last_execution() -> None:
    """120 tokens and 60 nano-dollars in half an hour; not from the full hour, nor until now."""
    burn = a_block(HOUR_US, HOUR_US + 30 * MINUTE_US).burn()
    assert burn is not None
    assert (burn.tokens_per_minute, burn.cost_per_hour) == (4, 120e-9)


def test_less_than_a_minute_tells_no_rate() -> None:
    """One execution, or several at once, are not a speed."""
    assert a_block(HOUR_US, HOUR_US).burn() is None
    assert a_block(HOUR_US, HOUR_US + MINUTE_US - 1).projection(2 * HOUR_US) is None


def test_a_projection_goes_on_at_the_rate_until_the_end() -> None:
    """What is there, and the rate for the time that is left; none when the time is over."""
    block = a_block(0, HOUR_US)
    projection = block.projection(3 * HOUR_US)
    assert projection is not None
    assert (projection.tokens, projection.nanousd, projection.remaining_us) == (360, 180, 2 * HOUR_US)
    assert block.projection(5 * HOUR_US) is None
    assert not block.is_active(5 * HOUR_US)


def test_what_has_no_price_is_not_projected_as_free() -> None:
    """Tokens go on, the cost is not known."""
    block = a_block(0, HOUR_US, Totals(executions=1, metered=1, output_tokens=60))
    burn, projection = block.burn(), block.projection(HOUR_US)
    assert burn is not None
    assert projection is not None
    assert (burn.cost_per_hour, projection.nanousd, projection.tokens) == (None, None, 300)
