"""From a recorded call of the Anthropic SDK to an observation of an execution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import REFUSAL, STEPS_LIMIT, Steps, sum_tokens
from claude_force.executions.costs import price_record
from claude_force.executions.deduplication import Observation
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import from_row, to_row
from claude_force.executions.signals import SDK_SPAN, Call, ModelRequest
from claude_force.executions.usage import (
    cache_writes,
    count,
    geo_of,
    is_single,
    join_tiers,
    part,
    refusal_kind_of,
    refused_steps,
    steps_of,
    tier_of,
    whole_step,
)
from claude_force.ingest.telemetry.requests import observe
from claude_force.ingest.transcripts.api_errors import API_ERROR, kind_of_failure

SERVICE = "anthropic-sdk"
_BATCH = "batch"


class _Billed(NamedTuple):
    tokens: tuple[int | None, ...] = (None,) * 5
    steps: Steps | None = None
    tier: str | None = None
    geo: str | None = None
    web_searches: int = 0


def observe_call(call: Call, prices: PriceTable | None, host: str | None, user: str | None = None) -> Observation:
    """What a call says of its execution. Without `prices` it has no cost. Raises InvalidRecord for impossible figures.

    A failure that the API answered used no tokens, unless it says otherwise."""
    billed = _billed(call)
    is_usual = billed.steps is None and billed.geo is None
    observation = observe(_request_of(call, billed), prices if is_usual else None, host, user)
    if is_usual or observation.sighting is None:
        return observation
    record = replace(from_row(observation.row), inference_geo=billed.geo, steps=billed.steps)
    row = to_row(record if prices is None else price_record(prices, record))
    return observation._replace(row=row, sighting=observation.sighting._replace(row=(b"", *row[1:])))


def _request_of(call: Call, billed: _Billed) -> ModelRequest:
    sent, written, read, write_5m, write_1h = billed.tokens
    return ModelRequest(
        origin=SDK_SPAN,
        service=SERVICE,
        at_us=call.at_us,
        model=call.model,
        request_id=call.request_id,
        response_id=call.response_id,
        session_id=call.session_id,
        agent_name=call.agent_name,
        project=call.project,
        provider=call.provider,
        input_tokens=sent,
        output_tokens=written,
        cache_read_tokens=read,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        web_searches=billed.web_searches,
        duration_us=call.duration_us,
        ttft_us=call.ttft_us,
        effort=call.effort,
        service_tier=billed.tier,
        error_type=_error_type(call),
        provisional=call.provisional,
    )


def _billed(call: Call) -> _Billed:
    """What a call is billed for; nothing is known without a usage."""
    usage = call.usage
    if usage is None or type(usage.get("input_tokens")) is not int:
        return _Billed((0,) * 5) if call.status is not None or call.is_batch else _Billed()
    steps = _steps(call, usage)
    tokens = (
        sum_tokens(steps)
        if steps
        else (
            usage["input_tokens"],
            count(usage.get("output_tokens")),
            count(usage.get("cache_read_input_tokens")),
            *cache_writes(usage),
        )
    )
    tier = tier_of(usage)
    if call.is_batch and _BATCH not in (tier or ""):
        tier = join_tiers(tier, _BATCH)
    searches = count(part(usage.get("server_tool_use"), "web_search_requests"))
    return _Billed(tokens, steps, tier, geo_of(usage), searches)


def _steps(call: Call, usage: dict[str, Any]) -> Steps | None:
    """The steps of a call that is billed for several, or was refused before any output. Listed steps that cannot be
    read count as not listed."""
    try:
        steps = steps_of(usage.get("iterations"), usage, call.model)
    except InvalidRecord:
        steps = None
    if call.stop_reason == REFUSAL:
        whole = (whole_step(usage, call.model),)
        steps = refused_steps(steps or whole, refusal_kind_of({"stop_details": call.stop_details}))
    return None if steps is None or is_single(steps, call.model) or len(steps) > STEPS_LIMIT else steps


def _error_type(call: Call) -> str | None:
    """The kind of a failure, in the words of transcripts and spans; a refusal is one."""
    if call.error_type is None and call.status is None:
        return REFUSAL if call.stop_reason == REFUSAL else None
    word = call.error_type or ""
    kind = kind_of_failure(call.status, f'{word} {{"type":"{word}"}}')
    return word if word and kind == API_ERROR else kind
