"""Storing observations of responses, on both engines: which execution each belongs to, and its roll-ups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, IngestResult, Store
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics, ExecutionRow, to_row
from tests.builders import NOON_US, an_execution, key


def seen(name: str, *, record: ExecutionMetrics | None = None, **options: Any) -> Observation:
    """An observation of the response with this identity."""
    return Observation(to_row(record or an_execution()), (key(name),), **options)


def a_cursor(**changes: Any) -> Cursor:
    """How far some file was read."""
    values: dict[str, Any] = {
        "host": "h", "path": "/p", "source": "claude-code", "device": 1, "inode": 2, "size": 3, "mtime_ns": 4,
        "position": 3, "head": "a", "tail": "b",
    }  # fmt: skip
    return Cursor(**(values | changes))


def all_of(database: Database) -> list[ExecutionMetrics]:
    """Every execution, after a check that the roll-ups equal them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return list(queries.iterate(database, Filter()))


def test_an_identity_is_one_execution(store: Store, database: Database) -> None:
    """Within one call and in a later one, whatever uid the observation has."""
    assert store.ingest([seen("a"), seen("a"), seen("b")], []) == IngestResult(2, 1, 0)
    assert store.ingest([seen("a"), seen("c")], []) == IngestResult(1, 1, 0)
    assert len(all_of(database)) == 3


def test_one_known_identity_is_enough(store: Store, database: Database) -> None:
    """The other identities are then known, too."""
    row = to_row(an_execution())
    store.ingest([Observation(row, (key("a"), key("b")))], [])
    assert store.ingest([Observation(row, (key("x"), key("b")))], []) == IngestResult(0, 1, 0)
    assert store.ingest([seen("x")], []) == IngestResult(0, 1, 0)


