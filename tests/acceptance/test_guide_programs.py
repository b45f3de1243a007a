"""The programs and commands of the user's guide, on a store with recent executions."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.conftest import PROGRAM, Run

TWELVE_COLUMNS = [
    "timestamp", "agent_name", "task_hash", "success", "execution_time_ms", "model", "input_tokens", "output_tokens",
    "total_tokens", "estimated_cost", "workflow_id", "error_type",
]  # fmt: skip
HAIKU, SONNET, OPUS = "claude-3-5-haiku-20241022", "claude-3-5-sonnet-20241022", "claude-3-opus-20240229"


@pytest.fixture
def history(home: Path) -> Path:
    """A home with ten executions: one in the last hour, three more of the last day, six of the last week. The oldest
    one failed."""
    with PerformanceTracker() as tracker:
        for number in range(10):
            tracker.record_execution(
                agent_name="python-expert" if number < 6 else "code-reviewer",
                task=f"task {number}",
                success=number != 9,
                duration_ms=1000 * (number + 1),
                model=(HAIKU, HAIKU, HAIKU, SONNET, OPUS)[number % 5],
                input_tokens=1000,
                output_tokens=500,
                error_type="TimeoutError" if number == 9 else None,
                timestamp=datetime.now(UTC) - timedelta(hours=(0.5, 3, 4, 5)[number] if number < 4 else 12 * number),
            )
    return home


def run_program(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a folder."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def run_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell that has the installed program on its PATH."""
    environment = os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    command = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


_PROGRAMMATIC = """
from datetime import datetime, timedelta
from pathlib import Path
from claude_force.performance_tracker.tracker import PerformanceTracker

tracker = PerformanceTracker(Path.home() / ".claude")
every = tracker.get_all_metrics()
week = tracker.get_metrics_since(datetime.now() - timedelta(days=7))
expert = tracker.get_metrics_by_agent("python-expert")
print(len(every), len(week), len(expert))
print(f"{sum(m.execution_time_ms for m in every) / len(every):.0f}ms")
print(f"${sum(m.estimated_cost for m in every):.4f}")
print(f"{sum(1 for m in every if m.success) / len(every):.1%}")
print(sum(m.input_tokens for m in every), sum(m.output_tokens for m in every), sum(m.total_tokens for m in every))
print({datetime.fromisoformat(m.timestamp).date() <= datetime.now().date() for m in every})
print({len(m.task_hash) for m in every}, [m.error_type for m in every if not m.success])
"""


def test_executions_can_be_aggregated_in_python(history: Path) -> None:
    """The attributes of the returned executions can be summed, averaged and formatted as in the guide."""
    done = run_program(_PROGRAMMATIC, history)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "10 10 6",
        "5500ms",
        "$0.1428",
        "90.0%",
        "10000 5000 15000",
        "{True}",
        "{8} ['TimeoutError']",
    ]


_REGRESSIONS = """
import json, sys
from claude_force.performance_tracker.tracker import PerformanceTracker

baseline = json.load(open(sys.argv[1]))
current = PerformanceTracker().get_summary(days=1)
worse = []
if current["avg_execution_time_ms"] > baseline["avg_execution_time_ms"] * 1.15:
    worse.append(f"slower by {current['avg_execution_time_ms'] / baseline['avg_execution_time_ms'] - 1:.1%}")
if current["success_rate"] < baseline["success_rate"] * 0.95:
    worse.append(f"fails more, by {baseline['success_rate'] - current['success_rate']:.1f}pp")
if current["avg_cost_per_execution"] > baseline["avg_cost_per_execution"] * 1.5:
    worse.append(f"${baseline['avg_cost_per_execution']:.5f} -> ${current['avg_cost_per_execution']:.5f}")
print(worse)
sys.exit(1 if worse else 0)
"""


