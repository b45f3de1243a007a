"""The fast path for JSONL lines.

A typed decoder checks a line while it decodes it, several times as fast as Python code. It makes the same row as the
slow path (`codec.decode_line` and the record), bit for bit; a test compares the two. Every unusual line is left to the
slow path, which knows the reasons and notes: unknown fields, older field names, numbers as text, impossible values.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Annotated, Any

import msgspec

from claude_force.clock import parse_instant
from claude_force.executions.jsonl.codec import digest_of
from claude_force.executions.pricing import PriceTable, Usage, modifiers_of
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    NAME_LIMIT,
    NANOUSD,
    POSITION_LIMIT,
    PROJECT_LIMIT,
    SEARCHES_LIMIT,
    TOKENS_LIMIT,
    UID,
    ExecutionRow,
    content_identity,
    identity_bytes,
)

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
_Project = Annotated[str, msgspec.Meta(min_length=1, max_length=PROJECT_LIMIT)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_LIMIT)]
_Dollars = Annotated[float, msgspec.Meta(ge=0, le=COST_LIMIT_NANOUSD // NANOUSD)]
_Searches = Annotated[int, msgspec.Meta(ge=0, le=SEARCHES_LIMIT)]
_Position = Annotated[int, msgspec.Meta(ge=0, le=POSITION_LIMIT)]

_NUL = b"\\u0000"


class _Line(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A line. Fields are in alphabetical order, so that encoding it gives the content that its uid is made from."""

    agent_name: _Name
    cache_read_tokens: _Tokens | None = None
    cache_write_1h_tokens: _Tokens | None = None
    cache_write_5m_tokens: _Tokens | None = None
    error_type: _Name | None = None
    estimated_cost: _Dollars | None = None
    execution_time_ms: int | float | None
    git_branch: _Name | None = None
    host: _Name | None = None
    inference_geo: _Name | None = None
    input_tokens: _Tokens | None
    model: _Name
    output_tokens: _Tokens | None
    price_version: _Name | None = None
    project: _Project | None = None
    provider: _Name | None = None
    recorded_basis: _Name | None = None
    recorded_cost: _Dollars | None = None
    reference_cost: _Dollars | None = None
    run_id: _Name | None = None
    service_tier: _Name | None = None
    session_id: _Name | None = None
    source: _Name | None = None
    steps: None = None
    success: bool
    task_hash: _Name | None = None
    timestamp: str
    total_tokens: int | None = None
    uid: str | None = None
    usage_basis: _Name | None = None
    web_searches: _Searches | None = None
    workflow_id: _Name | None = None
    workflow_position: _Position | None = None


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


class FastDecoder:
    """Decodes usual lines. The arguments are those of `JsonlSource`; `next_ordinal` gives
    the number of earlier equal lines."""

    def __init__(
        self, zone: tzinfo, prices: PriceTable | None, next_ordinal: Callable[[bytes], int], *, reprice: bool
    ) -> None:
        self._zone = zone
        self._prices = prices
        self._reprice = reprice
        self._next_ordinal = next_ordinal

    def read(self, data: bytes) -> ExecutionRow | None:
        """The row of a line; None for an unusual line."""
        if _NUL in data:
            return None
        try:
            line = _decode(data)
            timestamp_us = parse_instant(line.timestamp, self._zone)
        except (msgspec.MsgspecError, ValueError):
            return None
        usage, milliseconds = _usage(line), line.execution_time_ms
        if usage is None or not (line.uid is None or UID.fullmatch(line.uid)):
            return None
        if milliseconds is not None and not 0 <= milliseconds * 1000 <= DURATION_LIMIT_US:
            return None
        return self._row(line, usage, timestamp_us)

    def _row(self, line: _Line, usage: Usage, timestamp_us: int) -> ExecutionRow:
        milliseconds = line.execution_time_ms
        duration_us = None if milliseconds is None else round(milliseconds * 1000)
        cost = None if line.estimated_cost is None else round(line.estimated_cost * NANOUSD)
        reference = None if line.reference_cost is None else round(line.reference_cost * NANOUSD)
        recorded = None if line.recorded_cost is None else round(line.recorded_cost * NANOUSD)
        source = line.source or "jsonl"
        # Before `_identity`, which overwrites the line with its content.
        input_tokens, output_tokens, version = line.input_tokens, line.output_tokens, line.price_version
        tier, searches, has_uid = line.service_tier, line.web_searches or 0, line.uid is not None
        if line.uid is None:
            identity = self._identity(line, timestamp_us, source, duration_us, cost, reference, recorded)
        else:
            identity = identity_bytes(line.uid)
        if self._prices is not None and input_tokens is not None and (not has_uid or self._reprice):
            modifiers = modifiers_of(tier, line.inference_geo, line.provider)
            cost, reference, version = self._prices.complete(
                line.model, usage, timestamp_us, (cost, reference, version), modifiers, searches, replace=self._reprice
            )
        # In the order of `record.FIELDS`.
        return (
            identity,
            timestamp_us,
            line.agent_name,
            1 if line.success else 0,
            line.model,
            line.task_hash,
            duration_us,
            input_tokens,
            output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_5m_tokens,
            usage.cache_write_1h_tokens,
            cost,
            reference,
            version,
            line.error_type,
            line.workflow_id,
            line.workflow_position,
            source,
            line.host,
            line.project,
            line.run_id,
            tier,
            searches,
            line.usage_basis,
            recorded,
            line.recorded_basis,
            line.inference_geo,
            line.provider,
            line.session_id,
            line.git_branch,
            None,
        )

    def _identity(self, line: Any, timestamp_us: int, source: str, *numbers: int | None) -> bytes:
        """The uid of a line without one, as bytes. Overwrites the line with its content (see
        `codec.content_digest`)."""
        line.timestamp, line.source, line.total_tokens = timestamp_us, source, None
        line.execution_time_ms, line.estimated_cost, line.reference_cost, line.recorded_cost = numbers
        # These fields are required and may be null; null does not count as content.
        if line.execution_time_ms is None:
            line.execution_time_ms = msgspec.UNSET
        if line.input_tokens is None:
            line.input_tokens = line.output_tokens = msgspec.UNSET
        digest = digest_of(_encode(line))
        identity = content_identity(timestamp_us, digest, 0)
        ordinal = self._next_ordinal(identity)
        return content_identity(timestamp_us, digest, ordinal) if ordinal else identity


def _usage(line: _Line) -> Usage | None:
    """The tokens of a line; None if they contradict each other."""
    if (line.input_tokens is None) != (line.output_tokens is None):
        return None
    usage = Usage(
        line.input_tokens or 0,
        line.output_tokens or 0,
        line.cache_read_tokens or 0,
        line.cache_write_5m_tokens or 0,
        line.cache_write_1h_tokens or 0,
    )
    return usage if line.total_tokens is None or line.total_tokens == sum(usage) else None
