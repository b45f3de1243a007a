"""Transcripts to executions: tokens, costs and places, and how far a file was read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.rows.cursor import Cursor
from claude_force.executions.jsonl.lines import LINE_LIMIT_BYTES
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import (
    CLAUDE_CODE,
    NAME_LIMIT,
    PROVISIONAL,
    TOKENS_LIMIT,
    ExecutionMetrics,
    from_row,
)
from claude_force.ingest.find_files import found_file
from claude_force.ingest.tail import resume
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.responses import NO_REQUEST, SYNTHETIC
from claude_force.ingest.transcripts.source import CHUNK_LINES, TranscriptBatch, TranscriptSource
from claude_force.settings.claude_json import ModelPrice
from tests.transcripts import CWD, MODEL, SESSION, Line, Talk, Tokens, put

CONTEXT = TranscriptContext(SESSION)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the transcript is."""
    return tmp_path / f"{SESSION}.jsonl"


def parts_of(path: Path, known: Cursor | None = None, prices: PriceTable | None = None) -> list[TranscriptBatch]:
    """What is new in a file."""
    with resume(found_file(path), known, host="here", source=CLAUDE_CODE) as tail:
        return list(TranscriptSource(prices, "here", "ada").read(tail, CONTEXT))


def executions(parts: Iterable[TranscriptBatch]) -> list[ExecutionMetrics]:
    """The executions of some parts."""
    return [from_row(observation.row) for part in parts for observation in part.observations]


def execution_of(path: Path, *, prices: PriceTable | None = None, **changes: Any) -> ExecutionMetrics:
    """What a file with one response comes to."""
    talk = Talk()
    talk.prompt("Look")
    talk.respond("msg_1", **changes)
    put(path, talk.lines)
    (found,) = executions(parts_of(path, prices=prices))
    return found


def test_a_response_is_an_execution(path: Path) -> None:
    """Of the session, its project, this host and user; it took from the prompt to its last line, and is final."""
    found = execution_of(path)
    assert (found.source, found.host, found.workflow_id, found.project) == (CLAUDE_CODE, "here", SESSION, CWD)
    assert found.user_name == "ada"
    assert (found.success, found.error_type, found.usage_basis, found.duration_us) == (True, None, None, 1_000_000)
    assert (found.cost_nanousd, found.reference_cost_nanousd, found.price_version) == (None, None, None)


def test_a_workflow_names_its_executions(path: Path) -> None:
    """In place of the session."""
    talk = Talk()
    talk.respond("msg_1")
    put(path, talk.lines)
    with resume(found_file(path), None, host="here", source=CLAUDE_CODE) as tail:
        context = TranscriptContext(SESSION, "a1", "wf-9")
        (found,) = executions(TranscriptSource(None, None).read(tail, context))
    assert (found.workflow_id, found.host) == ("wf-9", None)


USAGES: dict[str, tuple[Line, tuple[int | None, ...]]] = {
    "all kinds": ({}, (3, 120, 15_000, 0, 900)),
    "writes without tiers": ({"cache_creation": ..., "cache_creation_input_tokens": 40}, (3, 120, 15_000, 40, 0)),
    "more than the tiers say": ({"cache_creation_input_tokens": 1000}, (3, 120, 15_000, 100, 900)),
    "tiers alone": ({"cache_creation_input_tokens": ...}, (3, 120, 15_000, 0, 900)),
    "no cache": (
        {"cache_creation": ..., "cache_creation_input_tokens": ..., "cache_read_input_tokens": ...},
        (3, 120, 0, 0, 0),
    ),
    "an output that is not known": ({"output_tokens": ...}, (None, None, 0, 0, 0)),
    "an input that is not known": ({"input_tokens": ...}, (None, None, 0, 0, 0)),
}


@pytest.mark.parametrize("case", USAGES)
def test_tokens_by_their_kind(case: str, path: Path) -> None:
    """Cache writes that no tier claims are for five minutes; where the input or the output is not known, none is."""
    changes, expected = USAGES[case]
    found = execution_of(path, message={"usage": changes})
    assert (
        found.input_tokens,
        found.output_tokens,
        found.cache_read_tokens,
        found.cache_write_5m_tokens,
        found.cache_write_1h_tokens,
    ) == expected


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({}, None),
        ({"service_tier": "batch"}, "batch"),
        ({"speed": "fast"}, "fast"),
        ({"speed": "fast", "service_tier": "batch"}, "fast and batch"),
        ({"speed": "ultra"}, "ultra"),
        ({"service_tier": ...}, None),
    ],
)
def test_a_tier_is_kept_where_it_is_not_the_usual_one(usage: Line, tier: str | None, path: Path) -> None:
    """Speed counts as one."""
    assert execution_of(path, message={"usage": usage}).service_tier == tier


