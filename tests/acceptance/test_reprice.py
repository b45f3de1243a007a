"""`db reprice` and prices in claude.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders import a_line
from tests.conftest import Run

OURS = {"house-model": {"input": 1.5, "output": 7.5}, "claude-3-5-haiku-20241022": {"input": 1.6, "output": 8}}


@pytest.fixture(autouse=True)
def history(run: Run) -> None:
    """Two executions of Haiku, one of them without a cost, and one of a model without a list price."""
    lines = [
        a_line(estimated_cost=1.0),
        a_line(estimated_cost=None, timestamp="2025-12-01T10:00:00"),
        a_line(estimated_cost=0.5, model="house-model"),
    ]
    run("config", "set", "performance.cost_tracking", "false")
    assert run("import", "-", input=b"".join(lines).decode()).returncode == 0


def exported(run: Run) -> list[dict[str, Any]]:
    """Every execution as JSON."""
    return [json.loads(line) for line in run("analytics", "export", "--format", "jsonl").stdout.splitlines()]


def costs(run: Run) -> list[float | None]:
    """The costs of the executions, oldest first."""
    return sorted((line["estimated_cost"] for line in exported(run)), key=str)


def test_a_dry_run_shows_the_new_costs(run: Run) -> None:
    """By model: the recorded, the current and the new cost. Models without a price are named. Nothing is changed."""
    before = exported(run)
    done = run("db", "reprice", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("claude-3-5-haiku")]
    assert row.split()[1:] == ["2", "$1.00", "$1.00", "$0.0065", "-$0.99"]
    assert "2 of 3 executions would change." in done.stdout
    assert "house-model: 1 execution" in done.stdout
    assert exported(run) == before


def test_without_a_terminal_it_needs_yes(run: Run) -> None:
    """Without --yes nothing is changed, and the exit code says so. If nothing would change, no confirmation is
    needed."""
    before = exported(run)
    done = run("db", "reprice", input="y\n")
    assert done.returncode == 2
    assert "nothing was changed" in done.stderr
    assert "--yes" in done.stderr
    assert exported(run) == before
    assert run("db", "reprice", "--yes").returncode == 0
    again = run("db", "reprice", input="")
    assert (again.returncode, again.stderr) == (0, "")
    assert "0 of 3 executions would change." in again.stdout


def test_yes_reprices(run: Run) -> None:
    """Costs, recorded costs and roll-ups are correct afterwards."""
    done = run("db", "reprice", "--yes", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["repriced"], found["executions"], found["dry_run"]) == (2, 3, False)
    assert found["changes"] == {
        "executions": 2,
        "reference_only": 0,
        "recorded_cost": 1.0,
        "cost": 1.0,
        "repriced_cost": 0.0065104,
        "difference": -0.9934896,
    }
    assert found["models"] == [{"model": "claude-3-5-haiku-20241022"} | found["changes"]]
    reason = "no published price for this model"
    assert found["unpriced_models"] == [{"model": "house-model", "reason": reason, "executions": 1}]
    kept = sorted((line.get("recorded_basis") or "", line.get("recorded_cost")) for line in exported(run))
    assert kept == [("", None), ("given", 1.0), ("none", None)]
    assert run("db", "check").returncode == 0


@pytest.mark.parametrize(("answer", "code", "changed"), [("y", 0, True), ("n", 1, False)])
def test_a_terminal_is_asked_to_confirm(answer: str, code: int, changed: bool, run: Run) -> None:
    """Only "y" reprices."""
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = run("db", "reprice", stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, "Reprice 2?" in done.stderr) == (code, True)
    assert ("2 repriced" in done.stdout) is changed
    assert ("nothing was changed" in done.stderr) is not changed
    assert (1.0 in costs(run)) is not changed


def test_model_and_since_limit_the_reprice(run: Run) -> None:
    """An unknown model and an invalid date are errors."""
    assert json.loads(run("db", "reprice", "--yes", "--json", "--since", "2025-12-01").stdout)["repriced"] == 1
    assert json.loads(run("db", "reprice", "--yes", "--json", "--model", "house-model").stdout)["repriced"] == 0
    unknown = run("db", "reprice", "--model", "house-mode")
    assert unknown.returncode == 1
    assert "did you mean house-model?" in unknown.stderr
    wrong = run("db", "reprice", "--since", "someday")
    assert (wrong.returncode, wrong.stderr[:24]) == (2, "error: --since someday: ")


def test_an_import_with_reprice_keeps_the_recorded_cost(run: Run) -> None:
    """`import --reprice` of lines that are already stored keeps their recorded cost."""
    run("import", "-", "--reprice", input=a_line(estimated_cost=1.0).decode())
    assert [line["recorded_cost"] for line in exported(run) if line.get("recorded_basis") == "given"] == [1.0]


def test_prices_in_the_settings_are_used(run: Run, home: Path) -> None:
    """They are set as JSON, shown as they were set, used by `db reprice`, and can be unset."""
    done = run("config", "set", "performance.prices", json.dumps(OURS))
    assert done.returncode == 0
    assert "db reprice" in done.stderr
    assert json.loads((home / ".claude" / "claude.json").read_text())["performance"]["prices"] == OURS
    assert json.loads(run("config", "get", "performance.prices").stdout) == OURS
    assert json.loads(run("config", "list", "--json").stdout)["performance.prices"] == OURS
    assert f"performance.prices = {json.dumps(OURS)}" in run("config", "list").stdout
    found = json.loads(run("db", "reprice", "--yes", "--json").stdout)
    assert (found["repriced"], found["unpriced_models"]) == (3, [])
    assert {line["price_version"] for line in exported(run)} == {"claude.json"}
    assert costs(run) == [0.0061035, 0.0065104, 0.0065104]
    assert run("config", "unset", "performance.prices").returncode == 0
    assert run("config", "get", "performance.prices").stdout == "{}\n"
    assert json.loads(run("db", "reprice", "--yes", "--json").stdout)["repriced"] == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "performance.prices must be a JSON object: "),
        ("3", "performance.prices must be an object, not a number"),
        ('{"m": {"input": 1}}', "performance.prices: the price of 'm': output is missing; prices are in US dollars"),
        ('{"m": {"input": NaN, "output": 1}}', "holds NaN"),
    ],
)
def test_an_invalid_price_is_not_set(text: str, reason: str, run: Run, home: Path) -> None:
    """One line has the remedy, and the file is not changed."""
    before = (home / ".claude" / "claude.json").read_text()
    done = run("config", "set", "performance.prices", text)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert reason in done.stderr
    assert (home / ".claude" / "claude.json").read_text() == before


def test_a_tracker_uses_the_prices_in_the_settings(run: Run, home: Path) -> None:
    """A recorded execution costs what claude.json says."""
    from claude_force.performance_tracker.tracker import PerformanceTracker

    run("config", "set", "performance.cost_tracking", "true")
    run("config", "set", "performance.prices", json.dumps(OURS))
    tracker = PerformanceTracker(database=str(home / "own.db"))
    found = tracker.record_execution("a", model="house-model", input_tokens=1000, output_tokens=0, web_searches=1)
    assert (found.estimated_cost, found.price_version) == (0.0115, "claude.json")
    fast = tracker.record_execution(
        "a", model="claude-opus-5-5", input_tokens=1000, output_tokens=0, service_tier="fast"
    )
    assert (fast.estimated_cost, fast.service_tier) == (0.008, "fast")
    tracker.close()
