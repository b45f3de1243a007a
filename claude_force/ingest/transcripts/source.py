"""Transcripts of Claude Code to sightings: one for each response of a model, priced, and never its text.

What each field of the execution is taken from is said in `docs/reference/transcripts.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import msgspec

from claude_force.database.rows.cursor import Cursor
from claude_force.errors import InvalidRecord
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.jsonl.lines import BOM, LINE_LIMIT_BYTES, READ_ERRORS, Chunk, read_chunks
from claude_force.executions.pricing import Costs, PriceTable
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
from claude_force.ingest.jsonl_source import Rejected
from claude_force.ingest.tail import FoundFile, read_to, read_whole, whole_lines
from claude_force.ingest.transcripts.entries import Usage, decode_entry
from claude_force.ingest.transcripts.responses import Reader, Response, State, TranscriptContext, side_of

CHUNK_LINES = 4000
"""Lines after which what was read is handed over, of a long file."""

_decode_state = msgspec.json.Decoder(State).decode


@dataclass(slots=True)
class Part:
    """What some lines of a transcript came to, and how far the file was read then."""

    cursor: Cursor
    observations: list[Observation] = field(default_factory=list)
    reports: list[ReportedUsage] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    lines: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TranscriptSource:
    """How to read transcripts. `prices` fills in costs (None: there are none); `host` is this machine."""

    prices: PriceTable | None
    host: str | None

    def read(self, stream: BinaryIO, file: FoundFile, begun: Cursor, place: TranscriptContext) -> Iterator[Part]:
        """What is new in a transcript, from where its cursor stands. Where it cannot be read on, the last part says so
        in its cursor."""
        reader = Reader(place, _decode_state(begun.state.encode()) if begun.state else State())
        cursor = begun
        try:
            lines = whole_lines(stream, begun.position, file.size)
            for chunk in read_chunks(lines, CHUNK_LINES, number=begun.lines + 1, offset=begun.position):
                part = self._part(reader, chunk, cursor)
                cursor = part.cursor = read_to(lines, part.cursor, chunk.end)
                yield part
            yield Part(read_whole(read_to(lines, cursor, cursor.position), file))
        except READ_ERRORS as error:
            yield Part(replace(cursor, problem=f"cannot be read on: {error}"))

    def _part(self, reader: Reader, chunk: Chunk, cursor: Cursor) -> Part:
        part = Part(cursor, lines=len(chunk.raw))
        for number, line in enumerate(chunk.raw[:-1] if chunk.is_cut else chunk.raw, chunk.number):
            _read_line(reader, line.removeprefix(BOM) if number == 1 else line, number, part)
        if chunk.is_cut:
            reason = f"longer than {LINE_LIMIT_BYTES // 1024**2} MiB; not looked into"
            part.rejected.append(Rejected(chunk.number + len(chunk.raw) - 1, chunk.end - chunk.skipped, reason, b""))
        for response in reader.take_out():
            try:
                part.observations.append(self._sighting(response, reader.place))
            except InvalidRecord as error:
                part.rejected.append(Rejected(response.line, 0, str(error), b""))
        part.reports, reader.reports = reader.reports, []
        part.skipped, reader.skipped = reader.skipped, {}
        part.cursor = replace(
            cursor,
            lines=cursor.lines + len(chunk.raw),
            responses=cursor.responses + len(part.observations),
            rejected=cursor.rejected + len(part.rejected),
            skipped=_added(cursor.skipped, part.skipped),
            state=msgspec.json.encode(reader.saved()).decode(),
        )
        return part

    def _sighting(self, response: Response, place: TranscriptContext) -> Observation:
        """The sighting of a response. Raises InvalidRecord for one that no record can hold."""
        record = self._record(response, place)
        return Observation(
            to_row(record),
            (response.identity,),
            side_of(response, is_sidechain=response.is_sidechain),
            side_of(response, is_sidechain=not response.is_sidechain),
            response.is_sidechain,
            response.from_us,
        )

    def _record(self, response: Response, place: TranscriptContext) -> ExecutionMetrics:
        usage, tokens = response.usage, _tokens(response.usage)
        searches = (usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0
        tier = "fast" if usage.speed == "fast" else usage.service_tier
        tier = None if not tier or tier in STANDARD_TIERS else tier
        cost, reference, version = self._costs(response, tokens, tier, searches)
        asked, ended = response.asked_us, response.last_us
        return ExecutionMetrics(
            uid=content_uid(response.first_us, response.identity, 0),
            timestamp_us=ended,
            agent_name=response.agent_name,
            success=response.error_type is None,
            model=response.model,
            task_hash=response.run.task_hash,
            duration_us=ended - asked if asked is not None and 0 <= ended - asked <= DURATION_LIMIT_US else None,
            input_tokens=tokens[0] if tokens else None,
            output_tokens=tokens[1] if tokens else None,
            cache_read_tokens=tokens[2] if tokens else 0,
            cache_write_5m_tokens=tokens[3] if tokens else 0,
            cache_write_1h_tokens=tokens[4] if tokens else 0,
            cost_nanousd=cost,
            reference_cost_nanousd=reference,
            price_version=version,
            error_type=response.error_type,
            workflow_id=place.workflow_id or response.session_id,
            source=CLAUDE_CODE,
            host=self.host,
            project=response.project,
            run_id=response.run.run_id,
            service_tier=tier,
            web_searches=searches,
            usage_basis=PROVISIONAL if tokens and not response.is_final else None,
        )

    def _costs(self, response: Response, tokens: Tokens | None, tier: str | None, searches: int) -> Costs:
        given = response.cost_usd
        # What cannot be a cost counts as none: the tokens are the figure that matters.
        cost = round(given * NANOUSD) if given is not None and 0 <= given * NANOUSD <= COST_LIMIT_NANOUSD else None
        if tokens is None:
            return cost, None, None
        if response.error_type is not None and not sum(tokens):
            # What was refused is not billed, whatever its model would have cost.
            return 0, 0, None
        if self.prices is None:
            return cost, None, None
        return self.prices.complete(
            response.model, tokens, response.last_us, (cost, None, None), tier=tier, searches=searches
        )


def _read_line(reader: Reader, line: bytes, number: int, part: Part) -> None:
    if line.isspace():
        return
    try:
        reader.read(decode_entry(line), number)
    except InvalidRecord as error:
        part.rejected.append(Rejected(number, 0, str(error), b""))


def _tokens(usage: Usage) -> Tokens | None:
    """The tokens of a usage by kind; None where they are not known. Cache writes that no tier claims are for five
    minutes, as they were before there were tiers."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    tiers = usage.cache_creation
    short, long = (tiers.ephemeral_5m_input_tokens or 0, tiers.ephemeral_1h_input_tokens or 0) if tiers else (0, 0)
    short = max(short, (usage.cache_creation_input_tokens or 0) - long)
    return Tokens(usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens or 0, short, long)


def _added(before: str, more: dict[str, int]) -> str:
    """Counts by reason as JSON, with more of them."""
    if not more:
        return before
    counts: dict[str, int] = json.loads(before)
    return json.dumps({reason: counts.get(reason, 0) + more.get(reason, 0) for reason in counts.keys() | more.keys()})
