"""From the usage of an API response to what is billed: tokens by kind, and the steps of a response that had several.

Anthropic's API lists the steps in `usage.iterations`. The top-level counts leave some of them out (an advisor's, a
compaction), so where steps are listed, they are what is billed.
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, read on 2026-11-28
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import (
    ADVISOR,
    COMPACTION,
    FALLBACK,
    MESSAGE,
    REFUSAL,
    STEPS_LIMIT,
    UNBILLED_REFUSAL,
    Step,
    Steps,
)
from claude_force.executions.record import NAME_LIMIT, STANDARD_GEOS, STANDARD_TIERS, UNKNOWN
from claude_force.text import kind_of

_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation")
_OF_THE_REQUEST = (MESSAGE, COMPACTION)
"""Kinds of steps that run on the model of the request, if they name none."""

_BILLED_REFUSALS = frozenset({"bio", "frontier_llm", "reasoning_extraction"})
_UNBILLED_REFUSALS = frozenset({"cyber", "general_harms", None})
"""Categories in which a refusal before any output is billed, and in which it is not; None is a refusal without a
category. "How refusals are billed" on the page above."""


def part(value: object, name: str) -> Any:
    """A key of a mapping or an attribute of an object; None if it is missing or cannot be read."""
    try:
        return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    except Exception:
        # A property of a foreign object may raise anything, and must not break the call.
        return None


def count(value: object) -> int:
    """A token count; 0 for what is none."""
    return value if type(value) is int and value >= 0 else 0


def cache_writes(usage: object) -> tuple[int, int]:
    """The cache writes of a usage: for five minutes, and for an hour. Writes without a lifetime are for five minutes,
    the only lifetime before there were two."""
    tiers = part(usage, "cache_creation")
    short, long = (count(part(tiers, f"ephemeral_{tier}_input_tokens")) for tier in ("5m", "1h"))
    return max(short, count(part(usage, "cache_creation_input_tokens")) - long), long


def tier_of(usage: object) -> str | None:
    """The service tier if it is not the standard: "fast", "batch" or another word; else None."""
    return join_tiers(
        _special(part(usage, "speed"), STANDARD_TIERS), _special(part(usage, "service_tier"), STANDARD_TIERS)
    )


def join_tiers(speed: str | None, tier: str | None) -> str | None:
    """One word for the speed and the service tier of a response, which are None for standard ones. Both together are
    "fast and batch", for which nobody has published a price."""
    if not (speed and tier):
        return speed or tier or None
    return f"{speed} and {tier}"[:NAME_LIMIT]


def geo_of(usage: object) -> str | None:
    """The data residency; None where there is none."""
    return _special(part(usage, "inference_geo"), STANDARD_GEOS)


def _special(name: object, standard: frozenset[str]) -> str | None:
    is_name = isinstance(name, str) and 0 < len(name) <= NAME_LIMIT and name.isprintable()
    return str(name) if is_name and name not in standard else None


def steps_of(listed: object, usage: object, model: str) -> Steps | None:
    """The steps that `usage.iterations` lists; None if it lists none. `usage` is that of the whole response by `model`.

    Raises InvalidRecord for a step with impossible counts: no number may be made up."""
    if not isinstance(listed, (list, tuple)) or not listed:
        return None
    if len(listed) > STEPS_LIMIT:
        raise InvalidRecord("usage.iterations", f"has more than {STEPS_LIMIT:,} steps")
    tier, geo = tier_of(usage), geo_of(usage)
    steps = [_step(index, item, model, tier, geo) for index, item in enumerate(listed)]
    if all(part(item, name) is None for item in listed for name in _CACHED):
        steps = _with_cached_tokens(steps, usage)
    return tuple(_unbilled_attempts(_with_hour_writes(steps, cache_writes(usage)[1])))


def whole_step(usage: object, model: str) -> Step:
    """A usage without listed steps, as one."""
    tokens = (
        part(usage, "input_tokens"),
        part(usage, "output_tokens") or 0,
        count(part(usage, "cache_read_input_tokens")),
    )
    return Step(MESSAGE, model, *tokens, *cache_writes(usage), tier_of(usage), geo_of(usage))


def refused_steps(steps: Steps, kind: str | None) -> Steps:
    """The steps of a response that the model refused. The attempt that was refused, the last one, has this kind if it
    gave no output; what ran before it is billed. None is a refusal that is billed as any other."""
    last = _last_attempt(steps)
    if kind is None or last is None or steps[last].output_tokens:
        return steps
    return (*steps[:last], steps[last]._replace(kind=kind), *steps[last + 1 :])


def refusal_kind_of(response: object) -> str | None:
    """`refusal_kind` of a response of the API that was refused."""
    details = part(response, "stop_details")
    category = part(details, "category")
    return refusal_kind(category if isinstance(category, str) else None, is_known=details is not None)


def _step(index: int, item: object, model: str, tier: str | None, geo: str | None) -> Step:
    name = f"usage.iterations[{index}]"
    kind = part(item, "type")
    if isinstance(item, (str, int, float, list)) or item is None:
        raise InvalidRecord(name, f"expected an object, got {kind_of(item)}")
    sent = _checked(f"{name}.input_tokens", part(item, "input_tokens"))
    written = _checked(f"{name}.output_tokens", part(item, "output_tokens"))
    cached = _checked(f"{name}.cache_read_input_tokens", part(item, "cache_read_input_tokens") or 0)
    _checked(f"{name}.cache_creation_input_tokens", part(item, "cache_creation_input_tokens") or 0)
    kind = MESSAGE if kind is None else kind
    kind = kind if isinstance(kind, str) and 0 < len(kind) <= NAME_LIMIT and kind.isprintable() else UNKNOWN
    named = part(item, "model")
    if not (isinstance(named, str) and 0 < len(named) <= NAME_LIMIT and named.isprintable()):
        named = model if kind in _OF_THE_REQUEST else UNKNOWN
    # Fast is what the request asked of its own model; an advisor is another one.
    inherited = None if tier == "fast" and kind == ADVISOR else tier
    short, long = cache_writes(item)
    return Step(kind, named, sent, written, cached, short, long, tier_of(item) or inherited, geo_of(item) or geo)


def _with_cached_tokens(steps: list[Step], usage: object) -> list[Step]:
    """Steps that say nothing of cached tokens, where the last one of the response itself has those of the usage."""
    last = _last_attempt(steps)
    if last is None:
        return steps
    short, long = cache_writes(usage)
    cached = steps[last]._replace(
        cache_read_tokens=count(part(usage, "cache_read_input_tokens")),
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
    )
    return [*steps[:last], cached, *steps[last + 1 :]]


def _last_attempt(steps: Sequence[Step]) -> int | None:
    """The index of the last step of the response itself; None if it has none."""
    return max((index for index, step in enumerate(steps) if step.kind in (MESSAGE, FALLBACK)), default=None)


def _checked(field: str, value: object) -> int:
    if type(value) is not int:
        raise InvalidRecord(field, "is missing" if value is None else f"expected a whole number, got {kind_of(value)}")
    if value < 0:
        raise InvalidRecord(field, "is negative")
    return value


def _with_hour_writes(steps: list[Step], hour_tokens: int) -> list[Step]:
    """Steps whose cache writes have no lifetime, with the one-hour writes that the usage has for all of them."""
    left = hour_tokens - sum(step.cache_write_1h_tokens for step in steps)
    found = []
    for step in steps:
        moved = min(step.cache_write_5m_tokens, left) if left > 0 and step.kind != ADVISOR else 0
        left -= moved
        short, long = step.cache_write_5m_tokens - moved, step.cache_write_1h_tokens + moved
        found.append(step._replace(cache_write_5m_tokens=short, cache_write_1h_tokens=long) if moved else step)
    return found


def _unbilled_attempts(steps: list[Step]) -> Iterable[Step]:
    """Of attempts that a fallback replaced, only those with output are billed."""
    kinds = [step.kind for step in steps]
    last = len(kinds) - 1 - kinds[::-1].index(FALLBACK) if FALLBACK in kinds else 0
    for index, step in enumerate(steps):
        was_refused = index < last and step.kind in (MESSAGE, FALLBACK) and not step.output_tokens
        yield step._replace(kind=UNBILLED_REFUSAL) if was_refused else step


def is_single(steps: Steps, model: str) -> bool:
    """Whether the steps are the usual one: an execution needs no steps then."""
    return len(steps) == 1 and steps[0].model == model and steps[0].kind not in (REFUSAL, UNBILLED_REFUSAL)


def refusal_kind(category: object, *, is_known: bool) -> str | None:
    """The kind of the step of a refusal before any output, by its category; None if it is billed as any other.
    `is_known` says whether the source tells the category at all."""
    if is_known and category in _BILLED_REFUSALS:
        return None
    return UNBILLED_REFUSAL if is_known and category in _UNBILLED_REFUSALS else REFUSAL