def test_searches_are_counted(path: Path) -> None:
    """Of the web, by the server."""
    assert execution_of(path, message={"usage": {"server_tool_use": {"web_search_requests": 2}}}).web_searches == 2
    assert execution_of(path, message={"usage": {"server_tool_use": ...}}).web_searches == 0


def test_a_usage_that_is_not_final_is_provisional(path: Path) -> None:
    """Another record may tell a better one; where no tokens are known there is nothing to be better than."""
    assert execution_of(path, message={"stop_reason": None}).usage_basis == PROVISIONAL
    without = {"stop_reason": None, "usage": {"output_tokens": ...}}
    assert execution_of(path, message=without).usage_basis is None


COSTS: dict[str, tuple[Line, int | None]] = {
    "in the line": ({"costUSD": 0.25}, 250_000_000),
    "of nothing": ({"costUSD": 0}, 0),
    "below nothing": ({"costUSD": -1}, None),
    "beyond any": ({"costUSD": 1e300}, None),
    "not in the line": ({}, None),
}


@pytest.mark.parametrize("case", COSTS)
def test_a_cost_in_the_line_is_kept_without_prices(case: str, path: Path) -> None:
    """Where it can be one; the tokens count in any case."""
    line, cost = COSTS[case]
    found = execution_of(path, **line)
    assert (found.cost_nanousd, found.input_tokens) == (cost, 3)


def test_prices_fill_in_what_is_missing(path: Path) -> None:
    """And name themselves; a cost in the line stays."""
    prices = PriceTable("claude-opus-4-1")
    found = execution_of(path, prices=prices)
    # Sonnet 4.5: 3 in at $3, 120 out at $15, 15,000 read at $0.30, 900 written for an hour at $6 a million.
    assert found.cost_nanousd == 3 * 3000 + 120 * 15_000 + 15_000 * 300 + 900 * 6000
    assert found.price_version
    assert execution_of(path, prices=prices, costUSD=0.25).cost_nanousd == 250_000_000


def test_what_was_refused_costs_nothing(path: Path) -> None:
    """An error without tokens is not billed, with prices and without."""
    talk = Talk()
    talk.fail("API Error: 529 Overloaded")
    put(path, talk.lines)
    for prices in (None, PriceTable("claude-opus-4-1")):
        (found,) = executions(parts_of(path, prices=prices))
        assert (found.success, found.error_type, found.cost_nanousd) == (False, "overloaded", 0)


@pytest.mark.parametrize("seconds", [-5, 400 * 86_400])
def test_a_duration_that_cannot_be_is_not_known(seconds: int, path: Path) -> None:
    """An answer before its question, or a year after it."""
    talk = Talk()
    talk.seconds = 1000
    talk.prompt("Look")
    talk.seconds += seconds
    talk.respond("msg_1")
    put(path, talk.lines)
    assert executions(parts_of(path))[0].duration_us is None


def test_what_is_refused_and_what_is_left_out_is_counted(path: Path) -> None:
    """With the number of the line, and the reason; the rest of the file is read."""
    talk = Talk()
    talk.respond("msg_1")
    talk.respond("msg_2", message={"model": SYNTHETIC})
    bad = b'{"message": {"usage": {"output_tokens": "many"}}}\n'
    put(path, b"\xef\xbb\xbf" + talk.data() + b"{bad\n" + bad + b"  \n")
    part, last = parts_of(path)
    assert [(item.line, item.reason.split(":")[0]) for item in part.rejected] == [(3, "not valid JSON"), (4, "usage")]
    assert (part.lines, len(part.observations), part.skipped) == (5, 1, {NO_REQUEST: 1})
    assert (last.cursor.lines, last.cursor.responses, last.cursor.rejected) == (5, 1, 2)
    assert json.loads(last.cursor.skipped) == {NO_REQUEST: 1}


def test_a_response_that_no_record_holds_is_refused(path: Path) -> None:
    """By the number of its first line; the others count."""
    talk = Talk()
    talk.respond("msg_1", Tokens(3, 10**18))
    talk.respond("msg_2")
    put(path, talk.lines)
    part, _ = parts_of(path)
    assert [item.line for item in part.rejected] == [1]
    assert len(part.observations) == 1


