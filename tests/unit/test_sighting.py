"""What two sightings of one response come to, and what a report makes of an execution."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.executions.deduplication import LONGEST_PAUSE_US, OUTPUT_LIMIT, ReportedUsage, merged, reported
from claude_force.executions.record import DURATION_LIMIT_US, PROVISIONAL, ExecutionRow, column, to_row
from tests.builders import NOON_US, an_execution

UID = "019a81ea-e083-7c55-8f02-3a1f0d9c4b11"


def a_row(**changes: Any) -> ExecutionRow:
    """A row of one and the same execution, with changes."""
    return to_row(an_execution(uid=UID, **changes))


def field(row: ExecutionRow, name: str) -> Any:
    """A value of a row by its name."""
    return row[column(name)]


@pytest.mark.parametrize(
    ("basis", "seen_basis"),
    [(None, None), (None, PROVISIONAL), (None, "task_result"), ("task_result", PROVISIONAL)],
)
def test_a_final_figure_does_not_move(basis: str | None, seen_basis: str | None) -> None:
    """A copy, a shortened or a rewritten file changes nothing about an execution whose usage is final."""
    known = a_row(usage_basis=basis)
    seen = a_row(output_tokens=9999, cost_nanousd=1, timestamp_us=NOON_US + 5, usage_basis=seen_basis)
    assert merged(known, seen, goes_on=False) is known


def test_a_file_that_goes_on_lets_a_usage_grow() -> None:
    """The larger usage is taken whole, with its cost, and the execution ends with its last line."""
    known = a_row(output_tokens=5, cost_nanousd=10, duration_us=1_000)
    seen = a_row(output_tokens=50, cost_nanousd=100, timestamp_us=NOON_US + 300, duration_us=None, task_hash="other")
    found = merged(known, seen, goes_on=True)
    assert [field(found, name) for name in ("output_tokens", "cost_nanousd", "duration_us", "timestamp_us")] == [
        50, 100, 1_300, NOON_US + 300,
    ]  # fmt: skip
    assert field(found, "task_hash") == field(known, "task_hash")


def test_a_file_that_goes_on_never_lets_a_usage_shrink() -> None:
    """A trailing line with less output only tells that the response took longer."""
    known = a_row(output_tokens=59)
    found = merged(known, a_row(output_tokens=1, timestamp_us=NOON_US + 7), goes_on=True)
    assert field(found, "output_tokens") == 59
    assert field(found, "timestamp_us") == NOON_US + 7


def test_a_line_that_comes_too_late_is_of_something_else() -> None:
    """The lines of a response are never an hour apart, so a figure never moves by days; nor does a duration pass what a
    record can hold."""
    known = a_row(duration_us=DURATION_LIMIT_US - 5)
    assert merged(known, a_row(timestamp_us=NOON_US + LONGEST_PAUSE_US + 1), goes_on=True) is known
    found = merged(known, a_row(timestamp_us=NOON_US + LONGEST_PAUSE_US), goes_on=True)
    assert field(found, "duration_us") == DURATION_LIMIT_US


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_final_usage_replaces_a_provisional_one(goes_on: bool) -> None:
    """Wherever it is seen, also when it is smaller than a placeholder was."""
    known = a_row(output_tokens=5, usage_basis=PROVISIONAL)
    found = merged(known, a_row(output_tokens=2), goes_on=goes_on)
    assert (field(found, "output_tokens"), field(found, "usage_basis")) == (2, None)


@pytest.mark.parametrize("basis", ["task_notification", "task_result"])
def test_the_final_usage_of_its_own_source_is_surest(basis: str) -> None:
    """It replaces what others told, wherever it is seen and however small it is."""
    found = merged(a_row(output_tokens=4990, usage_basis=basis), a_row(output_tokens=30), goes_on=False)
    assert (field(found, "output_tokens"), field(found, "usage_basis")) == (30, None)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_provisional_usage_never_replaces_a_final_one(goes_on: bool) -> None:
    """However large it is."""
    known = a_row(output_tokens=5)
    assert merged(known, a_row(output_tokens=500, usage_basis=PROVISIONAL), goes_on=goes_on) == known


def test_a_usage_that_becomes_known_is_taken_where_the_file_goes_on() -> None:
    """A response whose first line had no usage gets that of a later line; a usage that is unknown replaces none."""
    unknown, known = a_row(input_tokens=None, output_tokens=None), a_row(output_tokens=7)
    assert field(merged(unknown, known, goes_on=True), "output_tokens") == 7
    assert merged(known, unknown, goes_on=True) is known
    assert merged(unknown, known, goes_on=False) is unknown


def a_report(**changes: Any) -> ReportedUsage:
    """What a parent was told of a run whose last prompt had 1234 tokens."""
    values: dict[str, Any] = {
        "run_id": "a1", "basis": "task_result", "until_us": NOON_US, "since_us": 0, "total_tokens": 2000,
        "prompt_tokens": 1234, "output_tokens": 766,
    }  # fmt: skip
    return ReportedUsage(**(values | changes))


def test_a_report_tells_the_output_of_the_last_response_of_its_run() -> None:
    """By itself, or as what is left of a sum of tokens; the execution names the record that told."""
    run = [a_row(usage_basis=PROVISIONAL, output_tokens=1), a_row(usage_basis=PROVISIONAL, output_tokens=3)]
    by_result = reported(a_report(), run)
    by_sum = reported(a_report(basis="task_notification", prompt_tokens=None, output_tokens=None), run)
    assert by_result is not None
    assert by_sum is not None
    assert (field(by_result, "output_tokens"), field(by_result, "usage_basis")) == (766, "task_result")
    assert (field(by_sum, "output_tokens"), field(by_sum, "usage_basis")) == (766, "task_notification")


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt_tokens": 1235},
        {"output_tokens": 2},
        {"output_tokens": OUTPUT_LIMIT + 1},
        {"prompt_tokens": None, "output_tokens": None, "total_tokens": 1236},
        {"prompt_tokens": None, "output_tokens": None, "total_tokens": 1234 + OUTPUT_LIMIT + 1},
        {"until_us": NOON_US + 601_000_000},
        {"basis": "task_notification", "until_us": NOON_US + 121_000_000},
    ],
)
def test_a_report_of_another_response_tells_nothing(changes: dict[str, Any]) -> None:
    """One whose prompt is not the same, whose output is less than what was seen or more than a model gives, or which
    came long after the last response that was read."""
    assert reported(a_report(**changes), [a_row(usage_basis=PROVISIONAL, output_tokens=3)]) is None


def test_a_report_changes_nothing_that_is_final() -> None:
    """Nor a run that has no response yet."""
    assert reported(a_report(), [a_row()]) is None
    assert reported(a_report(), []) is None
