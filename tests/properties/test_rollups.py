"""Laws of the roll-ups: whatever is added, repriced and deleted, they are what the rows come to, to the last unit."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import cycle, pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import DAY_US, HOUR_US, LATEST_US
from claude_force.database import queries
from claude_force.database.check import check
from claude_force.database.contract import Database, Row
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, SERIES
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, PENDING_CHECK_EVERY, PENDING_LIMIT, Store
from claude_force.database.writes.executions import revise_rows
from claude_force.executions.content_uids import content_uid
from claude_force.executions.histogram import bin_lows, bin_of, duration_of, nearest_ranks
from claude_force.executions.intervals import Interval
from claude_force.executions.record import DURATION_LIMIT_US, ExecutionMetrics, from_row, to_row
from claude_force.executions.rollups import DAY, ERA, HOUR, LEVELS_US, merged_windows, plan_buckets, sum_up, unpacked
from claude_force.executions.totals import Percentiles, Totals
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import instants, known_cost, on_both_engines, records, refill, utc

INTERVALS: tuple[Interval, ...] = get_args(Interval)

both_engines = settings(on_both_engines, max_examples=scaled(15))

histories = st.lists(records(), max_size=12, unique_by=lambda record: record.uid)


def in_bulk(executions: list[ExecutionMetrics]) -> list[ExecutionMetrics]:
    """So many copies of executions, a few minutes apart, that they are counted at once."""
    copies = range(DIRECT_ROLLUP_ROWS // len(executions) + 1) if executions else ()
    return [
        replace(
            found,
            uid=content_uid(found.timestamp_us, found.uid.encode(), copy + 7),
            timestamp_us=min(found.timestamp_us + copy * 400_000_000, LATEST_US - 1),
        )
        for copy in copies
        for found in executions
    ]


def kept(database: Database) -> dict[str, list[Row]]:
    """What the roll-ups hold, by series names: numbers of series depend on the order of arrival."""
    labels = "agent_name || ':' || model || ':' || project || ':' || source"
    of_series = f"COALESCE((SELECT {labels} FROM series WHERE series.series_id = t.series_id), '')"
    found: dict[str, list[Row]] = {}
    with database.read() as connection:
        for table, number in (("rollups", 3), ("rollup_durations", 3), ("rollup_errors", 2), ("rollup_runs", 4)):
            rows = connection.fetch(f"SELECT t.*, {of_series} FROM {table} AS t")
            found[table] = sorted(((*row[:number], *row[number + 1 :]) for row in rows), key=str)
        of_seat = "(SELECT host || ':' || user_name FROM seats WHERE seats.seat_id = t.seat_id)"
        seats = connection.fetch(f"SELECT t.*, {of_series}, {of_seat} FROM rollup_seats AS t")
        found["rollup_seats"] = sorted(((*row[:3], *row[5:]) for row in seats), key=str)
        bins = connection.fetch(f"SELECT level, bucket, {of_seat}, bin, executions FROM rollup_seat_durations AS t")
        found["rollup_seat_durations"] = sorted(bins)
        found["rollup_spans"] = sorted(connection.fetch("SELECT * FROM rollup_spans"))
    return found


def assert_proven(database: Database) -> None:
    """The roll-ups are what the rows come to, and what they would be if they were made anew."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        waiting = connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0]
    before = kept(database)
    Store(database).rebuild()
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0] == 0
    if not waiting:
        assert kept(database) == before


@given(first=histories, second=histories, edges=st.tuples(instants, instants).map(sorted))
@both_engines
def test_roll_ups_are_what_the_rows_come_to(
    database: Database, first: list[ExecutionMetrics], second: list[ExecutionMetrics], edges: list[int]
) -> None:
    """After adding many, adding a few, adding some again, and deleting a period of any edges."""
    store = Store(database)
    refill(database, first)
    store.add(in_bulk(first))
    store.add(second)
    store.add(in_bulk(first) + in_bulk(second))
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    store.delete(Window(edges[0], edges[1]))
    assert_proven(database)


@given(executions=histories, factor=st.integers(0, 5))
@both_engines
def test_roll_ups_follow_new_prices(database: Database, executions: list[ExecutionMetrics], factor: int) -> None:
    """Repricing changes the sums of costs by what it changes in the rows."""
    store = Store(database)
    refill(database, executions)
    store.add(in_bulk(executions))
    store.reprice(
        [to_row(replace(found, cost_nanousd=factor, reference_cost_nanousd=factor * 2)) for found in executions]
    )
    assert_proven(database)