def check_regressions(folder: Path) -> subprocess.CompletedProcess[str]:
    """Compare the last day with baseline.json."""
    command = [sys.executable, "-c", _REGRESSIONS, "baseline.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_the_last_day_is_compared_with_the_summary(history: Path, run: Run) -> None:
    """The file that the summary writes has the guide's keys first, and the guide's program compares the last day with
    it."""
    done = run("analytics", "summary", "--days", "30", "--output", "baseline.json", cwd=history)
    assert (done.returncode, done.stdout) == (0, "")
    baseline = json.loads((history / "baseline.json").read_text())
    assert list(baseline)[:12] == [
        "period", "total_executions", "success_rate", "avg_execution_time_ms", "p50_latency_ms", "p95_latency_ms",
        "p99_latency_ms", "total_cost", "avg_cost_per_execution", "avg_input_tokens", "avg_output_tokens",
        "model_distribution",
    ]  # fmt: skip
    assert (baseline["period"], baseline["total_executions"], baseline["success_rate"]) == ("30 days", 10, 90.0)
    assert (baseline["p50_latency_ms"], baseline["p95_latency_ms"]) == (5000, 10000)
    assert baseline["model_distribution"] == {"haiku": 60.0, "opus": 20.0, "sonnet": 20.0}
    good = check_regressions(history)
    assert (good.returncode, good.stdout, good.stderr) == (0, "[]\n", "")

    with PerformanceTracker() as tracker:
        for _ in range(5):
            tracker.record_execution("a", "t", False, 60_000, OPUS, 50_000, 5_000)
    bad = check_regressions(history)
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "slower by" in bad.stdout
    assert "fails more" in bad.stdout
    assert "$0." in bad.stdout


_DASHBOARD = """
from collections import Counter
from datetime import datetime, timedelta
from claude_force.performance_tracker.tracker import PerformanceTracker

tracker = PerformanceTracker()
print("Dashboard".center(70))
for title, span in (("hour", timedelta(hours=1)), ("day", timedelta(days=1)), ("week", timedelta(days=7))):
    found = tracker.get_metrics_since(datetime.now() - span)
    rate = sum(1 for m in found if m.success) / len(found) * 100
    time = sum(m.execution_time_ms for m in found) / len(found)
    print(f"{title}: {len(found):,} {rate:.1f}% {time / 1000:.2f}s ${sum(m.estimated_cost for m in found):.4f}")
    for name, count in Counter(m.model.split("-")[3] for m in found).most_common():
        print(f"  {name:10s} {'#' * int(count / len(found) * 50):50s} {count / len(found) * 100:5.1f}%")
agents = Counter()
for m in found:
    agents[m.agent_name] += m.estimated_cost
for name, cost in agents.most_common(5):
    print(f"{name:20s} ${cost:.4f}")
"""


def test_the_dashboard_of_the_guide_prints_a_frame(history: Path) -> None:
    """It shows the last hour, day and week, with models and agents."""
    done = run_program(_DASHBOARD, history)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    found = [line.split(" $")[0] for line in lines if ": " in line]
    assert found == ["hour: 1 100.0% 1.00s", "day: 4 100.0% 2.50s", "week: 10 90.0% 5.50s"]
    assert {line.split()[0] for line in lines if line.endswith("%")} == {"haiku", "sonnet", "20240229"}
    assert {line.split()[0] for line in lines[-2:]} == {"python-expert", "code-reviewer"}


def test_grep_for_the_success_rate(history: Path) -> None:
    """One line, with the counts."""
    done = run_shell('claude-force analytics summary | grep "Success Rate"', history)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Success Rate: 90.0% (9 / 10)\n", "")


def test_grep_for_the_average_time(history: Path) -> None:
    """One line, in milliseconds."""
    done = run_shell('claude-force analytics summary | grep "Average Execution Time"', history)
    assert (done.returncode, done.stdout) == (0, "Average Execution Time: 5,500 ms\n")


def test_grep_for_the_token_usage(history: Path) -> None:
    """The heading and the three lines below it."""
    done = run_shell('claude-force analytics summary | grep -A 3 "Token Usage"', history)
    assert done.stdout.splitlines() == [
        "Token Usage:",
        "  Total Tokens: 15,000",
        "  Average Input: 1,000 tokens",
        "  Average Output: 500 tokens",
    ]


def test_grep_for_the_model_distribution(history: Path) -> None:
    """The heading, and a line for each model with its share and cost."""
    done = run_shell('claude-force analytics summary | grep -A 5 "Model Distribution"', history)
    heading, *models = done.stdout.splitlines()
    assert heading == "Model Distribution:"
    shares = {words[0]: words[1] for words in map(str.split, models[:3])}
    assert shares == {f"{HAIKU}:": "60%", f"{OPUS}:": "20%", f"{SONNET}:": "20%"}
    assert all("($" in line for line in models[:3])


def test_the_csv_export_has_the_columns_of_the_guide(history: Path) -> None:
    """There is one row for each execution. Filters work as in the guide."""
    line = "claude-force analytics export --format csv"
    done = run_shell(
        f"{line} --output metrics.csv && {line} --days 30 --agent python-expert --output expert.csv", history
    )
    assert (done.returncode, done.stdout) == (0, "")
    with (history / "metrics.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == TWELVE_COLUMNS
    assert len(rows) == 10
    assert {row[3] for row in rows} == {"true", "false"}
    assert {tuple(row[6:9]) for row in rows} == {("1000", "500", "1500")}
    assert (rows[0][11], rows[1][11]) == ("TimeoutError", "")
    assert (history / "expert.csv").read_text().count("\n") == 7


def test_the_json_export_is_one_array(history: Path) -> None:
    """An indented export has the same executions."""
    line = "claude-force analytics export --format json"
    done = run_shell(f"{line} --output m.json && {line} --pretty --output pretty.json", history)
    assert (done.returncode, done.stdout) == (0, "")
    plain, pretty = (json.loads((history / name).read_text()) for name in ("m.json", "pretty.json"))
    assert plain == pretty
    assert list(plain[0])[:12] == TWELVE_COLUMNS
    assert (history / "pretty.json").read_text().startswith('[\n  {\n    "timestamp"')


@pytest.mark.parametrize(
    "line",
    [
        "analytics summary --days 7",
        "analytics by-agent",
        "analytics by-agent --agent python-expert",
        "analytics by-agent --sort-by time",
        "analytics by-agent --sort-by cost",
        "analytics costs",
        "analytics costs --by-agent",
        "analytics costs --by-model",
        "analytics costs --trends --interval daily",
        "analytics trends --interval hourly",
        "analytics trends --interval daily",
        "analytics trends --interval weekly",
    ],
)
def test_the_commands_of_the_guide_work(line: str, history: Path) -> None:
    """Each exits 0, prints nothing on stderr and fits 80 columns."""
    done = run_shell(f"claude-force {line}", history)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 3
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_config_get_shows_a_setting(history: Path) -> None:
    """The guide uses it to check whether tracking is on."""
    done = run_shell("claude-force config get performance.tracking_enabled", history)
    assert (done.returncode, done.stdout, done.stderr) == (0, "true\n", "")
