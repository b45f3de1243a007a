"""Output of `claude -p`: from events to executions, and what is rejected."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics, from_row
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.results.runs import RunReader
from claude_force.ingest.results.source import read_results, results_at
from tests.builders import NOON_US
from tests.results import HAIKU, SESSION, SONNET, a_response, a_result, an_init, jsonl, used

Events = list[dict[str, Any]]


def read(content: bytes, prices: PriceTable | None = None) -> tuple[list[ExecutionMetrics], list[Rejected], list[str]]:
    """The executions of an output, what is rejected, and the notes."""
    reader = RunReader(prices, "ci-1", user="ada")
    counts = read_results(io.BytesIO(content), content[:4096], reader)
    found = [from_row(item.row) for item in reader.observations(NOON_US)]
    return found, counts.rejected, list(reader.notes)


def executions(events: Events) -> list[ExecutionMetrics]:
    """The executions of a stream in which nothing is rejected."""
    found, rejected, _ = read(jsonl(events))
    assert rejected == []
    return found


def figures(found: list[ExecutionMetrics]) -> list[tuple[Any, ...]]:
    """Model, input, output, cache read, and cost in nano-dollars of each execution."""
    return [(e.model, e.input_tokens, e.output_tokens, e.cache_read_tokens, e.cost_nanousd) for e in found]


def test_a_run_is_an_execution() -> None:
    """With the usage and cost of its result, not the placeholders of its responses; nothing of it is provisional."""
    (found,) = executions([an_init(), a_response(), a_result()])
    assert figures([found]) == [(SONNET, 10, 100, 1000, 1_220_000)]
    assert (found.success, found.error_type, found.usage_basis, found.duration_us) == (True, None, "result", 4_200_000)
    assert (found.agent_name, found.workflow_id, found.project) == ("main", SESSION, "/home/u/ci")
    assert (found.source, found.host, found.run_id, found.timestamp_us) == ("claude-result", "ci-1", "u2", NOON_US)
    assert found.user_name == "ada"


EVENTS = [an_init(), a_response(), a_result()]
LAYOUTS = {
    "lines": jsonl(EVENTS),
    "lines without a last newline": jsonl(EVENTS).rstrip(),
    "lines with spaces": b"".join(json.dumps(event).encode() + b"\r\n" for event in EVENTS),
    "an array": json.dumps(EVENTS).encode(),
    "an indented array": json.dumps(EVENTS, indent=2).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(EVENTS, indent=2).encode(),
    "two events on a line": jsonl(EVENTS).replace(b"}\n{", b"}{", 1),
    "NULs before the result": jsonl(EVENTS[:2]) + b"\0" * 9 + jsonl(EVENTS[2:]),
    "a warning before it": b"npm warn: old\n" + jsonl(EVENTS),
}


@pytest.mark.parametrize("content", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layout_does_not_matter(content: bytes, tmp_path: Path) -> None:
    """The same execution from lines, an array, damaged lines; the file is known by its content."""
    (found,), _, notes = read(content)
    assert (figures([found]), found.project, notes) == ([(SONNET, 10, 100, 1000, 1_220_000)], "/home/u/ci", [])
    path = tmp_path / "run.json"
    path.write_bytes(content)
    assert results_at([tmp_path]) == [path]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_result_alone_is_a_run(indent: int | None) -> None:
    """As `--output-format json` writes it, also indented."""
    (found,), _, _ = read(json.dumps(a_result(), indent=indent).encode())
    assert figures([found]) == [(SONNET, 10, 100, 1000, 1_220_000)]


def test_each_model_is_an_execution() -> None:
    """The model that the run was started with comes first and has its duration; the costs are those of the result. A
    context window is no part of a name."""
    models = {HAIKU: used(5, 6, 0, 0.0001), f"{SONNET}[1m]": used(10, 100, 1000, 0.00122)}
    found = executions([an_init(model=f"{SONNET}[1m]"), a_result(modelUsage=models, total_cost_usd=0.00132)])
    assert figures(found) == [(SONNET, 10, 100, 1000, 1_220_000), (HAIKU, 5, 6, 0, 100_000)]
    assert [item.duration_us for item in found] == [4_200_000, None]


def test_the_cost_is_that_of_the_result() -> None:
    """What no model is named for is the main model's, so the executions add up to the total."""
    models = {SONNET: used(10, 100, 1000, 0.001), HAIKU: used(5, 6, 0, 0.0001)}
    found = executions([an_init(), a_result(modelUsage=models, total_cost_usd=0.005)])
    assert [item.cost_nanousd for item in found] == [4_900_000, 100_000]


def test_a_cost_that_is_missing_is_priced() -> None:
    """A model without a cost in the result, or with one that Claude Code does not know, gets the list price."""
    usage = used(1_000_000, 0, 0, 7.0) | {"costBasis": "unknown"}
    content = jsonl([an_init(), a_result(modelUsage={SONNET: usage}, total_cost_usd=None)])
    ((found,), _, _), ((unpriced,), _, _) = read(content, PriceTable("claude-sonnet-4-5")), read(content)
    assert found.cost_nanousd
    assert (found.price_version is None, unpriced.cost_nanousd) == (False, None)