IMPOSSIBLE: dict[str, tuple[Line, str]] = {
    "too many tokens": ({"message": {"usage": {"cache_read_input_tokens": TOKENS_LIMIT + 1}}}, "cache_read_tokens"),
    "negative tokens": ({"message": {"usage": {"input_tokens": -1}}}, "input_tokens"),
    "too many searches": ({"message": {"usage": {"server_tool_use": {"web_search_requests": 10**7}}}}, "web_searches"),
    "negative searches": ({"message": {"usage": {"server_tool_use": {"web_search_requests": -1}}}}, "web_searches"),
    "long ago": ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
    "in a far future": ({"timestamp": "2100-01-01T00:00:00Z"}, "timestamp"),
    "a tier with a NUL": ({"message": {"usage": {"service_tier": "a\0b"}}}, "service_tier"),
    "a place with a NUL": ({"message": {"usage": {"inference_geo": "a\0b"}}}, "inference_geo"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_value_is_refused_by_the_name_of_its_field(case: str, path: Path) -> None:
    """Whatever a line says, every stored row is one that a record can hold."""
    changes, field = IMPOSSIBLE[case]
    talk = Talk()
    talk.respond("msg_1", **changes)
    put(path, talk.lines)
    part, _ = parts_of(path)
    assert part.observations == []
    assert [item.reason.split(":")[0] for item in part.rejected] == [field]


def test_a_cost_that_is_too_large_to_be_true_is_refused(path: Path) -> None:
    """As a price of the settings may make it."""
    talk = Talk()
    talk.respond("msg_1")
    put(path, talk.lines)
    prices = PriceTable("claude-sonnet-4-5", {MODEL: ModelPrice(10**12, 10**12)})
    part, _ = parts_of(path, prices=prices)
    assert [item.reason.split(":")[0] for item in part.rejected] == ["estimated_cost"]


def test_a_name_of_a_workflow_is_checked(path: Path) -> None:
    """It is the name of a folder, and may be longer than a record allows."""
    talk = Talk()
    talk.respond("msg_1")
    put(path, talk.lines)
    with resume(found_file(path), None, host="here", source=CLAUDE_CODE) as tail:
        part, _ = TranscriptSource(None, "here").read(tail, TranscriptContext(SESSION, "a1", "w" * (NAME_LIMIT + 1)))
    assert [item.reason.split(":")[0] for item in part.rejected] == ["workflow_id"]


def test_a_line_that_is_too_long_is_refused(path: Path) -> None:
    """Without looking into it; what follows is read."""
    talk = Talk()
    talk.respond("msg_1")
    put(path, b'{"x": "' + b"x" * LINE_LIMIT_BYTES + b'"}\n' + talk.data())
    parts = parts_of(path)
    assert [(item.line, "longer than" in item.reason) for part in parts for item in part.rejected] == [(1, True)]
    assert len(executions(parts)) == 1


def a_long_talk() -> Talk:
    """A conversation that is handed over in two parts."""
    talk = Talk()
    for number in range(CHUNK_LINES + 10):
        talk.respond(f"msg_{number}")
    return talk


def test_a_long_file_comes_in_parts(path: Path) -> None:
    """Each with how far it came: read on from any of them, the rest is what is missing."""
    put(path, a_long_talk().lines)
    first, second, whole = parts_of(path)
    assert (first.lines, second.lines, whole.lines) == (CHUNK_LINES, 10, 0)
    assert first.cursor.size < whole.cursor.size
    rest = parts_of(path, first.cursor)
    assert [part.lines for part in rest] == [10, 0]
    assert executions(rest) == executions([second])
    assert replace(rest[-1].cursor, state="") == replace(whole.cursor, state="")


def test_a_file_that_grew_is_read_on(path: Path) -> None:
    """What the reader knew goes with its cursor: the run, and what a response answers."""
    talk = Talk()
    asked = talk.prompt("Look")
    put(path, talk.lines)
    *_, last = parts_of(path)
    talk.respond("msg_1")
    put(path, talk.lines)
    (found,) = executions(parts_of(path, last.cursor))
    assert (found.run_id, found.duration_us) == (asked["promptId"], 1_000_000)


def test_a_file_that_is_written_anew_while_it_is_read_says_so(path: Path) -> None:
    """Lines of two files become nothing; the last part names the problem, and where reading ended."""
    put(path, a_long_talk().lines)
    file = found_file(path)
    with resume(file, None, host="here", source=CLAUDE_CODE) as tail:
        reading = TranscriptSource(None, "here").read(tail, CONTEXT)
        first = next(reading)
        path.write_bytes(b"{}\n" * file.size)
        (last,) = reading
    assert last.cursor == replace(first.cursor, problem=last.cursor.problem)
    assert "rewritten while it was read" in (last.cursor.problem or "")
    assert last.observations == []
