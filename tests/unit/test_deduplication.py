"""What a later observation, or a reported usage, changes about an execution."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.executions.deduplication import LONGEST_PAUSE_US, OUTPUT_LIMIT, ReportedUsage, apply_report, merge
from claude_force.executions.record import DURATION_LIMIT_US, PROVISIONAL, ExecutionRow, column, to_row
from tests.builders import NOON_US, an_execution

UID = "019a81ea-e083-7c55-8f02-3a1f0d9c4b11"


def a_row(**changes: Any) -> ExecutionRow:
    """The row of an execution with a fixed uid, with changes."""
    return to_row(an_execution(uid=UID, **changes))


def field(row: ExecutionRow, name: str) -> Any:
    """The value of a field."""
    return row[column(name)]


@pytest.mark.parametrize(
    ("basis", "seen_basis"),
    [(None, None), (None, PROVISIONAL), (None, "task_result"), ("task_result", PROVISIONAL)],
)
def test_a_final_usage_never_changes(basis: str | None, seen_basis: str | None) -> None:
    """A copy, or a file that was truncated or rewritten, does not change an execution whose usage is final."""
    known = a_row(usage_basis=basis)
    seen = a_row(output_tokens=9999, cost_nanousd=1, timestamp_us=NOON_US + 5, usage_basis=seen_basis)
    assert merge(known, seen, is_continuation=False) is known


def test_a_continuation_lets_a_usage_grow() -> None:
    """The larger usage replaces the other with its cost, and the execution ends at its last line."""
    known = a_row(output_tokens=5, cost_nanousd=10, duration_us=1_000)
    seen = a_row(output_tokens=50, cost_nanousd=100, timestamp_us=NOON_US + 300, duration_us=None, task_hash="other")
    found = merge(known, seen, is_continuation=True)
    assert [field(found, name) for name in ("output_tokens", "cost_nanousd", "duration_us", "timestamp_us")] == [
        50, 100, 1_300, NOON_US + 300,
    ]  # fmt: skip
    assert field(found, "task_hash") == field(known, "task_hash")


def test_a_continuation_never_lets_a_usage_shrink() -> None:
    """A last line with less output only makes the response longer."""
    known = a_row(output_tokens=59)
    found = merge(known, a_row(output_tokens=1, timestamp_us=NOON_US + 7), is_continuation=True)
    assert field(found, "output_tokens") == 59
    assert field(found, "timestamp_us") == NOON_US + 7


def test_a_line_an_hour_later_is_not_of_this_response() -> None:
    """Its timestamp therefore never moves by days; and its duration stays within what a record can hold."""
    known = a_row(duration_us=DURATION_LIMIT_US - 5)
    assert merge(known, a_row(timestamp_us=NOON_US + LONGEST_PAUSE_US + 1), is_continuation=True) is known
    found = merge(known, a_row(timestamp_us=NOON_US + LONGEST_PAUSE_US), is_continuation=True)
    assert field(found, "duration_us") == DURATION_LIMIT_US


@pytest.mark.parametrize("is_continuation", [True, False])
def test_a_final_usage_replaces_a_provisional_one(is_continuation: bool) -> None:
    """In a continuation or a copy, and also if it is smaller."""
    known = a_row(output_tokens=5, usage_basis=PROVISIONAL)
    found = merge(known, a_row(output_tokens=2), is_continuation=is_continuation)
    assert (field(found, "output_tokens"), field(found, "usage_basis")) == (2, None)


@pytest.mark.parametrize("basis", ["task_notification", "task_result"])
def test_the_final_usage_of_its_own_file_is_most_certain(basis: str) -> None:
    """It replaces a reported usage, in a continuation or a copy, and also if it is smaller."""
    found = merge(a_row(output_tokens=4990, usage_basis=basis), a_row(output_tokens=30), is_continuation=False)
    assert (field(found, "output_tokens"), field(found, "usage_basis")) == (30, None)


@pytest.mark.parametrize("is_continuation", [True, False])
def test_a_provisional_usage_never_replaces_a_final_one(is_continuation: bool) -> None:
    """However large it is."""
    known = a_row(output_tokens=5)
    assert merge(known, a_row(output_tokens=500, usage_basis=PROVISIONAL), is_continuation=is_continuation) == known


def test_a_continuation_may_bring_the_first_usage() -> None:
    """If the first line of a response has no usage, that of a later line is taken; an unknown usage replaces none."""
    unknown, known = a_row(input_tokens=None, output_tokens=None), a_row(output_tokens=7)
    assert field(merge(unknown, known, is_continuation=True), "output_tokens") == 7
    assert merge(known, unknown, is_continuation=True) is known
    assert merge(unknown, known, is_continuation=False) is unknown


def a_report(**changes: Any) -> ReportedUsage:
    """A report about a run whose last prompt had 1234 tokens."""
    values: dict[str, Any] = {
        "run_id": "a1", "basis": "task_result", "until_us": NOON_US, "since_us": 0, "total_tokens": 2000,
        "prompt_tokens": 1234, "output_tokens": 766,
    }  # fmt: skip
    return ReportedUsage(**(values | changes))


def test_a_report_gives_the_output_of_the_last_response() -> None:
    """Directly, or as the rest of a sum of tokens. `usage_basis` names the kind of report."""
    run = [a_row(usage_basis=PROVISIONAL, output_tokens=1), a_row(usage_basis=PROVISIONAL, output_tokens=3)]
    by_result = apply_report(a_report(), run)
    by_sum = apply_report(a_report(basis="task_notification", prompt_tokens=None, output_tokens=None), run)
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
def test_a_report_about_another_response_is_ignored(changes: dict[str, Any]) -> None:
    """Its prompt differs, its output is less than was observed or more than any model gives, or it came too late."""
    assert apply_report(a_report(**changes), [a_row(usage_basis=PROVISIONAL, output_tokens=3)]) is None


def test_a_report_changes_no_final_usage() -> None:
    """And nothing in a run without a response."""
    assert apply_report(a_report(), [a_row()]) is None
    assert apply_report(a_report(), []) is None