CHANGES: dict[str, dict[str, Any]] = {
    "usage": {"input_tokens": 7, "output_tokens": 70, "cost_nanousd": 9, "reference_cost_nanousd": 90, "steps": None},
    "unknown cost": {"cost_nanousd": None, "price_version": None},
    "final": {"usage_basis": None},
    "end": {"timestamp_us": NOON_US, "duration_us": 5},
    "failure": {"success": False, "error_type": "overloaded"},
    "names": {"workflow_id": "another", "session_id": None, "git_branch": "main"},
    "user": {"user_name": "grace", "host": "another"},
    "run": {"run_id": "another"},
}


@given(executions=histories, names=st.lists(st.sampled_from([*CHANGES, "nothing"]), min_size=1, max_size=5))
@both_engines
def test_roll_ups_follow_what_changes_in_rows(
    database: Database, executions: list[ExecutionMetrics], names: list[str]
) -> None:
    """Whether figures change alone, or the place of an execution in the roll-ups, or both on one day."""
    refill(database, executions)
    Store(database).add(in_bulk(executions))
    with database.read() as connection:
        before = connection.fetch(f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES}")
    changes = [CHANGES.get(name, {}) for _, name in zip(before, cycle(names), strict=False)]
    after = [
        (row[0], *to_row(replace(from_row((row[0], *row[1:])), **change))[1:])
        for row, change in zip(before, changes, strict=True)
    ]
    with database.write() as connection:
        connection.lock_rollups()
        revise_rows(connection, before, after)
    assert_proven(database)


@given(executions=histories, chance=st.randoms(use_true_random=False))
@both_engines
def test_the_order_of_arrival_does_not_matter(
    database: Database, executions: list[ExecutionMetrics], chance: random.Random
) -> None:
    """The same executions in another order make the same roll-ups."""
    store = Store(database)
    every = in_bulk(executions)
    refill(database, [])
    store.add(every)
    once = kept(database)
    chance.shuffle(every)
    refill(database, [])
    for start in range(0, len(every), DIRECT_ROLLUP_ROWS):
        store.add(every[start : start + DIRECT_ROLLUP_ROWS])
    store.rebuild()
    assert kept(database) == once


@given(executions=histories, edges=st.tuples(instants, instants).map(sorted), agent=st.booleans())
@both_engines
def test_a_period_is_what_its_rows_come_to(
    database: Database, executions: list[ExecutionMetrics], edges: list[int], agent: bool
) -> None:
    """Sums from roll-ups and edges, for any period and for one agent, are the sums of the executions in it."""
    refill(database, executions)
    every = executions + in_bulk(executions)
    Store(database).add(in_bulk(executions))
    agents = (executions[0].agent_name,) if agent and executions else ()
    for window in (Window(edges[0], edges[1]), Window(None, edges[0]), Window(edges[1], None)):
        start, end = window.start_us or 0, LATEST_US if window.end_us is None else window.end_us
        inside = [
            found for found in every if start <= found.timestamp_us < end and (not agents or found.agent_name in agents)
        ]
        with database.read() as connection:
            found = queries.totals(connection, Filter(window, agents))
        cells = sum_up(list(map(to_row, inside))).aggregates.values()
        assert found == sum((Totals(*unpacked(cell)) for cell in cells), Totals())
        assert (found.executions, found.successes) == (len(inside), sum(execution.success for execution in inside))
        assert found.cost_nanousd == sum(map(known_cost, inside))


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", "2025-11-02T06:00:00"),
        ("Asia/Kolkata", "2025-11-02T18:30:00"),
        ("Asia/Kathmandu", "2025-11-02T18:15:00"),
        ("Australia/Lord_Howe", "2025-04-05T15:00:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30:00"),
        ("America/St_Johns", "2010-11-07T02:31:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00"),
        ("Africa/Monrovia", "1972-01-07T00:44:30"),
    ],
)
def test_local_time_is_the_same_from_sums_and_from_rows(zone: str, change: str, database: Database) -> None:
    """Around a change of the clock, and where midnight is within an hour, intervals are the same whether executions are
    in the roll-ups or wait; also where a clock goes back over midnight."""
    moments = [utc(change) + minute * 60_000_000 + 17 for minute in range(-1600, 1601, 13)]
    store, executions = Store(database), [an_execution(timestamp_us=moment) for moment in moments]
    found = []
    for size in (DIRECT_ROLLUP_ROWS - 1, len(executions)):
        store.delete(Window())
        for start in range(0, len(executions), size):
            store.add(executions[start : start + size])
        with database.read() as connection:
            assert bool(connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0]) == (size < len(executions))
            found.append([queries.trend(connection, Filter(), interval, ZoneInfo(zone)) for interval in INTERVALS])
    assert found[0] == found[1]


