"""Blocks as the store tells them are those of the executions themselves, whatever the period that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics import blocks as session_blocks
from claude_force.clock import HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import TimeRange, WorkflowStart
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import SOURCES, on_both_engines, refill

LONG_US = 30 * 24 * HOUR_US

_instants = st.one_of(
    # Busy for days, then pauses of about the length of a block.
    st.integers(0, 90).map(lambda hours: NOON_US + hours * HOUR_US),
    st.integers(0, 30).map(lambda blocks: NOON_US + blocks * 5 * HOUR_US - NOON_US % HOUR_US),
    st.integers(NOON_US, NOON_US + LONG_US),
)
_executions = st.builds(
    an_execution,
    timestamp_us=_instants,
    source=st.sampled_from(SOURCES[:2]),
    model=st.sampled_from(("m", "n")),
    workflow_id=st.sampled_from(("v", "w", None)),
    session_id=st.sampled_from(("v", "s", None)),
    project=st.sampled_from(("/a", "/b", None)),
)
_histories = st.lists(_executions, max_size=80)
_windows = st.one_of(
    st.just(Window()),
    st.tuples(st.integers(NOON_US, NOON_US + LONG_US), st.integers(1, LONG_US)).map(
        lambda edge: Window(edge[0], edge[0] + edge[1])
    ),
    _instants.map(lambda now: Window(now, now + 1)),
    _instants.map(Window),
)

Found = tuple[int, int, int, TimeRange | None]


def told(executions: Sequence[ExecutionMetrics], length: int) -> list[Found]:
    """Start, end, number and reach of the blocks, one execution after the other."""
    blocks: list[list[int]] = []
    end = 0
    for at in sorted(record.timestamp_us for record in executions):
        if not blocks or at >= end:
            blocks.append([])
            end = at // HOUR_US * HOUR_US + length * HOUR_US
        blocks[-1].append(at)
    starts = [at[0] // HOUR_US * HOUR_US for at in blocks]
    return [
        (start, start + length * HOUR_US, len(at), TimeRange(at[0], at[-1]))
        for start, at in zip(starts, blocks, strict=True)
    ]


@given(
    history=_histories, window=_windows, length=st.sampled_from((1, 5, 24)), source=st.sampled_from((*SOURCES, None))
)
@settings(on_both_engines, max_examples=scaled(60))
def test_blocks_are_those_of_all_history(
    database: Database, history: list[ExecutionMetrics], window: Window, length: int, source: str | None
) -> None:
    """A block of a period begins where it does in all of history, and is whole."""
    refill(database, history)
    chosen = Filter(window, sources=(source,) if source else ())
    with database.read() as connection:
        blocks = session_blocks.blocks_in(connection, chosen, length)
    expected = told([record for record in history if source in (None, record.source)], length)
    start, end = window.start_us, window.end_us
    assert [(block.start_us, block.end_us, block.totals.executions, block.reach) for block in blocks] == [
        found for found in expected if (start is None or found[1] > start) and (end is None or found[0] < end)
    ]


@given(history=_histories, window=_windows)
@settings(on_both_engines, max_examples=scaled(30))
def test_a_workflow_begins_with_its_first_execution(
    database: Database, history: list[ExecutionMetrics], window: Window
) -> None:
    """Of the period; of two at one instant, the one with the lesser uid."""
    refill(database, history)
    first: dict[str, WorkflowStart] = {}
    first_of_session: dict[str, WorkflowStart] = {}
    for record in sorted(history, key=lambda record: (record.timestamp_us, record.uid)):
        is_inside = (window.start_us or 0) <= record.timestamp_us < (window.end_us or 10**18)
        session = record.session_id or record.workflow_id
        start = WorkflowStart(record.timestamp_us, record.project, record.source, session)
        if is_inside and record.workflow_id:
            first.setdefault(record.workflow_id, start)
        if is_inside and session:
            first_of_session.setdefault(session, start)
    with database.read() as connection:
        assert queries.workflow_starts(connection, Filter(window), ["v", "w", "x"]) == first
        sessions = queries.workflow_starts(connection, Filter(window), ["s", "v", "w"], "session_id")
        assert sessions == first_of_session