@pytest.mark.parametrize("counted", [True, False])
def test_a_usage_that_grows_changes_row_and_roll_ups(store: Store, database: Database, counted: bool) -> None:
    """Also if it then ends on another day, and whether or not it was rolled up already."""
    others = [seen(f"other {number}") for number in range(DIRECT_ROLLUP_ROWS if counted else 1)]
    late_us = (NOON_US // DAY_US + 1) * DAY_US - 10
    before = an_execution(
        timestamp_us=late_us, output_tokens=1, cost_nanousd=5, duration_us=10, usage_basis=PROVISIONAL
    )
    store.ingest([seen("a", record=before), *others], [])
    after = an_execution(output_tokens=900, cost_nanousd=50, timestamp_us=late_us + 20, duration_us=None)
    assert store.ingest([seen("a", record=after, from_us=late_us)], []) == IngestResult(0, 1, 1)
    found = {record.uid: record for record in all_of(database)}[before.uid]
    assert found == replace(
        before,
        output_tokens=900,
        cost_nanousd=50,
        timestamp_us=late_us + 20,
        duration_us=30,
        usage_basis=None,
    )
    assert store.ingest([seen("a", record=after, from_us=late_us + 20)], []) == IngestResult(0, 1, 0)


def test_many_changes_keep_the_roll_ups_equal_to_the_rows(store: Store, database: Database) -> None:
    """A month of provisional usages that become final in one call, failures among them."""
    before = [
        an_execution(
            timestamp_us=NOON_US + number * DAY_US // 5,
            output_tokens=1,
            usage_basis=PROVISIONAL,
            success=number % 3 > 0,
            error_type=None if number % 3 else "rate_limit",
        )
        for number in range(150)
    ]
    store.ingest([seen(str(number), record=record) for number, record in enumerate(before)], [])
    after = [replace(record, output_tokens=70, usage_basis=None) for record in before]
    taken = store.ingest([seen(str(number), record=record) for number, record in enumerate(after)], [])
    assert taken == IngestResult(0, 150, 150)
    assert {record.output_tokens for record in all_of(database)} == {70}


def test_the_main_conversation_wins_over_its_replay(store: Store, database: Database) -> None:
    """It shares no identity with the original, only the message within the session; either may come first."""
    main: dict[str, Any] = {"shared": (key("main"),), "other_side": (key("side"),)}
    side: dict[str, Any] = {"shared": (key("side"),), "other_side": (key("main"),), "is_sidechain": True}
    original, replay = an_execution(output_tokens=10), an_execution(output_tokens=99, agent_name="x")
    store.ingest([seen("r", record=replay, **side), seen("o", record=original, **main)], [])
    assert [record.output_tokens for record in all_of(database)] == [10]
    assert store.ingest([seen("r2", record=replay, **side)], []) == IngestResult(0, 1, 0)
    longer = replace(replay, output_tokens=500, timestamp_us=NOON_US + 9)
    for name in ("r", "r2"):
        assert store.ingest([seen(name, record=longer, from_us=NOON_US)], []) == IngestResult(0, 1, 0)
    assert [record.output_tokens for record in all_of(database)] == [10]


def test_an_original_that_comes_later_replaces_what_was_not_final(store: Store, database: Database) -> None:
    """A replay that was stored first keeps its uid; its usage becomes that of the main conversation."""
    replay = an_execution(output_tokens=3, usage_basis=PROVISIONAL, agent_name="x")
    store.ingest([seen("r", record=replay, shared=(key("side"),), other_side=(key("main"),), is_sidechain=True)], [])
    original = an_execution(output_tokens=300)
    taken = store.ingest([seen("o", record=original, shared=(key("main"),), other_side=(key("side"),))], [])
    assert taken == IngestResult(0, 1, 1)
    assert [record.output_tokens for record in all_of(database)] == [300]


@pytest.mark.parametrize("basis", [None, PROVISIONAL])
def test_the_order_of_copies_does_not_matter(store: Store, database: Database, basis: str | None) -> None:
    """Of copies that are equally new, the largest usage counts."""
    store.ingest([seen("a", record=an_execution(output_tokens=count, usage_basis=basis)) for count in (5, 50, 7)], [])
    assert [record.output_tokens for record in all_of(database)] == [50]


def test_the_largest_provisional_usage_counts(store: Store, database: Database) -> None:
    """Of provisional usages the largest counts, in whichever pass it is read."""
    for count in (5, 50, 7):
        store.ingest([seen("a", record=an_execution(output_tokens=count, usage_basis=PROVISIONAL))], [])
    assert [record.output_tokens for record in all_of(database)] == [50]


def test_a_message_that_several_responses_share_identifies_none(store: Store, database: Database) -> None:
    """Behind a gateway that repeats message ids, responses of a sub-agent do not count as replays."""
    main: dict[str, Any] = {"shared": (key("main"),), "other_side": (key("side"),)}
    side: dict[str, Any] = {"shared": (key("side"),), "other_side": (key("main"),), "is_sidechain": True}
    store.ingest([seen("m1", **main), seen("m2", **main)], [])
    assert store.ingest([seen("s1", **side), seen("s2", **side)], []) == IngestResult(2, 0, 0)
    assert len(all_of(database)) == 4


def test_what_was_deleted_is_not_added_again(store: Store, database: Database) -> None:
    """An identity outlives its execution, so a copy of its transcript does not bring it back."""
    store.ingest([seen("a")], [])
    store.delete(queries.Filter().window)
    assert store.ingest([seen("a")], []) == IngestResult(0, 1, 0)
    assert all_of(database) == []


def test_cursors_are_kept_with_the_rows(store: Store, database: Database) -> None:
    """The last cursor of a file counts; files of other hosts are separate."""
    here, there = a_cursor(inode=2**62, problem="gone", skipped='{"x": 1}'), a_cursor(host="other")
    store.ingest([seen("a")], [a_cursor(position=1), here, there])
    store.add_rows([to_row(an_execution())], None, a_cursor(path="/q"))
    store.add_rows([], None, a_cursor(path="/r"))
    with database.read() as connection:
        assert file_queries.cursors(connection, "h") == [here, a_cursor(path="/q"), a_cursor(path="/r")]
        assert file_queries.cursors(connection)[-1] == there


def priced(row: ExecutionRow) -> ExecutionRow:
    """A row that costs nothing but is otherwise as it was."""
    return row


def a_report(**changes: Any) -> ReportedUsage:
    """The usage of the last response of run a1."""
    values: dict[str, Any] = {
        "run_id": "a1", "basis": "task_result", "until_us": NOON_US + 1000, "since_us": NOON_US - 1000,
        "total_tokens": 1300, "prompt_tokens": 1234, "output_tokens": 66, "read_us": NOON_US,
    }  # fmt: skip
    return ReportedUsage(**(values | changes))


def test_a_report_waits_for_its_response(store: Store, database: Database) -> None:
    """It is applied once, when the response is stored, whichever of two records reported it."""
    store.ingest([], [], [a_report(), a_report(basis="task_notification", prompt_tokens=None, output_tokens=None)])
    assert store.apply_reported_usage(priced, {"a1"}, NOON_US) == 0
    first = an_execution(run_id="a1", timestamp_us=NOON_US - 10, output_tokens=2, usage_basis=PROVISIONAL)
    last = an_execution(run_id="a1", output_tokens=3, usage_basis=PROVISIONAL)
    other = an_execution(run_id="a2", timestamp_us=NOON_US + 5, output_tokens=4, usage_basis=PROVISIONAL)
    store.ingest([seen("1", record=first), seen("2", record=last), seen("3", record=other)], [])
    assert store.apply_reported_usage(priced, {"a2"}, NOON_US) == 0
    assert store.apply_reported_usage(priced, {"a1"}, NOON_US) == 1
    assert store.apply_reported_usage(priced, {"a1"}, NOON_US) == 0
    assert [(record.output_tokens, record.usage_basis) for record in all_of(database)] == [
        (2, PROVISIONAL), (66, "task_result"), (4, PROVISIONAL),
    ]  # fmt: skip
    with database.read() as connection:
        assert file_queries.reported(connection) == 0


@pytest.mark.parametrize("last_is_final", [True, False])
def test_a_report_of_a_final_response_is_deleted(last_is_final: bool, store: Store, database: Database) -> None:
    """Only the last response of the run counts, whether or not an earlier one is final. A report that fits no response
    yet is kept."""
    first = an_execution(run_id="a1", timestamp_us=NOON_US - 10, usage_basis=PROVISIONAL if last_is_final else None)
    last = an_execution(run_id="a1", usage_basis=None if last_is_final else PROVISIONAL)
    store.ingest([seen("1", record=first), seen("2", record=last)], [], [a_report(prompt_tokens=99)])
    assert store.apply_reported_usage(priced, {"a1"}, NOON_US) == 0
    with database.read() as connection:
        assert file_queries.reported(connection) == (0 if last_is_final else 1)


def test_a_report_without_a_response_is_deleted(store: Store, database: Database) -> None:
    """After two days."""
    store.ingest([], [], [a_report()])
    store.apply_reported_usage(priced, {"a1"}, NOON_US + 2 * DAY_US + 2000)
    with database.read() as connection:
        assert file_queries.reported(connection) == 0
