"""What a request costs in situations that people reported, each by the installed program: service tiers, long prompts,
data residency, sellers and names; and what it says where no price is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Run
from tests.transcripts import Talk, Tokens, exported, ingested, jsonl, main_file, put

TOKENS = Tokens(100_000, 10_000, 0, 0, 0)
LONG = Tokens(250_000, 10_000, 0, 0, 0)


class Reported(NamedTuple):
    """One response, and what it costs in dollars; None where no price is known."""

    day: str
    model: str
    cost: float | None
    usage: dict[str, Any] = {}  # noqa: RUF012  (never changed)
    tokens: Tokens = TOKENS
    message_id: str = "msg_1"


FAST = {"speed": "fast"}
US = {"inference_geo": "us"}

CASES = {
    "data residency": (
        Reported("2026-10-05", "claude-opus-4-8", 0.825, US),
        Reported("2026-10-05", "claude-opus-4-8", 0.75, {"inference_geo": "global"}),
        Reported("2026-10-05", "claude-opus-4-8", 0.75, {"inference_geo": "not_available"}),
        Reported("2026-10-05", "claude-opus-4-8", 0.75, {"inference_geo": ""}),
        Reported("2026-10-05", "claude-opus-4-8", 0.75, {"inference_geo": None}),
        Reported("2026-10-05", "claude-opus-4-8", None, {"inference_geo": "eu"}),
        Reported("2026-10-05", "claude-sonnet-4-6", 0.495, US),
        Reported("2026-10-05", "claude-opus-4-5", 0.75, US),
        Reported("2026-10-05", "claude-opus-4-8", 1.65, FAST | US),
    ),
    "fast mode": (
        Reported("2026-02-16", "claude-opus-4-6", 2.25, FAST),
        Reported("2026-02-20", "claude-opus-4-6", 4.5, FAST),
        Reported("2026-05-04", "claude-opus-4-7", 4.5, FAST),
        Reported("2026-06-20", "claude-opus-4-8", 1.5, FAST),
        Reported("2026-11-20", "claude-opus-5-5", 1.2, FAST),
        Reported("2026-11-20", "claude-fable-5-2", 2.4, FAST),
        Reported("2026-11-20", "claude-opus-4-6", None, FAST),
        Reported("2026-08-01", "claude-opus-4-7", None, FAST),
        Reported("2026-08-01", "claude-haiku-4-5", None, FAST),
        Reported("2026-11-20", "claude-opus-5", None, FAST | {"service_tier": "batch"}),
        Reported("2026-11-20", "claude-opus-5", None, {"speed": "ultra"}),
        Reported("2026-11-20", "claude-opus-5", 0.75, {"speed": "standard"}),
    ),
    "long prompts": (
        Reported("2025-10-10", "claude-sonnet-4-20250514", 1.725, tokens=LONG),
        Reported("2025-10-10", "claude-sonnet-4-5-20250929", 1.725, tokens=LONG),
        Reported("2025-10-10", "us.anthropic.claude-sonnet-4-20250514-v1:0", 1.725, tokens=LONG),
        Reported("2025-10-10", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1.8975, tokens=LONG),
        Reported("2025-10-10", "claude-sonnet-4@20250514", 1.725, tokens=LONG),
        Reported("2025-08-11", "claude-sonnet-4-20250514", 0.9, tokens=LONG),
        Reported("2026-03-12", "claude-opus-4-6", 2.875, tokens=LONG),
        Reported("2026-03-13", "claude-opus-4-6", 1.5, tokens=LONG),
    ),
    "batches and other tiers": (
        Reported("2026-06-15", "claude-sonnet-4-6", 0.225, {"service_tier": "batch"}),
        Reported("2026-11-20", "claude-sonnet-4-6", 0.225, {"service_tier": "batch"}),
        Reported("2025-10-10", "claude-opus-4-1-20250805", 1.125, {"service_tier": "batch"}),
        Reported("2026-11-20", "global.anthropic.claude-sonnet-4-6", 0.225, {"service_tier": "batch"}),
        Reported("2026-11-20", "claude-sonnet-4-6@default", 0.225, {"service_tier": "batch"}),
        Reported("2026-11-20", "claude-opus-5", 0.4125, {"service_tier": "batch"} | US),
        Reported("2026-11-20", "claude-sonnet-4-6", None, {"service_tier": "priority"}),
        Reported("2026-11-20", "claude-sonnet-4-6", 0.45, {"service_tier": "standard"}),
    ),
    "sellers": (
        Reported("2026-10-05", "claude-sonnet-4-5-20250929", None, message_id="msg_bdrk_1"),
        Reported("2026-10-05", "claude-opus-5", None, message_id="msg_vrtx_1"),
        Reported("2026-10-05", "claude-sonnet-4-20250514", 0.45, message_id="msg_bdrk_1"),
        Reported("2026-10-05", "global.anthropic.claude-opus-5", 0.75, message_id="msg_bdrk_1"),
        Reported("2026-10-05", "eu.anthropic.claude-opus-5", 0.825, message_id="msg_bdrk_1"),
    ),
    "names": (
        *(
            Reported("2026-11-20", name, None)
            for name in (
                "deepseek-v4-pro-max", "gemini-3-pro-preview-ours", "kimi-k2.5-fast", "claude-opus-4-10",
                "gpt-5-mini-custom", "claude-sonnet-4-5-max", "glm-4.7-ours",
            )
        ),
        Reported("2026-11-20", "glm-4.7", 0.082),
        Reported("2026-11-20", "claude-mythos-5-1", 1.5),
        Reported("2026-10-06", "claude-sonnet-5-5", 0.02, tokens=Tokens(0, 0, 100_000, 0, 0)),
        Reported("2026-10-07", "claude-sonnet-5-5", 0.01, tokens=Tokens(0, 0, 100_000, 0, 0)),
    ),
}  # fmt: skip


def put_responses(home: Path, responses: tuple[Reported, ...]) -> None:
    """A session for each response."""
    for number, found in enumerate(responses):
        session = f"1f4c5a0e-8a53-4d0c-9a3b-{number:012}"
        talk = Talk(session)
        talk.prompt()
        (line,) = talk.respond(found.message_id + str(number), found.tokens)
        line["timestamp"] = f"{found.day}T12:00:03.000Z"
        line["message"]["model"] = found.model
        line["message"]["usage"] |= found.usage
        talk.lines[0]["timestamp"] = f"{found.day}T12:00:00.000Z"
        put(main_file(home / ".claude" / "projects", session), talk.lines)


@pytest.mark.parametrize("case", CASES)
def test_a_response_costs_what_is_billed(case: str, run: Run, home: Path) -> None:
    """To the cent, or it has no cost where no price is known: never the standard price."""
    put_responses(home, CASES[case])
    assert ingested(run)["added"] == len(CASES[case])
    found = {row["workflow_id"][-2:]: (row["model"], row["estimated_cost"]) for row in exported(run)}
    assert found == {f"{number:02}": (row.model, row.cost) for number, row in enumerate(CASES[case])}


def test_lines_of_batches_cost_half(run: Run, tmp_path: Path) -> None:
    """Also those that were imported, before and after the dates of the price data."""
    common = {"agent_name": "nightly", "success": True, "execution_time_ms": None, "service_tier": "batch"}
    tokens = {"input_tokens": 100_000, "output_tokens": 10_000}
    days = ("2025-10-10", "2026-06-15", "2026-11-20")
    models = {"claude-opus-4-1-20250805": 1.125, "global.anthropic.claude-sonnet-4-6": 0.225}
    lines = [
        {"timestamp": f"{day}T09:00:00+00:00", "model": model} | common | tokens for day in days for model in models
    ]
    put(tmp_path / "batches.jsonl", jsonl(lines))
    assert run("import", tmp_path / "batches.jsonl").returncode == 0
    assert {(row["model"], row["estimated_cost"]) for row in exported(run)} == set(models.items())


def test_missing_costs_are_explained(run: Run, home: Path, tmp_path: Path) -> None:
    """`costs`, `doctor`, the HTML page and the preview of `db reprice` name each reason and its executions."""
    put_responses(home, CASES["sellers"] + CASES["fast mode"] + CASES["names"])
    ingested(run)
    expected = {
        "no published price for this model": 7,
        'no published price in service tier "fast" on that day': 3,
        'no published price in service tier "fast and batch" on that day': 1,
        'no published price in service tier "ultra" on that day': 1,
        "region not told by Amazon Bedrock; set performance.prices for this model": 1,
        "region not told by Google Vertex AI; set performance.prices for this model": 1,
    }
    costs = json.loads(run("analytics", "costs", "--json").stdout)
    assert {found["reason"]: found["executions"] for found in costs["unpriced_reasons"]} == expected
    assert costs["unpriced_executions"] == sum(expected.values())
    shown = run("analytics", "costs").stdout
    text = " ".join(shown.split())
    assert all(re.search(rf"\b{number} executions?: {re.escape(reason)}", text) for reason, number in expected.items())
    findings = json.loads(run("doctor", "--json").stdout)["findings"]
    told = [finding["text"] for finding in findings if finding["id"] == "prices"]
    assert len(told) == len(expected)
    assert all(
        any(reason in text and text.startswith(f"{number} ") for text in told) for reason, number in expected.items()
    )
    run("report", "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<li>1 execution: region not told by Amazon Bedrock; set performance.prices for this model" in page
    preview = json.loads(run("db", "reprice", "--dry-run", "--json").stdout)
    assert {found["reason"] for found in preview["unpriced_models"]} == set(expected)


def test_a_price_of_your_own_is_the_remedy(run: Run, home: Path) -> None:
    """After `config set` and `db reprice` the doctor has nothing to tell."""
    put_responses(home, CASES["sellers"][:1])
    ingested(run)
    prices = {"claude-sonnet-4-5-20250929": {"input": 3.3, "output": 16.5}}
    assert run("config", "set", "performance.prices", json.dumps(prices)).returncode == 0
    (told,) = (
        finding for finding in json.loads(run("doctor", "--json").stdout)["findings"] if finding["id"] == "prices"
    )
    assert (told["level"], told["remedy"]) == ("note", "claude-force db reprice")
    assert run("db", "reprice", "--yes").returncode == 0
    assert [row["estimated_cost"] for row in exported(run)] == [0.495]
    (told,) = (
        finding for finding in json.loads(run("doctor", "--json").stdout)["findings"] if finding["id"] == "prices"
    )
    assert told["level"] == "ok"
