"""What a response of a transcript is billed for: its steps, refusals, residency and seller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_force.executions.billed_steps import REFUSAL, UNBILLED_REFUSAL, Step
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import CLAUDE_CODE, ExecutionMetrics, from_row
from claude_force.ingest.find_files import found_file
from claude_force.ingest.tail import resume
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.source import TranscriptBatch, TranscriptSource
from tests.transcripts import SESSION, Talk, Tokens, put

OPUS, SONNET = "claude-opus-4-8", "claude-sonnet-4-6"
PRICES = PriceTable("claude-sonnet-4-5")
LATER = "2026-10-05T09:00:00.000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a session."""
    return tmp_path / f"{SESSION}.jsonl"


def batches_of(path: Path, talk: Talk) -> list[TranscriptBatch]:
    """What a transcript holds."""
    put(path, talk.lines)
    with resume(found_file(path), None, host="here", source=CLAUDE_CODE) as tail:
        return list(TranscriptSource(PRICES, "here").read(tail, TranscriptContext(SESSION)))


def executions_of(path: Path, talk: Talk) -> list[ExecutionMetrics]:
    """The executions of a transcript."""
    return [from_row(found.row) for batch in batches_of(path, talk) for found in batch.observations]


def response(
    path: Path, *, message_id: str = "msg_1", after: dict[str, Any] | None = None, **message: Any
) -> ExecutionMetrics:
    """The execution of a file with one response; `after` is the entry behind it."""
    talk = Talk()
    talk.prompt("Look")
    talk.respond(message_id, Tokens(1000, 10, 0, 0, 0), message={"model": SONNET} | message, timestamp=LATER)
    if after is not None:
        talk.add("system", {}, **after)
    (found,) = executions_of(path, talk)
    return found


def test_steps_are_what_is_billed(path: Path) -> None:
    """Where the top-level usage says something else, too."""
    iterations = [
        {"type": "message", "input_tokens": 4, "output_tokens": 900},
        {"type": "advisor_message", "model": OPUS, "input_tokens": 100, "output_tokens": 20},
    ]
    found = response(path, usage={"input_tokens": 77, "output_tokens": 1, "iterations": iterations})
    assert found.steps is not None
    assert [(step.model, step.input_tokens, step.cost_nanousd) for step in found.steps] == [
        (SONNET, 4, 4 * 3000 + 900 * 15_000),
        (OPUS, 100, 100 * 5000 + 20 * 25_000),
    ]
    assert (found.input_tokens, found.output_tokens) == (104, 920)
    assert found.cost_nanousd == sum(step.cost_nanousd or 0 for step in found.steps)


def test_one_step_corrects_the_usage(path: Path) -> None:
    """It replaces the top-level counts, and the execution has no steps."""
    found = response(path, usage={"iterations": [{"type": "message", "input_tokens": 5, "output_tokens": 6}]})
    assert (found.input_tokens, found.output_tokens, found.steps) == (5, 6, None)


@pytest.mark.parametrize("iterations", [None, [], "message", 7, {"type": "message"}])
def test_no_steps(path: Path, iterations: Any) -> None:
    """The top-level usage is what is billed then."""
    found = response(path, usage={"iterations": iterations})
    assert (found.input_tokens, found.output_tokens, found.steps) == (1000, 10, None)


