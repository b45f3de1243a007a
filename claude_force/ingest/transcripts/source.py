"""From a transcript to observations: one for each model response, with its cost and without its text.

`docs/reference/transcripts.md` says which field of an execution comes from where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from claude_force.database.rows.cursor import Cursor
from claude_force.errors import InvalidRecord
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, read_chunks
from claude_force.executions.pricing import Costs, Modifiers, PriceTable
from claude_force.executions.pricing import Usage as Tokens
from claude_force.executions.record import (
    CLAUDE_CODE,
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    NANOUSD,
    PROVISIONAL,
    STANDARD_TIERS,
    ExecutionMetrics,
    content_uid,
    to_row,
)
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.tail import Tail
from claude_force.ingest.transcripts.entries import Usage, decode_entry
from claude_force.ingest.transcripts.responses import (
    ReaderState,
    Response,
    ResponseReader,
    TranscriptContext,
    side_identity,
)

CHUNK_LINES = 4000
"""Lines in one batch."""

_decode_state = msgspec.json.Decoder(ReaderState).decode


@dataclass(slots=True)
class TranscriptBatch:
    """What some lines of a transcript contained. `cursor` says how far the file was read after them; `skipped` counts
    lines without a response, by reason."""

    cursor: Cursor
    observations: list[Observation] = field(default_factory=list)
    reports: list[ReportedUsage] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    lines: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TranscriptSource:
    """How to read transcripts. Without `prices` executions get no cost; `host` is the name of this machine."""

    prices: PriceTable | None
    host: str | None

    def read(self, tail: Tail, context: TranscriptContext) -> Iterator[TranscriptBatch]:
        """What is new in a transcript. If it cannot be read to its end, the cursor of the last batch has the
        problem."""
        saved = tail.cursor.state
        reader = ResponseReader(context, _decode_state(saved.encode()) if saved else ReaderState())
        try:
            for chunk in read_chunks(tail, CHUNK_LINES, number=tail.cursor.lines + 1, offset=tail.cursor.position):
                batch = self._batch(reader, chunk, tail.cursor)
                batch.cursor = tail.advance(
                    chunk.end,
                    lines=tail.cursor.lines + batch.lines,
                    responses=tail.cursor.responses + len(batch.observations),
                    rejected=tail.cursor.rejected + len(batch.rejected),
                    skipped=_add_counts(tail.cursor.skipped, batch.skipped),
                    state=msgspec.json.encode(reader.saved_state()).decode(),
                )
                yield batch
            yield TranscriptBatch(tail.finish())
        except READ_ERRORS as error:
            yield TranscriptBatch(replace(tail.cursor, problem=f"the rest of the file cannot be read: {error}"))

    def _batch(self, reader: ResponseReader, chunk: Chunk, cursor: Cursor) -> TranscriptBatch:
        batch = TranscriptBatch(cursor, lines=len(chunk.raw))
        for number, line in enumerate(chunk.raw[:-1] if chunk.is_cut else chunk.raw, chunk.number):
            _read_line(reader, line.removeprefix(BOM) if number == 1 else line, number, batch)
        if chunk.is_cut:
            reason = f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB; not read"
            batch.rejected.append(Rejected(chunk.number + len(chunk.raw) - 1, chunk.end - chunk.skipped, reason, b""))
        for response in reader.emit():
            try:
                batch.observations.append(self._observation(response, reader.context))
            except InvalidRecord as error:
                batch.rejected.append(Rejected(response.line, 0, str(error), b""))
        batch.reports, reader.reports = reader.reports, []
        batch.skipped, reader.skipped = reader.skipped, {}
        return batch

    def _observation(self, response: Response, context: TranscriptContext) -> Observation:
        """Raises InvalidRecord for a response that no record can hold."""
        return Observation(
            row=to_row(self._record(response, context)),
            identities=(response.identity,),
            side=side_identity(response, is_sidechain=response.is_sidechain),
            other_side=side_identity(response, is_sidechain=not response.is_sidechain),
            is_sidechain=response.is_sidechain,
            from_us=response.from_us,
        )

    def _record(self, response: Response, context: TranscriptContext) -> ExecutionMetrics:
        tokens = _tokens_of(response.usage)
        modifiers, searches = Modifiers(_tier_of(response.usage)), _searches_of(response.usage)
        cost, reference_cost, price_version = self._costs(response, tokens, modifiers, searches)
        known = tokens or Tokens(0, 0)
        return ExecutionMetrics(
            uid=content_uid(response.first_us, response.identity, 0),
            timestamp_us=response.last_us,
            agent_name=response.agent_name,
            success=response.error_type is None,
            model=response.model,
            task_hash=response.run.task_hash,
            duration_us=_duration_of(response),
            input_tokens=tokens.input_tokens if tokens else None,
            output_tokens=tokens.output_tokens if tokens else None,
            cache_read_tokens=known.cache_read_tokens,
            cache_write_5m_tokens=known.cache_write_5m_tokens,
            cache_write_1h_tokens=known.cache_write_1h_tokens,
            cost_nanousd=cost,
            reference_cost_nanousd=reference_cost,
            price_version=price_version,
            error_type=response.error_type,
            workflow_id=context.workflow_id or response.session_id,
            source=CLAUDE_CODE,
            host=self.host,
            project=response.project,
            run_id=response.run.run_id,
            service_tier=modifiers.tier,
            web_searches=searches,
            usage_basis=PROVISIONAL if tokens and not response.is_final else None,
        )

    def _costs(self, response: Response, tokens: Tokens | None, modifiers: Modifiers, searches: int) -> Costs:
        given = response.cost_usd
        # An impossible cost counts as absent: the response is recorded for its tokens.
        cost = round(given * NANOUSD) if given is not None and 0 <= given * NANOUSD <= COST_LIMIT_NANOUSD else None
        if tokens is None:
            return cost, None, None
        if response.error_type is not None and not sum(tokens):
            # A refused request is not billed, also where the model has no price.
            return 0, 0, None
        if self.prices is None:
            return cost, None, None
        return self.prices.complete(response.model, tokens, response.last_us, (cost, None, None), modifiers, searches)


def _read_line(reader: ResponseReader, line: bytes, number: int, batch: TranscriptBatch) -> None:
    if line.isspace():
        return
    try:
        reader.read(decode_entry(line), number)
    except InvalidRecord as error:
        batch.rejected.append(Rejected(number, 0, str(error), b""))


def _tokens_of(usage: Usage) -> Tokens | None:
    """The tokens of a usage by kind; None if they are not known. Cache writes without a lifetime are for five minutes,
    the only lifetime before there were two."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    tiers = usage.cache_creation
    short, long = (tiers.ephemeral_5m_input_tokens or 0, tiers.ephemeral_1h_input_tokens or 0) if tiers else (0, 0)
    short = max(short, (usage.cache_creation_input_tokens or 0) - long)
    return Tokens(usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens or 0, short, long)


def _tier_of(usage: Usage) -> str | None:
    """The service tier; None for a standard one."""
    tier = "fast" if usage.speed == "fast" else usage.service_tier
    return None if not tier or tier in STANDARD_TIERS else tier


def _searches_of(usage: Usage) -> int:
    return (usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0


def _duration_of(response: Response) -> int | None:
    """From the entry that a response answers to its end; None if there is no such entry, or the clocks disagree."""
    if response.asked_us is None:
        return None
    duration_us = response.last_us - response.asked_us
    return duration_us if 0 <= duration_us <= DURATION_LIMIT_US else None


def _add_counts(counts_json: str, more: dict[str, int]) -> str:
    """Counts by reason, as JSON, with more counts added."""
    if not more:
        return counts_json
    counts: dict[str, int] = json.loads(counts_json)
    return json.dumps({reason: counts.get(reason, 0) + more.get(reason, 0) for reason in counts.keys() | more.keys()})
