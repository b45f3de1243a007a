"""From a transcript to observations: one for each model response, with its cost and without its text.

`docs/reference/transcripts.md` says which field of an execution comes from where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate

import msgspec

from claude_force.database.rows.cursor import Cursor
from claude_force.errors import InvalidJson, InvalidRecord
from claude_force.executions.billed_steps import Steps
from claude_force.executions.costs import Billed, complete_costs
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.jsonl.damaged_lines import lost_bytes, split_damaged
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, read_chunks
from claude_force.executions.ledgers import Ledger
from claude_force.executions.pricing import STANDARD, Costs, PriceTable
from claude_force.executions.pricing import Usage as Tokens
from claude_force.executions.record import (
    CLAUDE_CODE,
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    NANOUSD,
    PROVISIONAL,
    ExecutionMetrics,
    content_uid,
    to_row,
)
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.tail import Tail
from claude_force.ingest.transcripts.billed_usage import billed_of
from claude_force.ingest.transcripts.entries import ENTRY, decode_entry
from claude_force.ingest.transcripts.identity import request_id_identity, session_key, side_identities
from claude_force.ingest.transcripts.reader_state import ReaderState
from claude_force.ingest.transcripts.reported_usage import prompt_tokens
from claude_force.ingest.transcripts.responses import Response, ResponseReader, TranscriptContext

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
    ledgers: list[Ledger] = field(default_factory=list)
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
        whole = chunk.raw[:-1] if chunk.is_cut else chunk.raw
        offsets = accumulate(map(len, whole), initial=chunk.offset)
        for number, (line, offset) in enumerate(zip(whole, offsets, strict=False), chunk.number):
            _read_line(reader, line.removeprefix(BOM) if offset == 0 else line, number, offset, batch)
        if chunk.is_cut:
            reason = f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB; not read"
            batch.rejected.append(Rejected(chunk.number + len(chunk.raw) - 1, chunk.end - chunk.skipped, reason, b""))
        for response in reader.emit():
            try:
                batch.observations.append(self._observation(response, reader.context))
            except InvalidRecord as error:
                batch.rejected.append(Rejected(response.line, 0, str(error), b""))
        batch.reports, reader.reports = reader.reports, []
        batch.ledgers, reader.ledgers = reader.ledgers, []
        batch.skipped, reader.skipped = reader.skipped, {}
        return batch

    def _observation(self, response: Response, context: TranscriptContext) -> Observation:
        """Raises InvalidRecord for a response that no record can hold."""
        prompt, is_sidechain = prompt_tokens(response.usage), response.is_sidechain
        shared, other_side = side_identities(
            response.session_id, response.message_id, response.content, prompt, is_sidechain=is_sidechain
        )
        if response.request_id:
            shared += (request_id_identity(response.request_id),)
        return Observation(
            row=to_row(self._record(response, context)),
            identities=response.identities,
            shared=shared,
            other_side=other_side,
            is_sidechain=is_sidechain,
            from_us=response.from_us,
            session=session_key(response.session_id),
        )

    def _record(self, response: Response, context: TranscriptContext) -> ExecutionMetrics:
        billed = billed_of(response)
        (cost, reference_cost, price_version), steps = self._costs(response, billed)
        known = billed.usage if billed else Tokens(0, 0)
        modifiers = billed.modifiers if billed else STANDARD
        return ExecutionMetrics(
            uid=content_uid(response.first_us, response.identity, 0),
            timestamp_us=response.last_us,
            agent_name=response.agent_name,
            success=response.error_type is None,
            model=response.model,
            task_hash=response.run.task_hash,
            duration_us=_duration_of(response),
            input_tokens=known.input_tokens if billed else None,
            output_tokens=known.output_tokens if billed else None,
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
            web_searches=billed.searches if billed else 0,
            usage_basis=PROVISIONAL if billed and not response.is_final else None,
            inference_geo=modifiers.geo,
            provider=modifiers.provider,
            session_id=response.session_id if context.workflow_id else None,
            git_branch=response.git_branch,
            steps=steps,
        )

    def _costs(self, response: Response, billed: Billed | None) -> tuple[Costs, Steps | None]:
        given = response.cost_usd
        # An impossible cost counts as absent: the response is recorded for its tokens.
        cost = round(given * NANOUSD) if given is not None and 0 <= given * NANOUSD <= COST_LIMIT_NANOUSD else None
        if billed is None:
            return (cost, None, None), None
        if response.error_type is not None and not sum(billed.usage):
            # A refused request is not billed, also where the model has no price.
            return (0, 0, None), billed.steps
        if self.prices is None:
            return (cost, None, None), billed.steps
        return complete_costs(self.prices, billed, (cost, None, None))


def _read_line(reader: ResponseReader, line: bytes, number: int, offset: int, batch: TranscriptBatch) -> None:
    if line.isspace():
        return
    try:
        reader.read(decode_entry(line), number)
    except InvalidJson as error:
        _read_damaged(reader, line, number, offset, batch, str(error))
    except InvalidRecord as error:
        batch.rejected.append(Rejected(number, offset, str(error), b""))


def _read_damaged(
    reader: ResponseReader, line: bytes, number: int, offset: int, batch: TranscriptBatch, reason: str
) -> None:
    """Read what is whole on a damaged line. `reason` is why the line as a whole cannot be read."""
    parts = split_damaged(line, ENTRY)
    for part in parts:
        try:
            if not part.is_whole:
                raise InvalidJson(lost_bytes(part) if len(parts) > 1 else reason)
            reader.read(decode_entry(line[part.start : part.end]), number)
        except InvalidRecord as error:
            batch.rejected.append(Rejected(number, offset + part.start, str(error), b""))


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