def test_executions_that_wait_are_counted_when_they_are_many(database: Database) -> None:
    """One at a time they wait, up to the limit; then all of them are counted in one go."""
    store = Store(database)
    for number in range(PENDING_LIMIT // 90):
        store.add([an_execution(timestamp_us=NOON_US + number * 90 + place) for place in range(90)])
    waiting = PENDING_LIMIT // 90 * 90
    with database.read() as connection:
        assert connection.fetch("SELECT COUNT(*) FROM uncounted") == [(waiting,)]
        assert connection.fetch("SELECT COUNT(*) FROM rollups") == [(0,)]
        assert queries.totals(connection, Filter()).executions == waiting
    store.add([an_execution(timestamp_us=NOON_US - place) for place in range(1, PENDING_LIMIT - waiting + 1)])
    for place in range(PENDING_CHECK_EVERY):
        store.add([an_execution(timestamp_us=NOON_US + place)])
    with database.read() as connection:
        assert connection.fetch("SELECT COUNT(*) FROM uncounted")[0][0] < PENDING_CHECK_EVERY
        assert queries.totals(connection, Filter()).executions == PENDING_LIMIT + PENDING_CHECK_EVERY
    assert_proven(database)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE rollups SET cost_nanousd = cost_nanousd + 1 WHERE scope = 1 AND level = 0", "sums by hour"),
        ("DELETE FROM rollups WHERE scope = 1 AND level = 2", "rollups of level 2"),
        ("UPDATE rollups SET executions = 0 WHERE scope = 0 AND level = 3", "rollups of all series"),
        ("UPDATE rollup_durations SET bin = bin + 1 WHERE scope = 1 AND level = 1", "durations by day"),
        ("DELETE FROM rollup_durations WHERE scope = 1 AND level = 3", "rollup_durations of level 3"),
        ("UPDATE rollup_errors SET last_us = last_us + 1 WHERE level = 0", "failures by hour"),
        ("DELETE FROM rollup_errors WHERE level = 1", "rollup_errors of level 1"),
        ("DELETE FROM uncounted", "sums by hour"),
        ("UPDATE rollup_spans SET last_us = last_us + 1", "spans by day"),
        ("DELETE FROM rollup_spans", "spans by day"),
        ("UPDATE rollup_runs SET code = code + 1", "runs by day"),
        ("UPDATE rollup_runs SET failed_nanousd = failed_nanousd + 1", "runs by day"),
        ("DELETE FROM rollup_runs", "runs by day"),
        ("DELETE FROM run_parents", "(runs)"),
        ("UPDATE rollup_seats SET executions = executions + 1 WHERE scope = 1 AND level = 1", "hosts and users by day"),
        ("UPDATE seats SET host = 'another'", "hosts and users by day"),
        ("DELETE FROM rollup_seats WHERE scope = 1 AND level = 2", "rollup_seats of level 2"),
        ("UPDATE rollup_seats SET timed = 0 WHERE scope = 0 AND level = 3", "rollup_seats of all series"),
        ("UPDATE rollup_seat_durations SET bin = bin + 1 WHERE level = 1", "durations of hosts and users by day"),
        ("DELETE FROM rollup_seat_durations WHERE level = 3", "rollup_seat_durations of level 3"),
    ],
)
def test_a_proof_finds_what_is_wrong(damage: str, said: str, database: Database) -> None:
    """Whatever sum is off by whatever little, it is named, and making the roll-ups anew mends it."""
    store = Store(database)
    failed = an_execution(success=False, error_type="TimeoutError", run_id="r1")
    store.add([failed, *in_bulk([an_execution()]), *in_bulk([failed])])
    store.add([an_execution()])
    with database.write() as connection:
        assert connection.execute(damage) > 0
    seen: list[int] = []
    problems, _ = check(database, seen.append)
    assert any(said in problem for problem in problems)
    with database.read() as connection:
        assert verify_rollups.differences(connection) == problems
        counted = connection.fetch("SELECT (SELECT COUNT(*) FROM executions) - (SELECT COUNT(*) FROM uncounted)")[0][0]
    assert sum(seen) == counted
    store.rebuild()
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []


# Periods


@given(
    start=st.integers(0, LATEST_US),
    length=st.integers(0, 3 * LEVELS_US[ERA]),
    levels=st.tuples(st.integers(HOUR, ERA), st.integers(HOUR, ERA)).map(sorted),
)
@settings(max_examples=scaled(300))
def test_a_period_is_taken_apart_without_gap_or_overlap(start: int, length: int, levels: list[int]) -> None:
    """Buckets and edges together are the period, each instant once; the edges are shorter than a finest bucket."""
    finest, coarsest = levels
    parts = plan_buckets(start, start + length, finest, coarsest)
    spans = [(first * LEVELS_US[level], end * LEVELS_US[level]) for level, first, end in parts.buckets]
    spans += [(edge.start_us or 0, edge.end_us or 0) for edge in parts.edges]
    spans.sort()
    assert sum(end - first for first, end in spans) == length
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    if length:
        assert (spans[0][0], spans[-1][1]) == (start, start + length)
    if parts.buckets:
        assert all((edge.end_us or 0) - (edge.start_us or 0) < LEVELS_US[finest] for edge in parts.edges)
        inside = [(first * LEVELS_US[level], end * LEVELS_US[level]) for level, first, end in parts.buckets]
        assert (min(inside)[0], max(inside)[1]) == (parts.inside.start_us, parts.inside.end_us)


