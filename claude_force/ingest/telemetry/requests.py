"""From a model request that telemetry saw to an observation of an execution.

| the request has          | it is identified by                                                     |
|--------------------------|-------------------------------------------------------------------------|
| a request id             | the request id, as responses of transcripts are; and it with model and  |
|                          | tokens, since gateways repeat request ids                               |
| the id of a response     | this id with model and tokens                                           |
| only the id of a span    | this id                                                                 |
| none of these            | session, instant, model and tokens                                      |

The agent is named as transcripts name it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.executions.clean_names import clean_name
from claude_force.executions.content_uids import content_identity
from claude_force.executions.deduplication import Observation
from claude_force.executions.joining import short_key
from claude_force.executions.pricing import Costs, Modifiers, PriceTable, Usage, modifiers_of
from claude_force.executions.record import (
    COST_LIMIT_NANOUSD,
    DURATION_LIMIT_US,
    MAIN,
    PROJECT_LIMIT,
    PROVISIONAL,
    SEARCHES_LIMIT,
    STANDARD_TIERS,
    SUBAGENT,
    TELEMETRY,
    TOKENS_LIMIT,
    UNKNOWN,
    ExecutionMetrics,
    ExecutionRow,
    check_row,
    column,
    columns,
    identity_text,
    to_row,
)
from claude_force.executions.run_parents import RunParent
from claude_force.executions.sightings import Sighting, is_main, is_side_request
from claude_force.executions.signals import EVENT, ModelRequest
from claude_force.ingest.transcripts.agent_ids import internal_agent, label_of
from claude_force.ingest.transcripts.identity import digest, request_id_identity, session_key
from claude_force.ingest.transcripts.ledgers import model_name
from claude_force.ingest.transcripts.run_starts import started_by

_CLAUDE_CODE = "claude-code"
"""What the services of Claude Code are called, or begin with."""

_HIDDEN = "custom"
"""The name of an agent that Claude Code does not tell."""

_BUILTIN = "agent:builtin:"
SEARCHING = "web_search_tool"
"""The side requests that search the web."""

_ROUNDED_TO_NANOUSD = 1000
"""Claude Code tells costs in whole micro-dollars."""

_NOT_PRICED: Costs = (None, None, None)
_FREE: Costs = (0, 0, None)

_INSTANT, _DURATION, _SEARCHES, _BASIS = columns("timestamp_us", "duration_us", "web_searches", "usage_basis")
_USED = slice(column("input_tokens"), column("cache_write_1h_tokens") + 1)
_COSTS = slice(column("cost_nanousd"), column("price_version") + 1)
_FIGURES = slice(_USED.start, column("reference_cost_nanousd") + 1)


def _agent_name(service: str, name: str | None, query_source: str | None, agent_id: str | None) -> str:
    """The name of the agent that made a request."""
    named, source = clean_name(name), query_source
    if named is not None and named != _HIDDEN:
        return named
    if source is not None and source.startswith(_BUILTIN) and len(source) > len(_BUILTIN):
        return clean_name(source.removeprefix(_BUILTIN)) or SUBAGENT
    if source is not None and is_side_request(source):
        return clean_name(f"(auxiliary) {source}") or SUBAGENT
    if agent_id is not None or (source is not None and not is_main(source)):
        return internal_agent(agent_id) or clean_name(label_of(agent_id)) or SUBAGENT
    if source is not None or service.startswith(_CLAUDE_CODE):
        return MAIN
    return clean_name(service) or UNKNOWN


def observe(request: ModelRequest, prices: PriceTable | None, host: str | None, user: str | None = None) -> Observation:
    """What a request says of its execution. Without `prices` it has no cost. `user` is who works on this machine, for a
    request that does not say who sent it. Raises InvalidRecord for impossible figures."""
    agent = _agent_of(
        request.service, request.model, request.session_id, request.agent_id, request.agent_name,
        request.query_source, request.project, request.provider, request.service_tier, request.effort,
        request.error_type, host, request.user or user,
    )  # fmt: skip
    key = request_id_identity(request.request_id) if request.request_id else None
    identities = _identities(request, agent.model, key)
    row = _row(request, agent, key or identities[0], prices)
    sighting = Sighting(
        request.origin,
        (b"", *row[1:]),
        short_key(key),
        request.cache_write_1h_tokens is not None or not request.cache_write_5m_tokens,
        request.ttft_us,
        agent.effort,
        agent.query_source,
        request.cost_nanousd,
    )
    return Observation(
        row,
        identities,
        shared=(key,) if key is not None else (),
        session=agent.session,
        request=key,
        sighting=sighting,
    )


def parent_of(request: ModelRequest) -> list[RunParent]:
    """What a request says of what started its sub-agent."""
    parent = request.session_id if internal_agent(request.agent_id) else request.parent_agent_id
    return started_by(request.agent_id, parent, request.session_id, request.at_us)


class _Agent(NamedTuple):
    """What all requests of one agent have alike: `row` is that of a request without figures."""

    model: str
    row: ExecutionRow
    modifiers: Modifiers
    session: bytes | None
    effort: str | None
    query_source: str | None


@lru_cache(maxsize=1024)
def _agent_of(
    service: str,
    model: str,
    session_id: str | None,
    agent_id: str | None,
    name: str | None,
    query_source: str | None,
    project: str | None,
    provider: str | None,
    service_tier: str | None,
    effort: str | None,
    error_type: str | None,
    host: str | None,
    user: str | None,
) -> _Agent:
    """What these texts make of a request. Its texts are checked here, once for all requests that have them."""
    tier, session = clean_name(service_tier), clean_name(session_id)
    record = ExecutionMetrics(
        uid=identity_text(bytes(16)),
        timestamp_us=EARLIEST_US,
        agent_name=_agent_name(service, name, query_source, agent_id),
        success=error_type is None,
        model=model_name(clean_name(model) or UNKNOWN),
        error_type=clean_name(error_type),
        workflow_id=session,
        source=TELEMETRY,
        host=host,
        project=clean_name(project, PROJECT_LIMIT),
        run_id=clean_name(agent_id),
        service_tier=None if tier in STANDARD_TIERS or tier == "normal" else tier,
        provider=clean_name(provider),
        user_name=clean_name(user),
    )
    modifiers = modifiers_of(record.service_tier, None, record.provider)
    return _Agent(
        record.model, to_row(record), modifiers, session_key(session), clean_name(effort), clean_name(query_source)
    )


def _identities(request: ModelRequest, model: str, key: bytes | None) -> tuple[bytes, ...]:
    """What identifies a request, whose request id has this key; each with what it used, since gateways repeat ids."""
    # Not all records of a request tell the two kinds of cache writes apart.
    written = (request.cache_write_5m_tokens or 0) + (request.cache_write_1h_tokens or 0)
    tokens = request.input_tokens, request.output_tokens, request.cache_read_tokens or 0, written
    figures = (model, *tokens, request.error_type)
    found = []
    if key is not None:
        # Begins as the key does: both are stored together, so one page changes and not two.
        found.append(key[:8] + digest("telemetry", request.request_id, *figures)[:8])
    if request.response_id:
        found.append(digest("telemetry", "response", request.response_id, *figures))
    if found:
        return tuple(found)
    if request.span_id:
        return (digest("telemetry", "span", request.span_id),)
    return (digest("telemetry", "moment", request.session_id, request.at_us, *figures),)


def _row(request: ModelRequest, agent: _Agent, identity: bytes, prices: PriceTable | None) -> ExecutionRow:
    at_us, duration_us = request.at_us, request.duration_us
    searches, costs = request.web_searches or 0, _NOT_PRICED
    row = list(agent.row)
    if request.input_tokens is not None:
        row[_USED] = usage = _usage(request)
        if prices is not None:
            if request.web_searches is None and request.query_source == SEARCHING:
                searches = _searches_in_cost(usage, agent, request, prices)
            costs = prices.complete(agent.model, usage, at_us, _NOT_PRICED, agent.modifiers, searches)
        if request.output_tokens is None or request.provisional:
            row[_BASIS] = PROVISIONAL
    elif request.error_type is not None and request.origin == EVENT:
        # A failure that an agent reports used none.
        row[_USED], costs = Usage(0, 0), _FREE
    row[0], row[_INSTANT] = content_identity(at_us, identity, 0), at_us
    row[_DURATION] = duration_us if duration_us is not None and 0 <= duration_us <= DURATION_LIMIT_US else None
    row[_COSTS], row[_SEARCHES] = costs, searches
    _check(row)
    return tuple(row)


def _check(row: list[Any]) -> None:
    """Raise InvalidRecord for figures that no execution has. Its texts are good."""
    tokens_in, tokens_out, read, write_5m, write_1h, cost, reference = row[_FIGURES]
    # Not in a loop, which would take three times as long.
    are_possible = (
        EARLIEST_US <= row[_INSTANT] < LATEST_US
        and (tokens_in is None or 0 <= tokens_in <= TOKENS_LIMIT)
        and (tokens_out is None or 0 <= tokens_out <= TOKENS_LIMIT)
        and 0 <= read <= TOKENS_LIMIT
        and 0 <= write_5m <= TOKENS_LIMIT
        and 0 <= write_1h <= TOKENS_LIMIT
        and (cost is None or 0 <= cost <= COST_LIMIT_NANOUSD)
        and (reference is None or 0 <= reference <= COST_LIMIT_NANOUSD)
        and 0 <= row[_SEARCHES] <= SEARCHES_LIMIT
    )
    if not are_possible:
        check_row(tuple(row))


def _searches_in_cost(usage: Usage, agent: _Agent, request: ModelRequest, prices: PriceTable) -> int:
    """How many web searches a cost contains: Claude Code tells what they cost, and not how many they were. 0 if the
    cost is not that of the tokens and a number of searches."""
    told_nanousd = request.cost_nanousd
    without, with_one = (prices.cost(agent.model, usage, request.at_us, agent.modifiers, each) for each in (0, 1))
    if told_nanousd is None or without is None or with_one is None or with_one <= without:
        return 0
    fee = with_one - without
    searches = round((told_nanousd - without) / fee)
    is_exact = abs(told_nanousd - without - searches * fee) <= _ROUNDED_TO_NANOUSD
    return searches if is_exact and 0 < searches <= SEARCHES_LIMIT else 0


def _usage(request: ModelRequest) -> Usage:
    """The tokens of a request that says them. A stream that was not read to its end has no output tokens."""
    return Usage(
        request.input_tokens or 0,
        request.output_tokens or 0,
        request.cache_read_tokens or 0,
        request.cache_write_5m_tokens or 0,
        request.cache_write_1h_tokens or 0,
    )
