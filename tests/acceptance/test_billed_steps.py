"""What an advisor, a compaction and a fallback cost, from the transcript to every report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.transcripts import Talk, Tokens, main_file, put

OPUS, SONNET, FABLE, NEW_NAME = "claude-opus-4-8", "claude-sonnet-4-6", "claude-fable-5", "claude-opus-9"
LATER = "2026-10-05T09:00:00.000Z"


def listed(kind: str, sent: int, written: int, model: str | None = None) -> dict[str, Any]:
    """A step as the API lists it."""
    found = {"type": kind, "input_tokens": sent, "output_tokens": written}
    return found if model is None else found | {"model": model}


def ingest(run: Run, projects: Path, iterations: list[Any], model: str = SONNET) -> None:
    """Ingest a session with one response that was billed so."""
    talk = Talk()
    talk.prompt("Look")
    message = {"model": model, "usage": {"iterations": iterations}}
    talk.respond("msg_1", Tokens(1, 1, 0, 0, 0), message=message, timestamp=LATER)
    put(main_file(projects), talk.lines)
    assert run("ingest").returncode == 0


def report(run: Run, *command: str) -> Any:
    """A report as JSON."""
    return json.loads(run("analytics", *command, "--json").stdout)


CASES: dict[str, tuple[str, list[Any], dict[str, tuple[int, float | None]]]] = {
    "an advisor": (
        SONNET,
        [listed("message", 4, 900), listed("advisor_message", 100_000, 2000, OPUS)],
        {SONNET: (1, 0.013512), OPUS: (0, 0.55)},
    ),
    "a compaction": (OPUS, [listed("compaction", 170_000, 3000), listed("message", 20_000, 1000)], {OPUS: (1, 1.05)}),
    "a fallback after some output": (
        OPUS,
        [listed("message", 5000, 400, FABLE), listed("fallback_message", 5000, 900, OPUS)],
        {OPUS: (1, 0.0475), FABLE: (0, 0.07)},
    ),
    "two advisors of one model": (
        SONNET,
        [
            listed("advisor_message", 1000, 0, OPUS),
            listed("message", 1000, 0),
            listed("advisor_message", 1000, 0, OPUS),
        ],
        {SONNET: (1, 0.003), OPUS: (0, 0.01)},
    ),
    "an advisor without a price": (
        SONNET,
        [listed("message", 1000, 0), listed("advisor_message", 10, 10, NEW_NAME)],
        {SONNET: (1, 0.003), NEW_NAME: (0, None)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_model_has_what_its_steps_cost(run: Run, projects: Path, case: str) -> None:
    """One execution; `by-model` and `costs` name every model with its tokens and money, and all totals are the same."""
    model, iterations, expected = CASES[case]
    ingest(run, projects, iterations, model)
    models = {found["model"]: found for found in report(run, "by-model")["models"]}
    assert {name: (found["executions"], found["total_cost"]) for name, found in models.items()} == expected
    whole = round(sum(cost or 0 for _, cost in expected.values()), 9)
    costs = report(run, "costs")
    assert (costs["total_executions"], costs["total_cost"]) == (1, whole)
    assert {found["model"]: found["total_cost"] for found in costs["by_model"]} == {
        name: cost for name, (_, cost) in expected.items()
    }
    for dimension in ("agent", "workflow", "project"):
        (only,) = report(run, f"by-{dimension}")[f"{dimension}s"]
        assert (only["executions"], only["total_cost"]) == (1, whole)
    assert run("db", "check").returncode == 0


def test_one_model_is_asked_for(run: Run, projects: Path) -> None:
    """`--model` finds what the advisor cost, with no execution of its own."""
    ingest(run, projects, CASES["an advisor"][1])
    found = report(run, "costs", "--model", OPUS)
    assert (found["total_executions"], found["total_cost"], found["total_input_tokens"]) == (0, 0.55, 100_000)


REPORTS = [
    *(f"analytics by-{name}" for name in ("model", "agent", "project", "session", "branch", "workflow")),
    *("analytics summary", "analytics costs --trends", "analytics trends", "analytics blocks", "report"),
]


@pytest.mark.parametrize("command", REPORTS)
def test_every_report_of_the_advisors_model_has_its_cost(run: Run, projects: Path, home: Path, command: str) -> None:
    """Although no execution is its own: figures that divide by their number are unknown, the cost is not."""
    ingest(run, projects, CASES["an advisor"][1])
    page = home / "page.html"
    output = ("--output", page) if command == "report" else ()
    shown = run(*command.split(), "--start", "2026-10-01", "--model", OPUS, *output)
    assert shown.returncode == 0, shown.stderr
    assert "$0.55" in (page.read_text() if page.exists() else shown.stdout)


@pytest.mark.parametrize("command", ["analytics errors", "baseline create advised", "analytics export"])
def test_what_needs_executions_finds_none_of_the_advisors_model(run: Run, projects: Path, command: str) -> None:
    """Failures, baselines and exports are of executions: there is none, and that is said without an error of ours."""
    ingest(run, projects, CASES["an advisor"][1])
    shown = run(*command.split(), "--start", "2026-10-01", "--model", OPUS)
    assert "unexpected" not in shown.stderr
    assert "0.55" not in shown.stdout


@pytest.mark.parametrize("without", [{}, {"iterations": []}, {"iterations": None}], ids=str)
@pytest.mark.parametrize("is_first", [True, False])
def test_steps_on_one_of_two_equal_lines_are_billed(
    run: Run, projects: Path, without: dict[str, Any], is_first: bool
) -> None:
    """Whichever line of the response has them, and whether the other one lists the message alone, or nothing."""
    usages: list[dict[str, Any]] = [{"iterations": CASES["an advisor"][1]}, without]
    talk = Talk()
    talk.prompt("Look")
    for usage in usages if is_first else reversed(usages):
        talk.respond("msg_1", Tokens(4, 900, 0, 0, 0), message={"model": SONNET, "usage": usage}, timestamp=LATER)
    put(main_file(projects), talk.lines)
    assert run("ingest").returncode == 0
    found = report(run, "costs")
    assert (found["total_executions"], found["total_cost"]) == (1, 0.563512)


def test_an_unknown_part_is_named(run: Run, projects: Path) -> None:
    """With the model that has no price; the known part is counted."""
    ingest(run, projects, CASES["an advisor without a price"][1])
    text = run("analytics", "costs").stdout
    assert "$0.00 USD" not in text
    assert NEW_NAME in text
    assert "1 execution has no known price" in text
    assert f"1 execution: no published price for this model ({NEW_NAME})\n" in text
    assert f"no published price for this model ({NEW_NAME})" in " ".join(run("doctor").stdout.split())


def test_an_export_keeps_the_steps(run: Run, projects: Path, home: Path) -> None:
    """The same bytes come out of a database that the export was imported into, and the same totals by model."""
    ingest(run, projects, CASES["an advisor"][1])
    run("analytics", "export", "--output", home / "a.jsonl")
    other = ("--db", home / "other.db")
    assert run("import", home / "a.jsonl", *other).returncode == 0
    run("analytics", "export", "--output", home / "b.jsonl", *other)
    assert (home / "a.jsonl").read_bytes() == (home / "b.jsonl").read_bytes()
    assert report(run, "by-model", *map(str, other))["models"] == report(run, "by-model")["models"]


def test_ten_thousand_steps_are_one_execution(run: Run, projects: Path) -> None:
    """And one more is refused, with the reason."""
    ingest(run, projects, [listed("message", 1, 0)] * 10_000)
    assert report(run, "costs")["total_input_tokens"] == 10_000
    talk = Talk()
    talk.respond("msg_2", message={"usage": {"iterations": [listed("message", 1, 0)] * 10_001}})
    put(main_file(projects, "second"), talk.lines)
    assert "usage.iterations: has more than 10,000 steps" in run("ingest").stderr
