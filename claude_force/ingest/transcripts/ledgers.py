"""Read the ledger that Claude Code writes into the transcript of a session: a line of type `cost-state`.

    {"type": "cost-state", "sessionId": "…", "totalCostUSD": 0.031, "hasUnknownModelCost": false,
     "modelUsage": {"claude-sonnet-5": {"inputTokens": 1000, "outputTokens": 1000, "cacheReadInputTokens": 0,
      "cacheCreationInputTokens": 0, "webSearchRequests": 0, "costUSD": 0.022}}}

Claude Code 2.1.258 writes it at the end of a session, and again whenever it was resumed; it counts from the session's
beginning. A line has no instant of its own, so it gets that of the last entry before it; in a session without any, that
at which the session was started (`startTime`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from claude_force.clock import LATEST_US
from claude_force.errors import InvalidRecord
from claude_force.executions.ledgers import WHOLE_SESSION, Ledger, LedgerEntry
from claude_force.executions.record import COST_LIMIT_NANOUSD, NAME_LIMIT, NANOUSD
from claude_force.ingest.transcripts.entries import Entry

COST_STATE = "cost-state"
"""The type of a line with a ledger."""

_TOKENS_LIMIT = 10**15
_MODELS_LIMIT = 100
_CONTEXT_WINDOW = re.compile(r"\[\w+\]$")
"""What Claude Code appends to the name of a model with a long context window: `claude-opus-5[1m]`."""

Counts = tuple[int, int, int, int, int, int]
"""Cost in nano-dollars, tokens (input, output, cache read, cache write) and web searches."""

_NOTHING: Counts = (0, 0, 0, 0, 0, 0)


class _ModelUsage(msgspec.Struct, rename="camel", gc=False):
    """What a session used of one model."""

    cost: float = msgspec.field(name="costUSD")
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    web_search_requests: int = 0


_decode_number = msgspec.json.Decoder(float).decode
_decode_models = msgspec.json.Decoder(dict[str, _ModelUsage]).decode


def started_us(entry: Entry) -> int | None:
    """When the session of a ledger was started; None if it does not say."""
    try:
        milliseconds = _decode_number(entry.start_time) if bytes(entry.start_time) else 0
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    instant = int(milliseconds * 1000)
    return instant if 0 < instant <= LATEST_US else None


def ledger_of(entry: Entry, session_id: str | None, at_us: int) -> Ledger:
    """The ledger in a line. Raises InvalidRecord if it names no session, or has impossible figures."""
    if not session_id:
        raise InvalidRecord("sessionId", "is missing")
    by_model = _counts_by_model(entry)
    # The session's cost is the one that stands there: it may contain what no model is named for.
    whole = (_nanousd(entry.total_cost_usd, "totalCostUSD"), *_sum(by_model.values())[1:])
    is_lower_bound = int(entry.has_unknown_model_cost or False)
    entries = {WHOLE_SESSION: whole, **by_model}
    return tuple(LedgerEntry(session_id, model, at_us, *counts, is_lower_bound) for model, counts in entries.items())


def _counts_by_model(entry: Entry) -> dict[str, Counts]:
    try:
        usages = _decode_models(entry.model_usage) if bytes(entry.model_usage) else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord("modelUsage", str(error)) from None
    if len(usages) > _MODELS_LIMIT:
        raise InvalidRecord("modelUsage", f"more than {_MODELS_LIMIT} models")
    found: dict[str, list[Counts]] = {}
    for name, usage in usages.items():
        found.setdefault(model_name(name), []).append(_counts_of(name, usage))
    return {model: _sum(counts) for model, counts in found.items()}


def model_name(name: str) -> str:
    """The name of a model without its context window. Raises InvalidRecord if it cannot be a name."""
    model = _CONTEXT_WINDOW.sub("", name)
    if not model or len(model) > NAME_LIMIT or "\0" in model:
        raise InvalidRecord("modelUsage", f"not the name of a model: {name[:NAME_LIMIT]!a}")
    return model


def _sum(counts: Iterable[Counts]) -> Counts:
    cost, new, output, read, written, searches = map(sum, zip(_NOTHING, *counts, strict=True))
    return cost, new, output, read, written, searches


def _counts_of(name: str, usage: _ModelUsage) -> Counts:
    tokens = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.web_search_requests,
    )
    if not all(0 <= count <= _TOKENS_LIMIT for count in tokens):
        raise InvalidRecord("modelUsage", f"impossible counts for {name[:NAME_LIMIT]!a}")
    return (_nanousd(usage.cost, "modelUsage.costUSD"), *tokens)


def _nanousd(cost: float | None, field: str) -> int:
    if cost is None:
        raise InvalidRecord(field, "is missing, or not a number")
    if not 0 <= cost * NANOUSD <= COST_LIMIT_NANOUSD:
        raise InvalidRecord(field, f"impossible: {cost}")
    return round(cost * NANOUSD)
