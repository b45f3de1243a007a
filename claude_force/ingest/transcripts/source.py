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
from claude_force.executions.billed_steps import Steps, encode_steps
from claude_force.executions.content_uids import content_identity
from claude_force.executions.costs import Billed, complete_costs
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.jsonl.damaged_lines import lost_bytes, split_damaged
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, read_chunks
from claude_force.executions.ledgers import Ledger
from claude_force.executions.pricing import STANDARD, Costs, PriceTable
from claude_force.executions.record import (
    CLAUDE_CODE,
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    NANOUSD,
    PROVISIONAL,
    SEARCHES_LIMIT,
    TOKENS_LIMIT,
    ExecutionRow,
    check_row,
)
from claude_force.executions.run_parents import RunParent
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.tail import Tail
from claude_force.ingest.transcripts.billed_usage import billed_of
from claude_force.ingest.transcripts.context import TranscriptContext
from claude_force.ingest.transcripts.entries import ENTRY, NOT_USUAL, decode_entry, decode_usual
from claude_force.ingest.transcripts.identity import request_id_identity, session_key, side_identities
from claude_force.ingest.transcripts.reader_state import ReaderState
from claude_force.ingest.transcripts.reported_usage import prompt_tokens
from claude_force.ingest.transcripts.responses import Response, ResponseReader

CHUNK_LINES = 4000
"""Lines in one batch."""

_NO_USAGE = (None, None, 0, 0, 0)
"""The tokens of a response whose usage is not known."""

_decode_state = msgspec.json.Decoder(ReaderState).decode


@dataclass(slots=True)
class TranscriptBatch:
    """What some lines of a transcript contained. `cursor` says how far the file was read after them; `skipped` counts
    lines without a response, by reason."""

    cursor: Cursor
    observations: list[Observation] = field(default_factory=list)
    reports: list[ReportedUsage] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    parents: list[RunParent] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    lines: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TranscriptSource:
    """How to read transcripts. Without `prices` executions get no cost; `host` is the name of this machine,
    `user` who works on it."""

    prices: PriceTable | None
    host: str | None
    user: str | None = None

    def read(self, tail: Tail, context: TranscriptContext) -> Iterator[TranscriptBatch]:
        """What is new in a transcript. If it cannot be read to its end, the cursor of the last batch has the
        problem."""
        saved = tail.cursor.state
        reader = ResponseReader(context, _decode_state(saved.encode()) if saved else ReaderState())
        try:
            for chunk in read_chunks(
                tail.rest(), CHUNK_LINES, number=tail.cursor.lines + 1, offset=tail.cursor.position
            ):
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
            try:
                entry = decode_usual(line)
            except NOT_USUAL:
                _read_carefully(reader, line.removeprefix(BOM) if offset == 0 else line, number, offset, batch)
                continue
            try:
                reader.read(entry, number)
            except InvalidRecord as error:
                batch.rejected.append(Rejected(number, offset, str(error), b""))
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
        batch.parents, reader.parents = reader.parents, []
        batch.skipped, reader.skipped = reader.skipped, {}
        return batch

    def _observation(self, response: Response, context: TranscriptContext) -> Observation:
        """Raises InvalidRecord for a response that no record can hold."""
        prompt, is_sidechain = prompt_tokens(response.usage), response.is_sidechain
        shared, other_side = side_identities(
            response.session_id, response.message_id, response.content, prompt, is_sidechain=is_sidechain
        )
        request = request_id_identity(response.request_id) if response.request_id else None
        if request is not None:
            shared += (request,)
        return Observation(
            row=self._row(response, context),
            identities=response.identities,
            shared=shared,
            other_side=other_side,
            is_sidechain=is_sidechain,
            from_us=response.from_us,
            session=session_key(response.session_id),
            request=request,
        )

    def _row(self, response: Response, context: TranscriptContext) -> ExecutionRow:
        """The row of a response. Raises InvalidRecord for an impossible value. Checking every row would take a tenth of
        the time of an ingest."""
        billed = billed_of(response)
        (cost, reference_cost, price_version), steps = self._costs(response, billed)
        modifiers = billed.modifiers if billed else STANDARD
        # In the order of `record.FIELDS`.
        row: ExecutionRow = (
            content_identity(response.first_us, response.identity, 0),
            response.last_us,
            response.agent_name,
            1 if response.error_type is None else 0,
            response.model,
            response.run.task_hash,
            _duration_of(response),
            *(billed.usage if billed else _NO_USAGE),
            cost,
            reference_cost,
            price_version,
            response.error_type,
            context.workflow_id or response.session_id,
            None,
            CLAUDE_CODE,
            self.host,
            response.project,
            response.run.run_id,
            modifiers.tier,
            billed.searches if billed else 0,
            PROVISIONAL if billed and not response.is_final else None,
            None,
            None,
            modifiers.geo,
            modifiers.provider,
            response.session_id if context.workflow_id else None,
            response.git_branch,
            self.user,
            encode_steps(steps),
        )
        if context.workflow_id is not None or not _is_usual(billed, cost, reference_cost):
            check_row(row)
        return row

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


def _is_usual(billed: Billed | None, cost: int | None, reference_cost: int | None) -> bool:
    """Whether the row of a response is certainly possible: its numbers are within the limits of a record, and its names
    are those that `clean_name` made."""
    return (
        billed is not None
        and billed.modifiers is STANDARD
        and billed.steps is None
        and max(billed.usage) <= TOKENS_LIMIT
        and 0 <= billed.searches <= SEARCHES_LIMIT
        and 0 <= (cost or 0) <= COST_LIMIT_NANOUSD
        and 0 <= (reference_cost or 0) <= COST_LIMIT_NANOUSD
    )


def _read_carefully(reader: ResponseReader, line: bytes, number: int, offset: int, batch: TranscriptBatch) -> None:
    """Read a line that cannot be decoded at once."""
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
