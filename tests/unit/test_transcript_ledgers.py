"""The ledger that Claude Code writes into a transcript: which figures are taken, and which lines are rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_force.errors import InvalidRecord
from claude_force.executions.ledgers import LedgerEntry, latest
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import decode_entry
from claude_force.ingest.transcripts.ledgers import ledger_of
from claude_force.ingest.transcripts.responses import NO_INSTANT, ResponseReader
from tests.transcripts import SESSION, START, Line, Talk, cost_state, model_usage

AT_US = int(START.timestamp() * 1_000_000)


def read(line: Line, session_id: str | None = SESSION, at_us: int = AT_US) -> list[LedgerEntry]:
    """The ledger in a line."""
    return list(ledger_of(decode_entry(json.dumps(line).encode()), session_id, at_us))


def test_the_session_comes_first_and_then_each_model() -> None:
    """With the cost that stands there, and the tokens of all models; in nano-dollars."""
    line = cost_state(
        0.031, {"sonnet": model_usage(0.022, 1000, 900, 50_000, 7, 2), "haiku": model_usage(0.009, 4000, 100)}
    )
    assert read(line) == [
        LedgerEntry(SESSION, "", AT_US, 31_000_000, 5000, 1000, 50_000, 7, 2, 0),
        LedgerEntry(SESSION, "sonnet", AT_US, 22_000_000, 1000, 900, 50_000, 7, 2, 0),
        LedgerEntry(SESSION, "haiku", AT_US, 9_000_000, 4000, 100, 0, 0, 0, 0),
    ]


def test_a_model_with_a_long_context_window_is_the_same_model() -> None:
    """Claude Code appends the window to its name; both are added up."""
    line = cost_state(3, {"claude-opus-5": model_usage(1, 10), "claude-opus-5[1m]": model_usage(2, 5)})
    assert [(entry.model, entry.cost_nanousd, entry.input_tokens) for entry in read(line)] == [
        ("", 3_000_000_000, 15),
        ("claude-opus-5", 3_000_000_000, 15),
    ]


def test_a_ledger_without_models_has_the_cost_of_the_session() -> None:
    """And one with a model that Claude Code could not price is a lower bound."""
    assert [entry[3:] for entry in read(cost_state(0))] == [(0, 0, 0, 0, 0, 0, 0)]
    assert [entry.is_lower_bound for entry in read(cost_state(1, {"m": model_usage(1)}, hasUnknownModelCost=True))] == [
        1,
        1,
    ]


IMPOSSIBLE: dict[str, tuple[Line, str]] = {
    "no cost": (cost_state(...), "totalCostUSD: is missing, or not a number"),
    "a cost in words": (cost_state("free"), "totalCostUSD: is missing, or not a number"),
    "a negative cost": (cost_state(-0.01), "totalCostUSD: impossible: -0.01"),
    "more than a million dollars": (cost_state(1e9), "totalCostUSD: impossible: 1000000000.0"),
    "models in a list": (cost_state(1, modelUsage=[]), "modelUsage: Expected `object`, got `array`"),
    "a model without a cost": (cost_state(1, {"m": {"inputTokens": 5}}), "modelUsage: Object missing required field"),
    "a negative cost of a model": (cost_state(1, {"m": model_usage(-1)}), "modelUsage.costUSD: impossible: -1.0"),
    "half a token": (cost_state(1, {"m": model_usage(1, 0.5)}), "modelUsage: Expected `int`, got `float`"),
    "negative tokens": (cost_state(1, {"m": model_usage(1, 5, -5)}), "modelUsage: impossible counts for 'm'"),
    "absurd tokens": (cost_state(1, {"m": model_usage(1, 10**16)}), "modelUsage: impossible counts for 'm'"),
    "a model without a name": (cost_state(1, {"": model_usage(1)}), "modelUsage: not the name of a model: ''"),
    "a window without a model": (cost_state(1, {"[1m]": model_usage(1)}), "not the name of a model: '[1m]'"),
    "a name with NUL": (cost_state(1, {"a\0b": model_usage(1)}), "not the name of a model: 'a\\x00b'"),
    "an endless name": (cost_state(1, {"m" * 300: model_usage(1)}), "not the name of a model: 'mmm"),
    "a thousand models": (
        cost_state(1, {f"m{number}": model_usage(0) for number in range(1000)}),
        "modelUsage: more than 100 models",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_figures_are_named(case: str) -> None:
    """No number is made up in their place."""
    line, reason = IMPOSSIBLE[case]
    with pytest.raises(InvalidRecord) as caught:
        read(line)
    assert reason in str(caught.value)


def test_a_ledger_needs_a_session() -> None:
    """Otherwise nobody can say what it is compared with."""
    with pytest.raises(InvalidRecord, match="sessionId: is missing"):
        read(cost_state(1), session_id=None)


def reader_of(*lines: Line, **state: Any) -> ResponseReader:
    """A reader of a session that has read some lines."""
    reader = ResponseReader(TranscriptContext(SESSION), **state)
    for number, line in enumerate(lines, 1):
        reader.read(decode_entry(json.dumps(line).encode()), number)
    return reader


def test_a_ledger_has_the_instant_of_the_entry_before_it() -> None:
    """Also if that was read in an earlier pass, and for a line that does not name its session."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    first = reader_of(*talk.lines)
    second = reader_of(cost_state(1, sessionId=...), state=first.saved_state())
    assert [(ledger[0].session_id, ledger[0].at_us - AT_US) for ledger in second.ledgers] == [(SESSION, 2_000_000)]


STARTS: dict[str, tuple[Any, int | None]] = {
    "in milliseconds": (1_790_730_000_000, 1_790_730_000_000_000),
    "with a fraction": (1.5, 1500),
    "nothing": (..., None),
    "zero": (0, None),
    "text": ("2026-03-02", None),
    "beyond all time": (1e300, None),
    "null": (None, None),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_session_without_entries_has_the_instant_of_its_start(case: str) -> None:
    """Somebody started Claude Code and asked nothing; without any time, the line is counted as left out."""
    value, at_us = STARTS[case]
    reader = reader_of({"type": "mode", "mode": "default"}, cost_state(0, startTime=value))
    assert [ledger[0].at_us for ledger in reader.ledgers] == ([] if at_us is None else [at_us])
    assert reader.skipped == ({NO_INSTANT: 1} if at_us is None else {})


def test_the_later_of_two_ledgers_counts() -> None:
    """By instant, and at the same instant the one that was read later."""
    old, new = tuple(read(cost_state(1), at_us=1)), tuple(read(cost_state(2), at_us=2))
    assert latest([old, new]) == latest([new, old]) == {SESSION: new}
    again = tuple(read(cost_state(3), at_us=2))
    assert latest([old, new, again]) == {SESSION: again}
