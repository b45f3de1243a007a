"""Reports in a terminal: sources, provisional executions, labels, session blocks."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import HOUR_US, MINUTE_US, parse_instant
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics
from tests.builders import NOON_US, an_execution
from tests.conftest import Run

SESSIONS = ("1b2c3d4e-0000-4000-8000-000000000001", "9f8e7d6c-0000-4000-8000-000000000002")


def a_response(**changes: Any) -> ExecutionMetrics:
    """An execution as it is read from a transcript: no duration, but a session and a folder."""
    return an_execution(
        **{
            "source": "claude-code",
            "agent_name": "main",
            "model": "claude-opus-5",
            "workflow_id": SESSIONS[0],
            "project": "/home/ada/work/app",
            "duration_us": None,
            "task_hash": None,
            "cache_read_tokens": 20_000,
            "cache_write_5m_tokens": 300,
            "cache_write_1h_tokens": 4000,
        }
        | changes
    )


def store(home: Path, *executions: ExecutionMetrics) -> None:
    """Store executions in the default database."""
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    Store(database).add(executions)
    database.close()


def as_json(run: Run, *arguments: str) -> dict[str, Any]:
    """The JSON of a report."""
    done = run("analytics", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


REPORTS = (
    "summary", "by-agent", "by-model", "by-workflow", "by-session", "by-branch", "by-project", "by-host", "by-user",
    "costs",
    "costs --trends", "trends", "errors", "blocks",
    "daily --start 2025-11-01", "weekly --start 2025-10-01", "monthly --start 2025-01-01",
)  # fmt: skip


@pytest.mark.parametrize("command", REPORTS)
def test_large_numbers_fit_80_columns(command: str, run: Run, home: Path) -> None:
    """No line is too long, and no number is truncated."""
    busy = {"input_tokens": 99_999_999, "output_tokens": 9_999_999, "cost_nanousd": 1234 * 10**9}
    store(
        home,
        *(a_response(**busy, model=f"claude-sonnet-4-{day}-20250929", success=False) for day in range(3)),
        *(a_response(timestamp_us=NOON_US + HOUR_US, cost_nanousd=None, model=f"a-model-{n}" * 4) for n in range(9)),
        a_response(usage_basis=PROVISIONAL, workflow_id=None, project=None),
    )
    done = run("analytics", *command.split())
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_source_is_a_filter_of_every_report(run: Run, home: Path) -> None:
    """--source can be repeated, and the report names its sources."""
    store(home, a_response(), a_response(), an_execution(), an_execution(source="jsonl"))
    for command in ("summary", "costs"):
        assert as_json(run, command, "--source", "claude-code")["total_executions"] == 2
    found = as_json(run, "summary", "--source", "claude-code", "--source", "jsonl")
    assert (found["total_executions"], found["filters"]) == (3, {"source": ["claude-code", "jsonl"]})
    assert as_json(run, "by-agent", "--source", "tracker")["agents"][0]["agent"] == "python-expert"
    assert "Only source tracker" in run("analytics", "trends", "--source", "tracker").stdout
    assert run("analytics", "export", "--source", "tracker").stdout.count("\n") == 2


def test_an_unknown_source_is_an_error(run: Run, home: Path) -> None:
    """The error lists the sources of the store."""
    store(home, a_response(), an_execution())
    done = run("analytics", "summary", "--source", "claude")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no source claude in the store; did you mean claude-code? there are: claude-code, tracker" in done.stderr


@pytest.mark.parametrize("command", [command for command in REPORTS if command != "errors"])
def test_notes_on_provisional_and_unpriced_executions(command: str, run: Run, home: Path) -> None:
    """Every report with tokens or costs has them."""
    provisional = [a_response(usage_basis=PROVISIONAL) for _ in range(3)]
    unpriced = [a_response(model=name, cost_nanousd=None) for name in ("my-model", "other", "my-model")]
    store(home, *provisional, *unpriced, a_response())
    shown = run("analytics", *command.split()).stdout
    assert "3 executions were never finalised: their output tokens and cost may be higher" in shown
    assert "3 executions have no known price and are not in this cost" in shown
    named = "3 executions: no published price for this model (my-model, other)\n"
    assert (named if command.startswith("costs") else "Of models: my-model, other. Why: claude-force costs") in shown


def test_final_executions_need_no_notes(run: Run, home: Path) -> None:
    """There is no line about zero executions."""
    store(home, a_response())
    shown = "".join(run("analytics", *command.split()).stdout for command in REPORTS)
    assert not any(word in shown for word in ("finalised", "known price", "As Recorded"))


def test_unpriced_models_are_listed_as_far_as_they_fit(run: Run, home: Path) -> None:
    """The most used model is first, and the others are counted. JSON has all."""
    models = [f"model-of-mine-{number}" for number in range(20)]
    store(home, *(a_response(model=model, cost_nanousd=None) for model in [*models, models[7]]))
    assert "Of models: model-of-mine-7, model-of-mine-0" in run("analytics", "summary").stdout
    assert " and 18 more. Why" in run("analytics", "by-agent").stdout
    for command in ("summary", "costs"):
        assert sorted(as_json(run, command)["unpriced_models"]) == sorted(models)


def test_json_counts_provisional_and_unpriced_executions(run: Run, home: Path) -> None:
    """The totals and every row have the counts."""
    store(home, a_response(usage_basis=PROVISIONAL), a_response())
    costs = as_json(run, "costs", "--trends", "--by-model")
    for row in (as_json(run, "summary"), costs, costs["trends"][0], costs["by_model"][0]):
        assert row["provisional_executions"] == 1


def test_costs_show_the_recorded_cost_after_a_reprice(run: Run, home: Path) -> None:
    """It is beside the current cost."""
    store(home, a_response(cost_nanousd=2 * 10**9, recorded_cost_nanousd=3 * 10**9, recorded_basis="given"))
    lines = run("analytics", "costs").stdout.splitlines()
    assert "As Recorded: $3.00 (before db reprice)" in lines
    found = as_json(run, "costs")
    assert (found["total_cost"], found["recorded_cost"]) == (2, 3)


def test_an_unrecorded_cost_is_a_dash(run: Run, home: Path) -> None:
    """Before the reprice nothing had a price."""
    store(home, a_response(recorded_cost_nanousd=None, recorded_basis="none"))
    assert "As Recorded: – (before db reprice)" in run("analytics", "costs").stdout
    assert as_json(run, "costs")["recorded_cost"] is None


def test_costs_show_the_kinds_of_tokens(run: Run, home: Path) -> None:
    """A table has one column for cache writes of both lifetimes; CSV has two."""
    store(home, a_response(input_tokens=5, output_tokens=600), a_response(input_tokens=7, output_tokens=800))
    page = run("analytics", "costs", "--trends").stdout
    lines = [line.strip() for line in page.splitlines()]
    start = lines.index("Token Usage:")
    assert lines[start + 1 : start + 6] == [
        "Input: 12",
        "Output: 1,400",
        "Cache Read: 40,000",
        "Cache Write (5m): 600",
        "Cache Write (1h): 8,000",
    ]
    assert "2025-11-01      2     12   1,400  40,000  8,600  $0.0065  100.0%" in lines
    (row,) = csv.DictReader(io.StringIO(run("analytics", "costs", "--by-model", "--format", "csv").stdout))
    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]) == ("600", "8000")


def test_a_cost_report_keeps_its_lines(run: Run, home: Path) -> None:
    """The totals come first, in a fixed order."""
    store(home, a_response())
    labels = [line.split(":")[0] for line in run("analytics", "costs").stdout.splitlines()[3:7]]
    assert labels == ["Total Cost", "Cost per Execution", "Total Executions", "Cost Savings (vs Sonnet-only)"]


def test_a_project_is_shown_by_its_folder(run: Run, home: Path) -> None:
    """This is so in tables and Markdown. JSON and CSV have the path."""
    paths = ("/home/ada/work/app", "/home/ada/play/app", "/srv/site")
    store(home, *(a_response(project=path) for path in paths))
    for form in ("table", "markdown"):
        shown = run("analytics", "by-project", "--format", form).stdout
        assert all(label in shown for label in ("work/app ", "play/app ", "site "))
        assert "/home" not in shown
    assert {row["project"] for row in as_json(run, "by-project")["projects"]} == set(paths)
    assert all(path in run("analytics", "by-project", "--format", "csv").stdout for path in paths)


def test_project_labels_are_unique_among_the_shown_rows(run: Run, home: Path) -> None:
    """A label is as short as these rows allow."""
    store(home, a_response(project="/work/app"), a_response(project="/work/app"), a_response(project="/play/app"))
    assert "work/app" not in run("analytics", "by-project", "--limit", "1").stdout


def test_a_session_is_shown_by_its_start_and_folder(run: Run, home: Path) -> None:
    """The start is in the time zone of the report. Workflows of other sources keep their name. JSON has both."""
    store(
        home,
        a_response(timestamp_us=NOON_US + HOUR_US, project="/home/ada/elsewhere"),
        a_response(timestamp_us=NOON_US),
        an_execution(workflow_id="bug-fix", project="/srv/site"),
    )
    shown = run("analytics", "by-workflow", "--timezone", "Asia/Kolkata").stdout
    assert "2025-11-01 17:56 1b2c3d4e app" in shown
    assert "bug-fix" in shown
    first, second = as_json(run, "by-workflow", "--timezone", "+05:30")["workflows"]
    assert (first["workflow"], first["project"]) == (SESSIONS[0], "/home/ada/work/app")
    assert first["started"] == "2025-11-01T17:56:40.000000+05:30"
    assert (second["workflow"], second["project"]) == ("bug-fix", "/srv/site")


def test_executions_without_a_workflow_have_no_start(run: Run, home: Path) -> None:
    """Their row has the same keys as the others."""
    store(home, a_response(workflow_id=None), a_response())
    rows = as_json(run, "by-workflow", "--sort-by", "name")["workflows"]
    assert [row["started"] is None for row in rows] == [False, True]
    assert rows[1]["project"] is None


BEGAN_US = NOON_US // HOUR_US * HOUR_US


def test_blocks_have_the_keys_of_ccusage(run: Run, home: Path) -> None:
    """A program that reads the JSON of ccusage can read ours."""
    store(home, a_response(timestamp_us=BEGAN_US + 5 * MINUTE_US), a_response(timestamp_us=BEGAN_US + HOUR_US))
    (block,) = as_json(run, "blocks", "--timezone", "UTC")["blocks"]
    assert block | {"costUSD": 0} == {
        "id": "2025-11-01T12:00:00.000Z",
        "startTime": "2025-11-01T12:00:00.000000+00:00",
        "endTime": "2025-11-01T17:00:00.000000+00:00",
        "actualEndTime": "2025-11-01T13:00:00.000000+00:00",
        "isActive": False,
        "isGap": False,
        "entries": 2,
        "tokenCounts": {
            "inputTokens": 2468,
            "outputTokens": 1134,
            "cacheCreationInputTokens": 8600,
            "cacheReadInputTokens": 40_000,
        },
        "totalTokens": 52_202,
        "costUSD": 0,
        "models": ["claude-opus-5"],
        "burnRate": None,
        "projection": None,
        "unpricedExecutions": 0,
        "provisionalExecutions": 0,
    }
    assert block["costUSD"] == pytest.approx(0.0065104)


def test_a_gap_is_a_row(run: Run, home: Path) -> None:
    """It lasts from the end of a block to the start of the next."""
    store(home, a_response(timestamp_us=BEGAN_US), a_response(timestamp_us=BEGAN_US + 8 * HOUR_US))
    blocks = as_json(run, "blocks", "--timezone", "UTC")["blocks"]
    assert [(block["id"], block["isGap"], block["entries"]) for block in blocks] == [
        ("2025-11-01T12:00:00.000Z", False, 1),
        ("gap-2025-11-01T17:00:00.000Z", True, 0),
        ("2025-11-01T20:00:00.000Z", False, 1),
    ]
    assert "gap of 3 hours" in run("analytics", "blocks").stdout


def test_blocks_count_claude_code_by_default(run: Run, home: Path) -> None:
    """The subscription does not pay for API keys."""
    store(home, a_response(), an_execution(), an_execution())
    found = as_json(run, "blocks")
    assert (found["blocks"][0]["entries"], found["filters"]) == (1, {"source": ["claude-code"]})
    assert as_json(run, "blocks", "--source", "tracker")["blocks"][0]["entries"] == 2


def test_the_active_block_has_a_rate_and_a_projection(run: Run, home: Path) -> None:
    """It also has the elapsed and remaining time. --active shows it alone."""
    at = "2025-11-14T12:40:00+00:00"
    now = parse_instant(at, UTC)
    store(
        home, a_response(timestamp_us=now - 10 * HOUR_US), a_response(timestamp_us=now - 30 * MINUTE_US), a_response()
    )
    shown = run("analytics", "blocks", "--recent", at=at).stdout
    assert all(text in shown for text in ("Active Block:", "Elapsed: 40m", "4h 19m left", " active "))
    assert "Projected" not in shown
    store(home, a_response(timestamp_us=now - 5 * MINUTE_US))
    shown = run("analytics", "blocks", "--active", at=at).stdout
    assert "Burn Rate: 2,088 tokens/min, $0.02/hour" in shown
    assert "Projected: " in shown
    (block,) = json.loads(run("analytics", "blocks", "--active", "--json", at=at).stdout)["blocks"]
    assert (block["isActive"], block["entries"]) == (True, 2)
    assert block["burnRate"]["tokensPerMinute"] == pytest.approx(52_202 / 25)
    assert block["projection"]["totalTokens"] == pytest.approx(52_202 + 52_202 / 25 * 260, rel=1e-3)


def test_a_period_does_not_change_its_blocks(run: Run, home: Path) -> None:
    """A block that overlaps the period is shown in full, and starts where it starts in all of history."""
    store(home, *(a_response(timestamp_us=BEGAN_US + hour * HOUR_US) for hour in range(0, 90, 3)))
    every = as_json(run, "blocks")["blocks"]
    found = as_json(run, "blocks", "--start", "2025-11-03 07:30", "--end", "2025-11-03 08:30")["blocks"]
    assert 0 < len(found) < len(every)
    assert [block for block in every if block["id"] in {block["id"] for block in found}] == found


def test_the_length_of_a_block_can_be_changed(run: Run, home: Path) -> None:
    """It is a number of whole hours, because blocks start at whole hours."""
    store(home, *(a_response(timestamp_us=BEGAN_US + hour * HOUR_US) for hour in range(4)))
    blocks = as_json(run, "blocks", "--session-length", "2")["blocks"]
    assert [block["entries"] for block in blocks] == [2, 2]
    assert run("analytics", "blocks", "--session-length", "0").returncode == 2


def test_recent_and_a_period_cannot_be_combined(run: Run) -> None:
    """Both options set the period."""
    for option in ("--recent", "--active"):
        done = run("analytics", "blocks", option, "--days", "2")
        assert (done.returncode, "--days" in done.stderr) == (2, True)


def test_empty_blocks_name_the_next_command(run: Run, home: Path) -> None:
    """An empty store names `ingest`. A store of other sources also names --source."""
    assert "claude-force ingest" in run("analytics", "blocks").stdout
    store(home, an_execution())
    shown = run("analytics", "blocks").stdout
    assert "No executions of Claude Code yet" in shown
    assert "claude-force ingest" in shown
    assert "--source tracker" in shown
    store(home, a_response())
    assert run("analytics", "blocks", "--active").stdout.startswith("No block is active now.\n")
    assert "The store has executions from 2025-11-01" in run("analytics", "blocks", "--days", "1").stdout
    assert as_json(run, "blocks", "--active")["blocks"] == []


def test_an_empty_store_names_the_transcripts_first(run: Run) -> None:
    """Most people have a history of Claude Code."""
    lines = run("analytics", "summary").stdout.splitlines()
    assert lines[1:3] == ["Read the transcripts of Claude Code:", "  claude-force ingest"]


def test_blocks_as_csv_have_no_gaps(run: Run, home: Path) -> None:
    """The rows can be added up."""
    store(home, a_response(timestamp_us=BEGAN_US), a_response(timestamp_us=BEGAN_US + 8 * HOUR_US))
    rows = list(csv.DictReader(io.StringIO(run("analytics", "blocks", "--format", "csv").stdout)))
    assert [(row["executions"], row["models"], row["is_active"]) for row in rows] == [
        ("1", "claude-opus-5", "false")
    ] * 2


def test_a_label_works_as_a_filter(run: Run, home: Path) -> None:
    """The label of a project or session is accepted if it matches only one."""
    store(
        home,
        a_response(),
        a_response(timestamp_us=NOON_US + 1, workflow_id=SESSIONS[1], project="/home/ada/play/app"),
        a_response(timestamp_us=NOON_US + 2, workflow_id=None, project="/home/ada/site"),
    )
    assert as_json(run, "summary", "--project", "site")["total_executions"] == 1
    assert as_json(run, "summary", "--project", "play/app")["total_executions"] == 1
    assert as_json(run, "summary", "--workflow", SESSIONS[0][:8])["total_executions"] == 1
    exported = run("analytics", "export", "--json", "--project", "site")
    assert len(json.loads(exported.stdout)) == 1
    for options in (("--project", "app"), ("--project", "pp"), ("--workflow", "1b2"), ("--workflow", "zzzz")):
        done = run("analytics", "summary", *options)
        assert done.returncode == 1
        assert done.stderr.startswith("error: no ")


def test_a_filter_does_not_move_a_block(run: Run, home: Path) -> None:
    """A subscription counts everything, so a filter does not change where blocks start."""
    store(
        home,
        a_response(timestamp_us=NOON_US),
        a_response(timestamp_us=NOON_US + 3 * HOUR_US, project="/home/ada/site"),
        a_response(timestamp_us=NOON_US + 9 * HOUR_US),
    )
    whole = [block for block in as_json(run, "blocks")["blocks"] if not block["isGap"]]
    part = as_json(run, "blocks", "--project", "/home/ada/site")["blocks"]
    assert [block["entries"] for block in whole] == [2, 1]
    assert [(block["startTime"], block["entries"]) for block in part] == [(whole[0]["startTime"], 1)]
