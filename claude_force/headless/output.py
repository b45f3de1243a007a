"""What the output of a run says of it: `claude -p` with `--output-format json` or `stream-json`.

The totals of a result are those of the whole session so far, so they are never added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BufferedReader
from typing import NamedTuple

from claude_force.errors import InvalidRecord
from claude_force.executions.record import COST_LIMIT_NANOUSD, NANOUSD, TOKENS_LIMIT
from claude_force.ingest.results.runs import Run, RunReader, failure_of
from claude_force.ingest.results.source import read_results

SUCCESS = "success"

_HEAD_BYTES = 4096
_FORMATS = ("json", "stream-json")
_RESUME = ("--resume", "-r")


class Said(NamedTuple):
    """What a run says at its end. `outcome` is "success" or why it failed; `turns` and the cost of the whole session so
    far are None where it does not say."""

    session_id: str
    outcome: str
    turns: int | None
    total_cost_nanousd: int | None


def has_results(command: Sequence[str]) -> bool:
    """Whether a command writes its result as JSON."""
    return _option(command, ("--output-format",)) in _FORMATS


def resumed_session(command: Sequence[str]) -> str | None:
    """The session that a command goes on with, or copies; None if it names none."""
    return _option(command, _RESUME)


def _option(command: Sequence[str], names: Sequence[str]) -> str | None:
    """The value of an option; None without it."""
    for index, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name in names:
            following = command[index + 1] if index + 1 < len(command) else ""
            return (value if equals else following) or None
    return None


def read_output(stream: BufferedReader) -> Said | None:
    """What a run's output says; None if it has no result. Raises OSError."""
    reader = RunReader(None, None)
    try:
        read_results(stream, stream.peek(_HEAD_BYTES), reader)
    except InvalidRecord:
        return None
    ended = [(session.session_id, run) for session in reader.sessions.values() for run in session.runs if run.results]
    return _said(*ended[-1]) if ended else None


def _said(session_id: str, run: Run) -> Said:
    last = run.results[-1]
    outcome = failure_of(run)
    if outcome is None and last.subtype not in (SUCCESS, None):
        outcome = last.subtype
    turns = [result.num_turns for result in run.results if result.num_turns is not None]
    is_possible = all(0 <= number <= TOKENS_LIMIT for number in turns)
    return Said(
        session_id, outcome or SUCCESS, sum(turns) if turns and is_possible else None, _nanousd(last.total_cost_usd)
    )


def _nanousd(cost: float | None) -> int | None:
    return round(cost * NANOUSD) if cost is not None and 0 <= cost * NANOUSD <= COST_LIMIT_NANOUSD else None
