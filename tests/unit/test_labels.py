"""Short labels of projects, models and workflows."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.analytics.labels import model_labels, project_labels, short_ids, workflow_labels
from claude_force.executions.totals import WorkflowStart
from claude_force.reports.layouts.notes import join_names
from tests.builders import NOON_US

SESSION = "1b2c3d4e-0000-4000-8000-000000000001"


def test_a_project_has_its_folder_as_label() -> None:
    """The shortest unique end of its path: mostly one folder, two if two projects have the same folder name."""
    paths = ["/home/ada/work/app", "/home/ada/play/app", "/srv/site", r"C:\code\tool"]
    assert project_labels(paths) == {
        "/home/ada/work/app": "work/app",
        "/home/ada/play/app": "play/app",
        "/srv/site": "site",
        r"C:\code\tool": "tool",
    }


def test_a_path_that_others_end_with_keeps_its_whole_path() -> None:
    """No end of it is unique. A name that is not a path stays unchanged."""
    assert project_labels(["/app", "/work/app", "/"]) == {"/app": "/app", "/work/app": "work/app", "/": "/"}


@given(st.sets(st.lists(st.sampled_from("abc"), max_size=5).map(lambda steps: "/" + "/".join(steps))))
def test_labels_are_unique(paths: set[str]) -> None:
    """For any set of paths."""
    labels = project_labels(paths)
    assert set(labels) == paths
    assert len(set(labels.values())) == len(paths)


def test_a_session_has_its_start_and_folder_as_label() -> None:
    """The start is in the zone of the report. Other workflows have no label."""
    began = {
        SESSION: WorkflowStart(NOON_US, "/home/ada/app", "claude-code", SESSION),
        "bug-fix": WorkflowStart(NOON_US, "/home/ada/app", "tracker", "bug-fix"),
    }
    assert workflow_labels(began, UTC) == {SESSION: "2025-11-01 12:26 1b2c3d4e app"}
    assert workflow_labels(began, ZoneInfo("Asia/Kolkata")) == {SESSION: "2025-11-01 17:56 1b2c3d4e app"}


def test_a_session_without_a_folder_has_none() -> None:
    """The label has no trailing space and no "unknown"."""
    assert workflow_labels({SESSION: WorkflowStart(NOON_US, None, "claude-code", SESSION)}, UTC) == {
        SESSION: "2025-11-01 12:26 1b2c3d4e"
    }


def test_names_are_listed_as_far_as_they_fit() -> None:
    """At least one name, and the number of the rest."""
    assert join_names(["one", "two"], 80) == "one, two"
    assert join_names(["one", "two", "three"], 14) == "one and 2 more"
    assert join_names(["one", "two", "three", "four"], 20) == "one, two and 2 more"
    assert join_names(["a-long-name"], 5) == "a-long-name"


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["claude-sonnet-4-5-20250929"], ["sonnet-4-5"]),
        (["claude-3-5-haiku-20241022", "claude-opus-5"], ["3-5-haiku", "opus-5"]),
        (["claude-opus-4-20250514", "claude-opus-4-20251101"], ["claude-opus-4-20250514", "claude-opus-4-20251101"]),
        (["claude-opus-4", "opus-4"], ["claude-opus-4", "opus-4"]),
        (["gpt-5", "unknown", ""], ["gpt-5", "unknown", ""]),
        (["claude-", "claude-2", "claude--20250101"], ["claude-", "claude-2", "claude--20250101"]),
    ],
)
def test_models_are_short_where_that_is_unambiguous(models: list[str], expected: list[str]) -> None:
    """Without the maker and the day of the version, unless two would be alike or nothing would be left."""
    assert list(model_labels(models).values()) == expected


def test_ids_are_short_and_chosen_names_are_whole() -> None:
    """What a program made is known by its beginning; a name that is cut says less."""
    names = {
        "1f4c5a0e-9b2d-4c1e-8f00-000000000001": "1f4c5a0e",
        "agent_0123456789abcdef": "agent_01",
        "full-stack-feature": "full-stack-feature",
        "release-2.1-candidate": "release-2.1-candidate",
        "a-name-that-is-so-long-that-no-table-has-room": "a-name-t",
    }
    assert short_ids(names) == names
    assert short_ids(["release-", "release-that-takes-more-than-a-line"]) == {
        "release-": "release-", "release-that-takes-more-than-a-line": "release-t",
    }  # fmt: skip
