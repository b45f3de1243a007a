"""Reports by host and by user say what the rows say, whatever happened to the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import DAY_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, SERIES
from claude_force.database.writes import Store
from claude_force.database.writes.executions import revise_rows
from claude_force.executions.histogram import bins_of
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, from_row, to_row
from claude_force.time_windows import ALL_TIME, Window
from tests.builders import NOON_US
from tests.profiles import scaled
from tests.properties.strategies import instants, known_cost, on_both_engines, refill
from tests.properties.test_rollups import assert_proven, histories, in_bulk

EVENTS = ("record", "import", "user", "host", "reprice", "archive", "restore", "delete")
NAMES: tuple[Dimension, ...] = ("host", "user_name")
GROUPS: tuple[tuple[Dimension, ...], ...] = (("host",), ("user_name",), NAMES, ("user_name", "agent_name"))

Names = tuple[str | None, ...]
Figures = tuple[int, int, int, int]
"""Executions, successes, input tokens and cost."""


def stored(connection: Connection) -> list[ExecutionRow]:
    """Every row that is stored."""
    sql = f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} ORDER BY timestamp_us, executions.uid"
    return [tuple(row) for row in connection.fetch(sql)]


def happens(database: Database, event: str, more: list[ExecutionMetrics], kept: list[ExecutionRow]) -> None:
    """Something changes about a half of the rows. `kept` are those that were archived."""
    store = Store(database)
    with database.read() as connection:
        half = stored(connection)[::2]
    match event:
        case "record":
            store.add(more[:1])
        case "import":
            store.add(in_bulk(more))
        case "user" | "host":
            records = list(map(from_row, half))
            if event == "user":
                changed = [replace(record, user_name="grace") for record in records]
            else:
                changed = [replace(record, host="another") for record in records]
            after = [(row[0], *to_row(record)[1:]) for row, record in zip(half, changed, strict=True)]
            with database.write() as connection:
                connection.lock_rollups()
                revise_rows(connection, half, after)
        case "reprice":
            store.reprice([(row[0], *to_row(replace(from_row(row), cost_nanousd=7))[1:]) for row in half])
        case "archive":
            store.archive(half, NOON_US)
            kept += half
        case "restore":
            store.restore(kept[::2])
        case "delete" if half:
            first_us = from_row(half[0]).timestamp_us
            store.delete(Window(first_us, first_us + DAY_US))


def figures(records: Iterable[ExecutionMetrics]) -> Figures:
    """The sums of records, by hand."""
    every = list(records)
    return (
        len(every),
        sum(record.success for record in every),
        sum(record.input_tokens or 0 for record in every),
        sum(map(known_cost, every)),
    )


def grouped(records: Iterable[ExecutionMetrics], dimensions: tuple[Dimension, ...]) -> Mapping[Names, Figures]:
    """The sums of records by their names."""
    groups: defaultdict[Names, list[ExecutionMetrics]] = defaultdict(list)
    for record in records:
        groups[tuple(getattr(record, name) for name in dimensions)].append(record)
    return {names: figures(found) for names, found in groups.items()}


@given(
    first=histories,
    more=histories,
    events=st.lists(st.sampled_from(EVENTS), max_size=6),
    edges=st.tuples(instants, instants).map(sorted),
)
@settings(on_both_engines, max_examples=scaled(20))
def test_hosts_and_users_are_what_the_rows_come_to(
    database: Database,
    first: list[ExecutionMetrics],
    more: list[ExecutionMetrics],
    events: list[str],
    edges: list[int],
) -> None:
    """By one, by both, of one host or one user, also by agent, in any period; and their durations."""
    refill(database, first)
    Store(database).add(in_bulk(first))
    kept: list[ExecutionRow] = []
    for event in events:
        happens(database, event, more, kept)
    with database.read() as connection:
        every = list(map(from_row, stored(connection)))
        for window in (ALL_TIME, Window(edges[0], edges[1]), Window(None, edges[0])):
            start, end = window.start_us or 0, LATEST_US if window.end_us is None else window.end_us
            inside = [record for record in every if start <= record.timestamp_us < end]
            assert_groups(connection, Filter(window), inside)
            for user in sorted({record.user_name for record in inside if record.user_name})[:2]:
                of_user = [record for record in inside if record.user_name == user]
                assert_groups(connection, Filter(window, users=(user,)), of_user)
            for host in sorted({record.host for record in inside if record.host})[:1]:
                of_host = [record for record in inside if record.host == host]
                assert_groups(connection, Filter(window, hosts=(host,)), of_host)
    assert_proven(database)


def assert_groups(connection: Connection, chosen: Filter, records: list[ExecutionMetrics]) -> None:
    """The store says of a filter what its records come to."""
    for dimensions in GROUPS:
        wanted = grouped(records, dimensions)
        found = queries.totals_by(connection, chosen, *dimensions)
        # A model that only took steps of others' executions has sums without any.
        assert {
            names: (sums.executions, sums.successes, sums.input_tokens, sums.cost_nanousd)
            for names, sums in found.items()
            if sums.executions
        } == wanted
    for name in NAMES:
        durations: defaultdict[Names, list[int]] = defaultdict(list)
        for record in records:
            if record.duration_us is not None:
                durations[(getattr(record, name),)].append(record.duration_us)
        expected = {names: bins_of(values) for names, values in durations.items()}
        assert queries.durations_by(connection, chosen, name) == expected
