"""Sightings: one response of a model, as it was seen in one place, and what two sightings of it come to.

The invariant: a figure of the past does not move. A sighting that comes later changes a stored execution only where it
is the same file that went on (a response is written line by line, and its usage grows), or where the stored usage was
never final and this one is. Anything else (a copy, a file that was rewritten or shortened) adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claude_force.record import FIELDS, PROVISIONAL, Row

_AT = {name: place for place, name in enumerate(FIELDS)}
_END, _DURATION, _BASIS, _SUCCESS = (_AT[name] for name in ("timestamp_us", "duration_us", "usage_basis", "success"))
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_COUNTS = tuple(_AT[name] for name in _TOKENS)
_OUTPUT = _AT["output_tokens"]
_USAGE = (
    *_COUNTS,
    *(
        _AT[name]
        for name in (
            "cost_nanousd", "reference_cost_nanousd", "price_version", "service_tier", "web_searches", "usage_basis",
        )
    ),
)  # fmt: skip
"""What belongs together: a usage is taken whole, with the price that was made from it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A response, as a row. `identities` are what it is known by, each enough alone. `side` is by what the response
    would be known in its session on this side (main conversation, or sub-agent), `other_side` on the other, where a
    replay stands that has no identity in common; None where that cannot be told. `goes_on` says that the file goes on
    from where it was read to before."""

    row: Row
    identities: tuple[bytes, ...]
    side: bytes | None = None
    other_side: bytes | None = None
    is_sidechain: bool = False
    goes_on: bool = False


def merged(known: Row, seen: Row, *, goes_on: bool) -> Row:
    """What an execution is after another sighting of it; the very same row where nothing changes. Its identity, names
    and outcome stay."""
    row: list[Any] = list(known)
    if _is_better(known, seen, goes_on=goes_on):
        for place in _USAGE:
            row[place] = seen[place]
    if goes_on and seen[_END] > known[_END]:
        row[_END] = seen[_END]
        if known[_DURATION] is not None:
            row[_DURATION] = known[_DURATION] + seen[_END] - known[_END]
    found = tuple(row)
    return known if found == known else found


def _is_better(known: Row, seen: Row, *, goes_on: bool) -> bool:
    """Whether the other usage is to be taken: it is final and this one is not, or it is what the same one grew to."""
    if seen[_OUTPUT] is None:
        return False
    if known[_OUTPUT] is None:
        return goes_on or known[_BASIS] == PROVISIONAL
    if (known[_BASIS] == PROVISIONAL) != (seen[_BASIS] == PROVISIONAL):
        return bool(known[_BASIS] == PROVISIONAL)
    return goes_on and size_of(seen) > size_of(known)


def size_of(row: Row) -> tuple[int, int]:
    """By what usages of one response are compared: output first, then everything."""
    return row[_OUTPUT] or 0, sum(row[place] or 0 for place in _COUNTS)


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What a parent was told of the last response of a sub-agent's run, which ended between two instants. `basis` says
    by which record; the tokens of the prompt and of the output are None where only their sum was told."""

    run_id: str
    basis: str
    until_us: int
    since_us: int
    total_tokens: int
    prompt_tokens: int | None = None
    output_tokens: int | None = None


OUTPUT_LIMIT = 200_000
"""More output than any model gives in one response: a sum of tokens that leaves more was not of that response."""


def reported(report: ReportedUsage, run: list[Row]) -> Row | None:
    """The last execution of a run (its executions in their order) with the output that was reported of it; None where
    the report is of another response, or its usage is final."""
    if not run or run[-1][_BASIS] != PROVISIONAL:
        return None
    last = list(run[-1])
    prompt_tokens = sum(last[place] or 0 for place in _COUNTS if place != _OUTPUT)
    output_tokens = report.output_tokens
    if output_tokens is None:
        output_tokens = report.total_tokens - prompt_tokens
    elif report.prompt_tokens != prompt_tokens:
        return None
    if not (last[_OUTPUT] or 0) <= output_tokens <= OUTPUT_LIMIT or not output_tokens:
        return None
    last[_OUTPUT], last[_BASIS] = output_tokens, report.basis
    return tuple(last)
