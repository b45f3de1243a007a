"""`--limit`, `--asc` and `--desc` in every report with rows."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, HOUR_US, now_us, parse_instant
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_writes
from claude_force.executions.record import CLAUDE_CODE
from tests.builders import NOON_US, an_execution
from tests.conftest import Run
from tests.integration.test_html_content import an_event

REPORTS = {
    "by-agent": ("agents", "executions", "desc"),
    "by-agent --sort-by cost": ("agents", "total_cost", "desc"),
    "by-agent --sort-by name": ("agents", "agent", "asc"),
    "by-model": ("models", "executions", "desc"),
    "by-workflow": ("workflows", "executions", "desc"),
    "by-project": ("projects", "executions", "desc"),
    "by-branch": ("branches", "executions", "desc"),
    "sessions": ("sessions", "started", "desc"),
    "sessions --sort-by cost": ("sessions", "total_cost", "desc"),
    "trends": ("trends", "date", "asc"),
    "daily --since 2000-01-01": ("daily", "date", "asc"),
    "weekly --since 2000-01-01": ("weekly", "date", "asc"),
    "costs --by-agent": ("by_agent", "total_cost", "desc"),
    "costs --by-model": ("by_model", "total_cost", "desc"),
    "costs --trends": ("trends", "date", "asc"),
    "errors": ("errors", "failures", "desc"),
    "blocks": ("blocks", "startTime", "asc"),
}
"""The key of the rows in JSON, what they are sorted by, and the usual order."""

OVER_TIME = ("date", "startTime")
"""Columns of reports over time."""


@pytest.fixture
def filled(home: Path) -> Path:
    """Executions of four of everything: the first one day, the second two days, and so on, each day a week apart."""
    Store(open_database(str(home / ".claude" / "metrics" / "metrics.db"))).add(
        an_execution(
            timestamp_us=NOON_US - 7 * DAY_US * day,
            source=CLAUDE_CODE,
            agent_name=f"agent-{kind}",
            model=("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "claude-fable-5")[kind],
            workflow_id=f"{kind}f0e{day}",
            project=f"/home/u/{kind}",
            git_branch=f"branch-{kind}",
            cost_nanousd=10**9 * (1 + kind),
            success=False,
            error_type=f"error-{kind}",
        )
        for kind in range(4)
        for day in range(kind + 1)
    )
    return home


def rows_of(run: Run, line: str, key: str, column: str) -> list[Any]:
    """The sorted column of a report's rows."""
    done = run(*line.split(), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [row[column] for row in json.loads(done.stdout)[key] if not row.get("isGap")]


@pytest.mark.parametrize("line", REPORTS)
def test_rows_are_ordered_and_limited(line: str, run: Run, filled: Path) -> None:
    """--asc and --desc are each other's reverse, one of them is the usual order, and --limit keeps the first rows, over
    time the last ones, and says so in the table and in JSON."""
    key, column, usual = REPORTS[line]
    up, down = (rows_of(run, f"{line} {order}", key, column) for order in ("--asc", "--desc"))
    assert len(up) >= 4
    assert up == sorted(up)
    assert down == sorted(up, reverse=True)
    assert rows_of(run, line, key, column) == (up if usual == "asc" else down)
    two = up[-2:] if column in OVER_TIME else (up if usual == "asc" else down)[:2]
    assert rows_of(run, f"{line} --limit 2", key, column) == two
    assert rows_of(run, f"{line} --asc --limit 2", key, column) == up[:2]
    assert rows_of(run, f"{line} --desc --limit 3", key, column) == down[:3]
    assert len(up) in json.loads(run(*line.split(), "--limit", "2", "--json").stdout).values()
    shown = run(*line.split(), "--limit", "2").stdout
    assert f"2 of {len(up)}" in shown
    assert "shown" in shown
    assert "(--limit)" in shown
    for limit in ("999", "9" * 30):
        done = run(*line.split(), "--limit", limit)
        assert (done.returncode, "(--limit)" in done.stdout) == (0, False), done.stderr


def test_totals_and_the_change_are_of_all_rows(run: Run, filled: Path) -> None:
    """A limit takes away rows, and no figure below them."""
    for line in ("costs", "errors"):
        whole, limited = (json.loads(run(line, "--json", *more).stdout) for more in ((), ("--limit", "1")))
        totals = [name for name in whole if name.startswith("total_") or name == "failed_executions"]
        assert [whole[name] for name in totals] == [limited[name] for name in totals]
    whole, limited = (json.loads(run("trends", "--json", *more).stdout) for more in ((), ("--limit", "1", "--desc")))
    assert whole["change"] == limited["change"]
    shown = run("daily", "--since", "2000-01-01", "--limit", "1", "--desc").stdout
    assert "$30.00" in next(line for line in shown.splitlines() if line.startswith("Total"))


def test_transitions_of_alerts_are_ordered_and_limited(run: Run, home: Path) -> None:
    """The newest first, or the oldest; a limit keeps the first of them."""
    run("db", "upgrade")
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    with database.write() as connection:
        alert_writes.add_events(connection, [an_event(now_us() - hour * HOUR_US, hour) for hour in range(1, 5)])
    times = [event["at"] for event in json.loads(run("alerts", "history", "--json").stdout)["events"]]
    assert len(times) == 4
    assert times == sorted(times, reverse=True)
    for options, expected in {
        ("--asc",): sorted(times),
        ("--desc",): times,
        ("--limit", "2"): times[:2],
        ("--asc", "--limit", "3"): sorted(times)[:3],
        ("--last", "2w"): times,
        ("--since", "7d", "--until", "3h"): times[2:],
    }.items():
        found = json.loads(run("alerts", "history", "--json", *options).stdout)["events"]
        assert [event["at"] for event in found] == expected


WITHOUT_EXECUTIONS = (
    ("summary",), ("summary", "--json"), ("by-agent", "--format", "csv"), ("by-model", "--output", "found.md"),
    ("sessions",), ("trends",), ("daily",), ("costs",), ("errors", "-j"), ("blocks",), ("reconcile",), ("backfill",),
    ("outcomes",), ("what-if", "--batch"), ("export",), ("export", "--json"), ("report",),
)  # fmt: skip


@pytest.mark.parametrize("line", WITHOUT_EXECUTIONS, ids=" ".join)
def test_an_empty_report_fails_only_where_it_is_asked_to(line: tuple[str, ...], run: Run, filled: Path) -> None:
    """In every format, and after the report was written; a filter that matches is no failure."""
    empty = (*line, "--last", "1h")
    usual, asked = run(*empty), run(*empty, "--fail-on-empty")
    assert usual.returncode == 0
    assert asked.returncode == 1
    assert asked.stderr.splitlines()[-1] == "error: no execution matches (--fail-on-empty)"
    assert bool(asked.stdout) == bool(usual.stdout)
    if line[0] not in ("reconcile", "backfill", "outcomes"):
        assert run(*line, "--since", "2000-01-01", "--fail-on-empty").returncode == 0


def test_a_table_of_trends_has_the_last_thirty_intervals(home: Path, run: Run) -> None:
    """Without a period and --limit. Its trend, and the other formats, are about all of them."""
    at = "2026-06-15T12:00:00+00:00"
    at_us = parse_instant(at, UTC)
    path = home / ".claude" / "metrics" / "metrics.db"
    Store(open_database(str(path))).add([an_execution(timestamp_us=at_us - DAY_US * day) for day in range(50)])

    def dates(*options: str) -> list[str]:
        return [line[:10] for line in run("trends", *options, at=at).stdout.splitlines() if line[:2] == "20"]

    every = [row["date"] for row in json.loads(run("trends", "--json", at=at).stdout)["trends"]]
    assert len(every) == 50
    assert dates() == every[-30:]
    assert dates("--desc") == every[:-31:-1]
    assert dates("--limit", "40") == every[-40:]
    assert dates("--asc", "--limit", "40") == every[:40]
    assert dates("--days", "45")[-40:] == every[-40:]
    assert dates("--format", "csv") == every
    text = run("trends", at=at).stdout
    assert "The last 30 of 50 days; more with --days or --limit\n" in text
    assert "Over 48 whole days" in text or "Over 49 whole days" in text