def test_a_step_with_impossible_counts_rejects_the_response(path: Path) -> None:
    """With the place of the step, like any other impossible number."""
    talk = Talk()
    talk.prompt("Look")
    bad = [{"type": "message", "input_tokens": 5, "output_tokens": -6}]
    (line,) = talk.respond("msg_1", message={"usage": {"iterations": bad}})
    (batch, *_) = batches_of(path, talk)
    assert batch.observations == []
    assert [(found.line, found.reason) for found in batch.rejected] == [
        (2, "usage.iterations[0].output_tokens: is negative")
    ]
    assert line["message"]["id"] == "msg_1"


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, int | None, str | None]] = {
    "a free category, in the entry behind it": (
        {},
        {"subtype": "model_refusal_fallback", "apiRefusalCategory": "cyber"},
        0,
        UNBILLED_REFUSAL,
    ),
    "no category, in the entry behind it": ({}, {"subtype": "model_refusal_fallback"}, 0, UNBILLED_REFUSAL),
    "a free category, in the message": ({"stop_details": {"category": "general_harms"}}, None, 0, UNBILLED_REFUSAL),
    "no category, in the message": ({"stop_details": {"category": None}}, None, 0, UNBILLED_REFUSAL),
    "a billed category": ({"stop_details": {"category": "bio"}}, None, 3_000_000, None),
    "a new category": ({"stop_details": {"category": "weather"}}, None, None, REFUSAL),
    "nothing known of it": ({}, None, None, REFUSAL),
    "another entry behind it": ({}, {"subtype": "informational", "apiRefusalCategory": "cyber"}, None, REFUSAL),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_before_any_output(path: Path, case: str) -> None:
    """They failed with an error type of their own, and cost what is billed in their category."""
    message, after, cost, kind = REFUSALS[case]
    usage = {"input_tokens": 1000, "output_tokens": 0, "iterations": ...}
    found = response(path, after=after, stop_reason="refusal", usage=usage, **message)
    assert (found.success, found.error_type, found.cost_nanousd) == (False, "refusal", cost)
    assert [step.kind for step in found.steps or ()] == ([] if kind is None else [kind])
    assert found.input_tokens == 1000


@pytest.mark.parametrize(("details", "cost"), [({"category": "cyber"}, 550_000_000), (None, None)])
def test_what_ran_before_a_refusal_is_billed(path: Path, details: dict[str, Any] | None, cost: int | None) -> None:
    """An advisor's answer is; where the bill of the refusal is not known, its own cost still is."""
    iterations = [
        {"type": "advisor_message", "model": OPUS, "input_tokens": 100_000, "output_tokens": 2000},
        {"type": "message", "input_tokens": 1000, "output_tokens": 0},
    ]
    usage = {"input_tokens": 1000, "output_tokens": 0, "iterations": iterations}
    found = response(path, stop_reason="refusal", stop_details=details, usage=usage)
    assert (found.error_type, found.cost_nanousd, found.input_tokens) == ("refusal", cost, 101_000)
    assert [step.cost_nanousd for step in found.steps or ()] == [550_000_000, None if cost is None else 0]


def test_a_refusal_after_some_output_is_billed(path: Path) -> None:
    """For what streamed."""
    found = response(path, stop_reason="refusal", stop_details={"category": "cyber"})
    assert (found.success, found.error_type) == (False, "refusal")
    assert found.cost_nanousd == 1000 * 3000 + 10 * 15_000


@pytest.mark.parametrize(
    ("message_id", "provider"),
    [("msg_01X", None), ("msg_bdrk_01X", "bedrock"), ("msg_vrtx_01X", "vertex"), ("bdrk_msg_", None)],
)
def test_the_seller_is_in_the_message_id(path: Path, message_id: str, provider: str | None) -> None:
    """Bedrock and Vertex AI begin theirs in a way of their own."""
    assert response(path, message_id=message_id).provider == provider


@pytest.mark.parametrize(
    ("said", "geo"), [("us", "us"), ("global", None), ("not_available", None), ("", None), (None, None), (7, None)]
)
def test_data_residency(path: Path, said: Any, geo: str | None) -> None:
    """What the API calls no residency is none."""
    assert response(path, usage={"inference_geo": said}).inference_geo == geo


def test_a_step_without_a_price_leaves_the_cost_unknown(path: Path) -> None:
    """The parts keep what is known of theirs."""
    iterations = [
        {"type": "message", "input_tokens": 1, "output_tokens": 0},
        {"type": "advisor_message", "input_tokens": 1, "output_tokens": 0},
    ]
    found = response(path, usage={"iterations": iterations})
    assert found.cost_nanousd is None
    assert found.steps == (
        Step("message", SONNET, 1, 0, cost_nanousd=3000, reference_cost_nanousd=3000),
        Step("advisor_message", "unknown", 1, 0, reference_cost_nanousd=3000),
    )


def test_the_branch_is_kept(path: Path) -> None:
    """As Claude Code writes it."""
    assert response(path).git_branch == "main"
