"""One response as different sources see it: observations that are stored, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from claude_force.database.contract import Database
from claude_force.database.queries import Filter, iterate_rows, verify_rollups
from claude_force.database.queries.sightings import sightings_of
from claude_force.database.writes import Store
from claude_force.executions.content_uids import content_identity
from claude_force.executions.costs import price_row, row_pricer
from claude_force.executions.deduplication import Observation
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import CLAUDE_CODE, ExecutionRow, to_row
from claude_force.executions.sightings import Sighting
from claude_force.executions.signals import ModelRequest
from claude_force.ingest.telemetry.requests import observe
from claude_force.ingest.transcripts.identity import (
    digest,
    request_id_identity,
    request_identity,
    session_key,
    side_identities,
)
from tests.builders import NOON_US, an_execution

SESSION, REQUEST, MODEL = "5f0c9a1e-3b52-4d7c-9a43-0f6f2d1b7c11", "req_011main", "claude-sonnet-4-5"
PRICES = PriceTable("claude-sonnet-4-5")


def in_transcript(message: str = "msg_1", request: str | None = REQUEST, **changes: Any) -> Observation:
    """A response as its transcript has it. Version 2.2 (`is_of_2_2`) stored no key of the request id. `is_replay`: in
    the transcript of a sub-agent, which repeats the main conversation."""
    is_of_2_2, is_replay = changes.pop("is_of_2_2", False), changes.pop("is_replay", False)
    fields: dict[str, Any] = {
        "timestamp_us": NOON_US, "agent_name": "main", "model": MODEL, "duration_us": 3_000_000, "input_tokens": 10,
        "output_tokens": 200, "cache_read_tokens": 5000, "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 300,
        "cost_nanousd": None, "reference_cost_nanousd": None, "workflow_id": SESSION, "source": CLAUDE_CODE,
        "host": "here", "project": "/srv/shop", "run_id": "prompt-1", "git_branch": "main",
    } | changes  # fmt: skip
    row = to_row(an_execution(**fields))
    if row[FIELD["input_tokens"]] is not None:
        row = price_row(PRICES, row)
    at_us = fields["timestamp_us"]
    identity = request_identity(message, request) if request else digest("moment", message, at_us, 1)
    session = fields["workflow_id"]
    shared, other = side_identities(session, message, message.encode(), 5310, is_sidechain=is_replay)
    key = request_id_identity(request) if request and not is_of_2_2 else None
    return Observation(
        (content_identity(at_us, identity, 0), *row[1:]), (identity,), shared + ((key,) if key else ()), other,
        is_sidechain=is_replay, session=session_key(session), request=key,
    )  # fmt: skip


FIELD = {name: index for index, name in enumerate(an_execution().__dataclass_fields__)}


def request(origin: str = "event", **changes: Any) -> ModelRequest:
    """The same response as telemetry has it."""
    fields: dict[str, Any] = {
        "service": "claude-code", "at_us": NOON_US + 20_000, "model": MODEL, "request_id": REQUEST,
        "session_id": SESSION, "query_source": "repl_main_thread", "input_tokens": 10, "output_tokens": 200,
        "cache_read_tokens": 5000, "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 300, "duration_us": 2_500_000,
        "ttft_us": 400_000, "effort": "high", "cost_nanousd": 7_000_000,
    } | changes  # fmt: skip
    return ModelRequest(origin=origin, **fields)


def in_telemetry(origin: str = "event", **changes: Any) -> Observation:
    """An observation of `request`."""
    return observe(request(origin, **changes), PRICES, "here")


def put(database: Database, observations: Iterable[Observation]) -> None:
    """Store observations, each in a transaction of its own."""
    store = Store(database, row_pricer(PRICES))
    for observation in observations:
        store.ingest([observation], [])


Seen = tuple[ExecutionRow, dict[str, Sighting]]


def rows_of(database: Database) -> list[ExecutionRow]:
    """The executions, oldest first, after a check that the roll-ups equal them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return list(iterate_rows(database, Filter()))


def seen_in(database: Database) -> list[Seen]:
    """The executions without their uids, and what each source saw of them."""
    rows = rows_of(database)
    with database.read() as connection:
        found = sightings_of(connection, {row[0]: row for row in rows})
    return [((b"", *row[1:]), found.get(row[0], {})) for row in rows]


def value_of(row: ExecutionRow, name: str) -> Any:
    """A field of a row."""
    return row[FIELD[name]]
