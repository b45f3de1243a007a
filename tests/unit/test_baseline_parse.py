"""Baseline files: what is accepted, and what is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claude_force.analytics.baselines.parse import filters_in, parse_snapshot, read_file
from claude_force.analytics.baselines.rules import compare
from claude_force.errors import BaselineError
from claude_force.executions.histogram import bins_of

GUIDE: dict[str, Any] = {
    "period": "30 days",
    "total_executions": 5234,
    "success_rate": 95.3,
    "avg_execution_time_ms": 4123,
    "p50_latency_ms": 3245,
    "p95_latency_ms": 7890,
    "p99_latency_ms": 12345,
    "total_cost": 12.34,
    "avg_cost_per_execution": 0.00236,
    "avg_input_tokens": 1234,
    "avg_output_tokens": 567,
    "model_distribution": {"haiku": 67.3, "sonnet": 30.2, "opus": 2.5},
}
"""The example of the guide."""


def a_current(**changes: Any) -> dict[str, Any]:
    """The snapshot of a hundred executions of four seconds, 0.2 cents each, 95 of them successful."""
    return {
        "total_executions": 100,
        "success_rate": 95.0,
        "avg_execution_time_ms": 4000,
        "p95_latency_ms": 4000,
        "avg_cost_per_execution": 0.002,
        "duration_bins": {str(number): count for number, count in bins_of([4_000_000] * 100).items()},
        "cost_bins": {str(number): count for number, count in bins_of([2000] * 100).items()},
    } | changes


def verdicts(baseline: dict[str, Any], current: dict[str, Any]) -> dict[str, str]:
    """The verdict of each metric."""
    found = compare(parse_snapshot(baseline, "baseline.json"), parse_snapshot(current, "now"), 1.15)
    return {finding.key: finding.verdict for finding in found}


def test_the_guides_example_is_a_baseline(tmp_path: Path) -> None:
    """All four metrics are compared, although the file has no distributions."""
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(GUIDE), encoding="utf-8")
    assert set(verdicts(read_file(path), a_current()).values()) == {"ok"}


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        ({"avg_execution_time_ms": 3000}, "avg_execution_time_ms"),
        ({"p95_latency_ms": 3000}, "p95_latency_ms"),
        ({"avg_cost_per_execution": 0.001}, "avg_cost_per_execution"),
        ({"success_rate": 100.0}, "success_rate"),
    ],
)
def test_each_rule_finds_its_regression_without_distributions(change: dict[str, Any], metric: str) -> None:
    """No other metric regresses, with and without the number of executions."""
    current = a_current(success_rate=85.0) if metric == "success_rate" else a_current(success_rate=95.3)
    for baseline in (GUIDE | change, {key: value for key, value in (GUIDE | change).items() if key[:5] != "total"}):
        assert [key for key, verdict in verdicts(baseline, current).items() if verdict == "regressed"] == [metric]


def test_missing_metrics_are_not_compared() -> None:
    """A key may be missing, or null, as the summary writes it for an unknown value."""
    found = verdicts({"success_rate": 95.0, "avg_cost_per_execution": None}, a_current())
    assert found == {
        "avg_execution_time_ms": "not enough data",
        "p95_latency_ms": "not enough data",
        "success_rate": "ok",
        "avg_cost_per_execution": "not enough data",
    }


def test_fewer_than_thirty_executions_are_not_compared() -> None:
    """Neither in the baseline nor in the period."""
    assert set(verdicts(GUIDE | {"total_executions": 29}, a_current()).values()) == {"not enough data"}
    assert set(verdicts(GUIDE, a_current(total_executions=29)).values()) == {"not enough data"}


def test_a_baseline_of_zeros_is_compared() -> None:
    """A cost after a cost of 0 is a regression without a percentage."""
    zeros = dict.fromkeys(("success_rate", "avg_execution_time_ms", "p95_latency_ms", "avg_cost_per_execution"), 0)
    found = compare(parse_snapshot(zeros, "baseline.json"), parse_snapshot(a_current(), "now"), 1.15)
    assert [finding.verdict for finding in found] == ["regressed", "regressed", "ok", "regressed"]
    assert [finding.shown_change() for finding in found] == ["–", "–", "+95.0pp", "–"]


def test_costs_below_a_micro_dollar_are_compared() -> None:
    """They are all in the bin of 0, which shows no change."""
    current = a_current(avg_cost_per_execution=5e-7, cost_bins={"0": 100})
    assert verdicts(GUIDE | {"avg_cost_per_execution": 1e-7}, current)["avg_cost_per_execution"] == "ok"
    with_bins = GUIDE | {"avg_cost_per_execution": 1e-7, "cost_bins": {"0": 100}}
    assert verdicts(with_bins, current)["avg_cost_per_execution"] == "ok"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"success_rate": "95"}, "success_rate is '95', not a number"),
        ({"success_rate": True}, "success_rate is True"),
        ({"success_rate": 101}, "success_rate is 101, not a percentage"),
        ({"avg_execution_time_ms": float("nan")}, "avg_execution_time_ms is nan"),
        ({"avg_execution_time_ms": float("inf")}, "avg_execution_time_ms is inf"),
        ({"avg_execution_time_ms": -1}, "avg_execution_time_ms is -1"),
        ({"p95_latency_ms": 10**400}, "p95_latency_ms is 1000"),
        ({"p95_latency_ms": {"a": "\x1b[31m"}}, "p95_latency_ms is {'a'"),
        ({"avg_cost_per_execution": [1]}, "avg_cost_per_execution is [1]"),
        ({"total_executions": 1.5}, "total_executions is 1.5, not a whole number"),
        ({"samples": [1]}, "samples is not an object"),
        ({"samples": {"timed": "x"}}, "timed is 'x'"),
        ({"duration_bins": [1]}, "duration_bins is not an object"),
        ({"duration_bins": {"9999": 1}}, "duration_bins has no bin '9999'"),
        ({"duration_bins": {"٣": 1}}, "duration_bins has no bin"),
        ({"duration_bins": {"-1": 1}}, "duration_bins has no bin '-1'"),
        ({"cost_bins": {"7": -1}}, "cost_bins: 7 is -1"),
    ],
)
def test_an_invalid_value_is_refused(change: dict[str, Any], complaint: str) -> None:
    """The message has one line with the file and the key, and no control character."""
    with pytest.raises(BaselineError) as caught:
        parse_snapshot(GUIDE | change, "baseline.json")
    assert str(caught.value).startswith("baseline.json: ")
    assert complaint in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"null", b"{}", b'{"name": 1}', b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000],
)
def test_a_file_that_is_no_baseline_is_refused(content: bytes, tmp_path: Path) -> None:
    """It is not JSON, not an object, or an object without metrics."""
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(BaselineError, match=r"is not JSON|is not a baseline"):
        read_file(path)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    """The remedy is the guide's command. A folder and a file of 17 MiB are refused."""
    with pytest.raises(BaselineError, match="analytics summary --days 30 --output"):
        read_file(tmp_path / "baseline.json")
    with pytest.raises(BaselineError, match="directory"):
        read_file(tmp_path)
    (tmp_path / "large.json").write_bytes(b" " * 17 * 1024 * 1024)
    with pytest.raises(BaselineError, match="too large for a baseline"):
        read_file(tmp_path / "large.json")


@pytest.mark.parametrize("filters", [[], {"agent": "x"}, {"agent": [1]}, {"colour": ["red"]}])
def test_invalid_filters_are_refused(filters: Any) -> None:
    """They would decide which executions are compared."""
    with pytest.raises(BaselineError, match="filters is not an object"):
        filters_in({"filters": filters}, "baseline.json")