def test_cache_writes_have_their_lifetime() -> None:
    """The writes for an hour are told apart where the result does."""
    usage = used() | {"cacheCreationInputTokens": 50, "cacheCreationEphemeral1hInputTokens": 20, "webSearchRequests": 3}
    (found,) = executions([a_result(modelUsage={SONNET: usage})])
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens, found.web_searches) == (30, 20, 3)


def test_results_of_one_process_contain_each_other() -> None:
    """Usage by model and cost are cumulative, so the last result counts; the durations are those of the turns."""
    second = a_result(total_cost_usd=0.003, modelUsage={SONNET: used(30, 300, 3000, 0.003)}, uuid="u4")
    (found,) = executions([an_init(), a_response(), a_result(), an_init(), a_response("msg_2"), second])
    assert figures([found]) == [(SONNET, 30, 300, 3000, 3_000_000)]
    assert found.duration_us == 8_400_000


def test_a_cost_that_begins_anew_is_another_run() -> None:
    """A result that is less than the one before it (`/clear`) does not contain it."""
    less = a_result(total_cost_usd=0.0005, modelUsage={SONNET: used(1, 2, 0, 0.0005)}, uuid="u4")
    assert figures(executions([a_result(), less])) == [
        (SONNET, 10, 100, 1000, 1_220_000),
        (SONNET, 1, 2, 0, 500_000),
    ]


@pytest.mark.parametrize(("version", "runs"), [("2.1.276", 2), ("1.0.80", 2), ("2.1.277", 1), ("3.0.0", 1), (None, 1)])
def test_each_process_of_an_old_version_is_a_run(version: str | None, runs: int) -> None:
    """Since Claude Code 2.1.277 a resumed process counts on; before, its result has its own usage alone."""
    init = an_init(claude_code_version=version)
    second = a_result(total_cost_usd=0.003, modelUsage={SONNET: used(30, 300, 3000, 0.003)}, uuid="u4")
    assert len(executions([init, a_result(), init, second])) == runs


def test_sessions_are_told_apart() -> None:
    """The outputs of several processes in one file."""
    other = "16000001-0000-4000-8000-000000000002"
    found = executions([an_init(), a_result(), an_init(session_id=other), a_result(session_id=other)])
    assert [item.workflow_id for item in found] == [SESSION, other]


def test_an_older_result_has_one_usage() -> None:
    """Without a usage by model: that of the main conversation, turn by turn; a lower bound if there were sub-agents."""
    result = a_result(modelUsage=..., total_cost_usd=0.0024)
    (found,) = executions([an_init(), a_response(), a_result(modelUsage=...), a_response("msg_2"), result])
    assert figures([found]) == [(SONNET, 20, 200, 2000, 2_400_000)]
    assert found.usage_basis == "result"
    (found,) = executions([an_init(), a_response(parent_tool_use_id="toolu_1"), a_result(modelUsage=...)])
    assert found.usage_basis == "provisional"


def test_a_stream_without_a_result_is_a_lower_bound() -> None:
    """Each response counts once, with its largest usage; the run failed as unfinished, and a note says so."""
    content = jsonl([an_init(), a_response(), a_response(), a_response("msg_2", model=HAIKU)]) + b'{"type":"resu'
    found, (rejected,), (note,) = read(content)
    assert figures(found) == [(SONNET, 10, 2, 1000, None), (HAIKU, 10, 2, 1000, None)]
    assert [(item.usage_basis, item.error_type) for item in found] == [
        ("provisional", "unfinished"),
        ("provisional", None),
    ]
    assert "without a result" in note
    assert (rejected.line, rejected.offset) == (5, len(content) - 13)


def test_a_stream_that_only_began_has_nothing_to_count() -> None:
    """A note says so."""
    found, rejected, (note,) = read(jsonl([an_init()]))
    assert (found, rejected) == ([], [])
    assert "nothing to count" in note


def test_a_result_of_zeros_has_the_usage_of_its_responses() -> None:
    """Runs at once may end with an empty result; the responses are a lower bound of their tokens."""
    zeros = used(0, 0, 0, 0)
    (found,) = executions([an_init(), a_response(), a_result(modelUsage={SONNET: zeros}, total_cost_usd=0)])
    assert (found.input_tokens, found.output_tokens, found.usage_basis, found.success) == (10, 2, "provisional", True)


FAILURES = {
    "too many turns": ({"subtype": "error_max_turns", "is_error": False}, "error_max_turns"),
    "an error while it ran": ({"subtype": "error_during_execution", "is_error": True}, "error_during_execution"),
    "too expensive": ({"subtype": "error_max_budget_usd"}, "error_max_budget_usd"),
    "a status": ({"is_error": True, "api_error_status": 529, "result": "API Error"}, "overloaded"),
    "another status": ({"is_error": True, "api_error_status": 500, "result": "x"}, "http_500"),
    "a named kind": ({"is_error": True, "api_error_type": "rate_limit"}, "rate_limit"),
    "a text": ({"is_error": True, "result": "Invalid API key · Please run /login"}, "authentication_failed"),
    "nothing but the flag": ({"is_error": True, "result": None}, "api_error"),
}


