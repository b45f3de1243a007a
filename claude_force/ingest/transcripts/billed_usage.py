"""What a response of a transcript is billed for."""

from __future__ import annotations

from functools import lru_cache

import orjson

from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import MESSAGE, Step, Steps, sum_tokens
from claude_force.executions.costs import Billed
from claude_force.executions.pricing import Modifiers, modifiers_of
from claude_force.executions.pricing import Usage as Tokens
from claude_force.executions.record import NAME_LIMIT, STANDARD_GEOS, STANDARD_TIERS
from claude_force.executions.usage import is_single, join_tiers, refusal_kind, refused_steps, steps_of
from claude_force.ingest.transcripts.entries import Usage, single_step_of
from claude_force.ingest.transcripts.responses import REFUSAL, Response

_PROVIDERS = {"msg_bdrk_": "bedrock", "msg_vrtx_": "vertex"}
"""How the message ids of other sellers begin."""

_PREFIX_LENGTH = len("msg_bdrk_")


def billed_of(response: Response) -> Billed | None:
    """The tokens, steps and modifiers of a response; None if its usage is not known. Raises InvalidRecord for
    impossible counts, also for those of the whole response where its steps are billed."""
    usage = response.usage
    tokens = tokens_of(usage)
    if tokens is None:
        return None
    if min(tokens) < 0:
        raise InvalidRecord(Tokens._fields[tokens.index(min(tokens))], "is negative")
    modifiers = _modifiers(usage.speed, usage.service_tier, usage.inference_geo, provider_of(response.message_id))
    searches = (usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0
    steps = _steps_of(response, tokens, modifiers)
    if steps is not None:
        tokens = Tokens(*sum_tokens(steps))
        steps = None if is_single(steps, response.model) else steps
    return Billed(response.model, response.last_us, tokens, modifiers, searches, steps)


def provider_of(message_id: str) -> str | None:
    """The seller that a message id tells of; None for the Claude API."""
    return _PROVIDERS.get(message_id[:_PREFIX_LENGTH])


def _steps_of(response: Response, tokens: Tokens, modifiers: Modifiers) -> Steps | None:
    steps = _listed_steps(response)
    if response.error_type != REFUSAL:
        return steps
    kind = refusal_kind(response.refusal_category or None, is_known=response.refusal_category is not None)
    whole = Step(MESSAGE, response.model, *tokens, modifiers.tier, modifiers.geo)
    return refused_steps(steps or (whole,), kind)


def _listed_steps(response: Response) -> Steps | None:
    listed = bytes(response.usage.iterations)
    if not listed or listed in (b"null", b"[]") or _is_usual(response):
        return None
    return steps_of(orjson.loads(listed), response.usage, response.model)


def _is_usual(response: Response) -> bool:
    """Whether the listed steps are one that says what the usage says: so is nearly every response, and reading steps
    one by one takes several times as long."""
    usage = response.usage
    step = single_step_of(usage.iterations)
    return (
        step is not None
        and step.type == MESSAGE
        and (step.model is None or step.model == response.model)
        and step.input_tokens == usage.input_tokens
        and step.output_tokens == usage.output_tokens
        and step.cache_read_input_tokens == usage.cache_read_input_tokens
        and step.cache_creation_input_tokens == usage.cache_creation_input_tokens
        and step.cache_creation == usage.cache_creation
        and step.service_tier is step.speed is step.inference_geo is None
    )


def tokens_of(usage: Usage) -> Tokens | None:
    """The tokens of a usage by kind; None if they are not known. Cache writes without a lifetime are for five minutes,
    the only lifetime before there were two."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    tiers = usage.cache_creation
    short, long = (tiers.ephemeral_5m_input_tokens or 0, tiers.ephemeral_1h_input_tokens or 0) if tiers else (0, 0)
    short = max(short, (usage.cache_creation_input_tokens or 0) - long)
    return Tokens(usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens or 0, short, long)


@lru_cache(maxsize=256)
def _modifiers(speed: str | None, service_tier: str | None, geo: str | None, provider: str | None) -> Modifiers:
    """The modifiers of a usage and a seller; STANDARD itself for nearly all."""
    tier = join_tiers(_special(speed, STANDARD_TIERS), _special(service_tier, STANDARD_TIERS))
    return modifiers_of(tier, _special(geo, STANDARD_GEOS), provider)


def _special(name: str | None, standard: frozenset[str]) -> str | None:
    return None if not name or name in standard else name[:NAME_LIMIT]
