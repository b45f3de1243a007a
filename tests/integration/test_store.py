"""Adding, repricing and deleting, on both engines."""

from __future__ import annotations

from dataclasses import replace

from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.database.writes.executions import insert_alone
from claude_force.executions.record import COST_GIVEN, to_row
from claude_force.executions.totals import Added
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution


def test_a_record_comes_back_as_it_was(store: Store, database: Database) -> None:
    """Every field comes back from the database as it was."""
    record = an_execution(
        cache_read_tokens=1,
        cache_write_5m_tokens=2,
        cache_write_1h_tokens=3,
        price_version="0.2.3",
        error_type="TimeoutError",
        success=False,
        workflow_id="flow é 漢",
        workflow_position=4,
        source="jsonl",
        host="box",
        project="/srv/app",
        run_id="r1",
    )
    assert store.add([record]) == Added(1, 0)
    assert list(queries.iterate(database, Filter())) == [record]


def test_adding_twice_adds_once(store: Store, database: Database) -> None:
    """A uid that is stored is a duplicate, also within one call."""
    first, second = an_execution(), an_execution(timestamp_us=NOON_US + 1)
    assert store.add([first, second, first]) == Added(2, 1)
    assert store.add([second]) == Added(0, 1)
    assert list(queries.iterate(database, Filter())) == [first, second]


def test_an_engine_that_can_stores_an_execution_in_one_go(store: Store, database: Database) -> None:
    """Once its series is known, also where that has no project."""
    for project in (None, "/srv/app"):
        store.add([an_execution(project=project)])
        row = to_row(an_execution(project=project, timestamp_us=NOON_US + 1))
        assert insert_alone(database, row) == database.writes_together
        assert store.add_rows([row]) == Added(not database.writes_together, database.writes_together)


def test_nothing_to_add_is_no_write(store: Store, database: Database) -> None:
    """Adding no records changes nothing and creates no file."""
    assert store.add([]) == Added(0, 0)


def test_unknown_values_stay_unknown(store: Store, database: Database) -> None:
    """None is stored as null and comes back as None, never as 0."""
    record = an_execution(
        duration_us=None, input_tokens=None, output_tokens=None, cost_nanousd=None, reference_cost_nanousd=None
    )
    store.add([record])
    assert list(queries.iterate(database, Filter())) == [record]


def test_repricing_changes_only_costs_that_differ(store: Store, database: Database) -> None:
    """A new cost replaces the stored one; equal costs, missing costs and unknown uids change nothing."""
    stored = an_execution(cost_nanousd=3)
    store.add([stored])
    dearer = an_execution(uid=stored.uid, cost_nanousd=3000, price_version="x")
    stranger = an_execution(cost_nanousd=1)
    assert store.reprice([to_row(dearer), to_row(stranger)]) == 1
    assert store.reprice([to_row(dearer)]) == 0
    assert store.reprice([to_row(an_execution(uid=stored.uid, cost_nanousd=None))]) == 0
    kept = replace(dearer, recorded_cost_nanousd=3, recorded_basis=COST_GIVEN)
    assert list(queries.iterate(database, Filter())) == [kept]


def test_deleting_a_window_keeps_its_end(store: Store, database: Database) -> None:
    """A window is half-open: an execution exactly at its end stays."""
    old, edge = an_execution(timestamp_us=NOON_US - 1), an_execution(timestamp_us=NOON_US)
    store.add([old, edge])
    assert store.delete(Window(None, NOON_US)) == 1
    assert list(queries.iterate(database, Filter())) == [edge]


def test_iteration_is_in_order_across_pages(store: Store, database: Database) -> None:
    """More executions than a page, many at the same instant: each is seen once, oldest first."""
    records = [an_execution(timestamp_us=NOON_US + index // 3000) for index in range(2 * queries.PAGE + 7)]
    store.add(records)
    seen = list(queries.iterate(database, Filter()))
    assert len(seen) == len(records)
    assert {record.uid for record in seen} == {record.uid for record in records}
    assert [record.timestamp_us for record in seen] == sorted(record.timestamp_us for record in records)