@pytest.mark.parametrize(("changes", "error_type"), FAILURES.values(), ids=FAILURES)
def test_a_run_that_failed_has_an_error_type(changes: dict[str, Any], error_type: str) -> None:
    """The subtype, else the status, the kind or the text of the error. Its usage counts."""
    (found,) = executions([an_init(), a_result(**changes)])
    assert (found.success, found.error_type) == (False, error_type)
    assert found.output_tokens == 100


def test_a_run_that_failed_at_once_costs_nothing() -> None:
    """It is an execution without a usage."""
    events = [an_init(), a_result(is_error=True, result="x", total_cost_usd=0, modelUsage={}, usage=None)]
    (found,) = executions(events)
    assert (found.success, found.model, found.input_tokens, found.cost_nanousd) == (False, SONNET, None, 0)


REFUSED: dict[str, dict[str, Any]] = {
    "negative tokens": {"modelUsage": {SONNET: used(-1)}},
    "a negative cost of a model": {"modelUsage": {SONNET: used(cost=-0.1)}},
    "a negative total": {"total_cost_usd": -1},
    "tokens as text": {"modelUsage": {SONNET: used() | {"outputTokens": "100"}}},
    "half a token": {"modelUsage": {SONNET: used() | {"outputTokens": 1.5}}},
    "absurd tokens": {"modelUsage": {SONNET: used(10**12)}},
    "an absurd cost": {"total_cost_usd": 1e300},
    "more hour writes than writes": {"modelUsage": {SONNET: used() | {"cacheCreationEphemeral1hInputTokens": 5}}},
    "a list of models": {"modelUsage": [SONNET]},
    "a number for a model": {"modelUsage": {SONNET: 5}},
    "a cost as text": {"total_cost_usd": "0.1"},
    "a list for usage": {"usage": [1]},
    "negative usage": {"modelUsage": None, "usage": {"input_tokens": -1, "output_tokens": 1}},
    "a model without a name": {"modelUsage": {"": used()}},
    "negative searches": {"modelUsage": {SONNET: used() | {"webSearchRequests": -1}}},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_an_impossible_result_is_rejected(changes: dict[str, Any]) -> None:
    """With its line; what the responses used is kept as a lower bound."""
    found, (rejected,), (note,) = read(jsonl([an_init(), a_response(), a_result(**changes)]))
    assert rejected.line == 3
    assert rejected.reason
    assert "without a result" in note
    assert figures(found) == [(SONNET, 10, 2, 1000, None)]


@pytest.mark.parametrize("name", ["duration_ms", "uuid", "result", "api_error_status", "timestamp", "num_turns"])
@pytest.mark.parametrize("value", [None, [], {"a": 1}, -5, 1e300], ids=repr)
def test_another_field_of_a_wrong_type_counts_as_absent(name: str, value: object) -> None:
    """The tokens and the cost are kept."""
    (found,) = executions([an_init(), a_response(), a_result(**{name: value})])
    assert figures([found]) == [(SONNET, 10, 100, 1000, 1_220_000)]


@pytest.mark.parametrize("field", ["model", "cwd", "claude_code_version", "session_id", "subtype"])
@pytest.mark.parametrize("value", [None, 5, [], "", "a\0b", "x" * 5000], ids=lambda value: repr(value)[:9])
def test_a_first_event_of_wrong_types_stops_nothing(field: str, value: object) -> None:
    """The result says what counts."""
    found, rejected, _ = read(jsonl([an_init(**{field: value}), a_result()]))
    assert figures(found) == [(SONNET, 10, 100, 1000, 1_220_000)]
    assert rejected == []


@pytest.mark.parametrize("usage", [None, 5, [], {}, {"input_tokens": None}, {"input_tokens": -1, "output_tokens": 2}])
def test_a_response_without_a_usage_adds_nothing(usage: object) -> None:
    """A stream without a result then has nothing to count."""
    event = a_response()
    event["message"]["usage"] = usage
    found, rejected, (note,) = read(jsonl([an_init(), event]))
    assert (found, rejected) == ([], [])
    assert "nothing to count" in note


@pytest.mark.parametrize("session_id", [None, ..., 5, ""])
def test_a_result_without_a_session_is_rejected(session_id: object) -> None:
    """It could not be told from others."""
    found, (rejected,), _ = read(jsonl([an_init(), a_result(session_id=session_id)]))
    assert (found, rejected.reason) == ([], "session_id: is missing")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]",
        b"{}",
        b'{"type":"assistant","sessionId":"x"}',
        b'{"session_id":"x"}',
        b"[1]",
        b"x",
        b'[{"a":1}]',
    ],
)
def test_other_files_are_no_results(content: bytes, tmp_path: Path) -> None:
    """An entry of a transcript, other JSON, no JSON."""
    (tmp_path / "a.json").write_bytes(content)
    assert results_at([tmp_path]) == []


def test_texts_are_not_kept() -> None:
    """Nothing of an answer is in an execution."""
    found, _, _ = read(jsonl([an_init(), a_response(), a_result(result="SECRET")]))
    assert "SECRET" not in repr(found)