def test_a_week_is_a_few_buckets() -> None:
    """Seven days up to now: a handful of ranges, not hours one by one."""
    parts = plan_buckets(NOON_US - 7 * DAY_US, NOON_US, HOUR)
    assert [level for level, _, _ in parts.buckets] == [DAY, HOUR, HOUR]
    assert len(parts.edges) == 2


@given(st.sets(st.integers(0, 50)))
def test_buckets_that_meet_are_one_period(buckets: set[int]) -> None:
    """Merged periods cover the buckets and nothing else, and no two of them touch."""
    windows = merged_windows(buckets, HOUR_US)
    covered = [
        bucket
        for window in windows
        for bucket in range((window.start_us or 0) // HOUR_US, (window.end_us or 0) // HOUR_US)
    ]
    assert covered == sorted(buckets)
    assert all((before.end_us or 0) < (after.start_us or 0) for before, after in pairwise(windows))


# Durations in bins


@given(st.one_of(st.integers(0, 1000), st.integers(0, DURATION_LIMIT_US)))
@settings(max_examples=scaled(500))
def test_a_bin_is_at_most_one_percent_away(duration_us: int) -> None:
    """What stands for a bin is within 1 % of every duration in it."""
    number = bin_of(duration_us)
    assert bin_lows()[number] <= duration_us < bin_lows()[number + 1]
    assert abs(duration_of(number) - duration_us) * 100 <= duration_us


@given(st.lists(st.integers(0, DURATION_LIMIT_US), min_size=1, max_size=200))
def test_ranks_from_bins_are_in_the_bins_of_the_true_ranks(durations: list[int]) -> None:
    """Each percentile from bins stands for the bin that the true nearest rank is in."""
    ordered = sorted(durations)
    true = [ordered[-(-percent * len(ordered) // 100) - 1] for percent in (50, 95, 99)]
    found = nearest_ranks(Counter(map(bin_of, durations)), (50, 95, 99))
    assert found == [duration_of(bin_of(duration)) for duration in true]


def test_percentiles_of_a_long_period_are_within_one_percent(database: Database) -> None:
    """Beyond the limit of exact answers percentiles come from bins, as a whole, by agent and for one agent; at an odd
    edge and with executions that wait they still count everything; a short period is exact."""
    chance = random.Random(5)
    executions = [
        an_execution(
            timestamp_us=NOON_US + number * 86_400_000,
            agent_name=f"agent-{number % 3}",
            duration_us=None if number % 50 == 0 else int(chance.lognormvariate(15, 1)),
        )
        for number in range(queries.EXACT_LIMIT + 2000)
    ]
    store = Store(database)
    store.add(executions[:-50])
    store.add(executions[-50:])
    window = Window(NOON_US + 12_345_678, NOON_US + (queries.EXACT_LIMIT + 1500) * 86_400_000)
    for chosen in (Filter(), Filter(window), Filter(window, ("agent-1",))):
        inside = [
            found
            for found in executions
            if (chosen.window.start_us or 0) <= found.timestamp_us < (chosen.window.end_us or LATEST_US)
            and (not chosen.agents or found.agent_name in chosen.agents)
        ]
        with database.read() as connection:
            whole, is_exact = queries.percentiles(connection, chosen)
            by_agent, _ = queries.percentiles_by(connection, chosen, "agent_name")
        assert not is_exact
        assert_close(whole, [found.duration_us for found in inside if found.duration_us is not None])
        assert by_agent.keys() == {found.agent_name for found in inside}
        for agent, percentiles in by_agent.items():
            own = [found.duration_us for found in inside if found.agent_name == agent]
            assert_close(percentiles, [duration for duration in own if duration is not None])
    with database.read() as connection:
        short = Filter(Window(NOON_US, NOON_US + 40 * DAY_US // 10))
        ranked, is_exact = queries.percentiles(connection, short)
    assert is_exact
    ordered = sorted(found.duration_us for found in executions[:4000] if found.duration_us is not None)
    assert ranked.p95_us == ordered[-(-95 * len(ordered) // 100) - 1]


def assert_close(found: Percentiles, durations: list[int]) -> None:
    """Each percentile is within 1 % of the true one."""
    ordered = sorted(durations)
    for percent, value in ((50, found.p50_us), (95, found.p95_us), (99, found.p99_us)):
        true = ordered[-(-percent * len(ordered) // 100) - 1]
        assert value is not None
        assert abs(value - true) * 100 <= true
