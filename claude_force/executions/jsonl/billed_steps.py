"""The steps of an execution as JSON, and back: a list of objects, without the fields that are not known."""

from __future__ import annotations

from typing import Any

from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import Step, Steps, decode_steps
from claude_force.executions.record import NANOUSD, STEP_TOKENS, dollars
from claude_force.text import kind_of

_COSTS = {"cost": "cost_nanousd", "reference_cost": "reference_cost_nanousd", "recorded_cost": "recorded_cost_nanousd"}
_TEXTS = ("kind", "model", "service_tier", "inference_geo")
_KNOWN = frozenset((*_TEXTS, *STEP_TOKENS, *_COSTS))


def steps_as_json(text: str) -> list[dict[str, Any]]:
    """Stored steps as objects; costs in US dollars."""
    return [_as_json(step) for step in decode_steps(text) or ()]


def _as_json(step: Step) -> dict[str, Any]:
    values = {name: getattr(step, name) for name in (*_TEXTS, *STEP_TOKENS)}
    values |= {name: dollars(getattr(step, field)) for name, field in _COSTS.items()}
    return {name: value for name, value in values.items() if value is not None}


def steps_from_json(value: object) -> Steps:
    """The steps of a line. Raises InvalidRecord, which names the step and its field, for a value that is no step; the
    record checks the ranges."""
    if not isinstance(value, list):
        raise InvalidRecord("steps", f"expected a list, got {kind_of(value)}")
    return tuple(_from_json(index, item) for index, item in enumerate(value))


def _from_json(index: int, item: object) -> Step:
    if not isinstance(item, dict):
        raise InvalidRecord(f"steps[{index}]", f"expected an object, got {kind_of(item)}")
    for name in item.keys() - _KNOWN:
        raise InvalidRecord(f"steps[{index}].{name[:60]}", "is not a field of a step")
    for name in ("kind", "model", "input_tokens", "output_tokens"):
        if item.get(name) is None:
            raise InvalidRecord(f"steps[{index}].{name}", "is missing")
    fields = {name: item[name] for name in (*_TEXTS, *STEP_TOKENS) if item.get(name) is not None}
    for name, field in _COSTS.items():
        cost = item.get(name)
        if cost is not None and (isinstance(cost, bool) or not isinstance(cost, (int, float))):
            raise InvalidRecord(f"steps[{index}].{name}", f"expected a number, got {kind_of(cost)}")
        # The record refuses what is too large; this keeps infinity from raising here.
        fields[field] = None if cost is None else round(min(cost, 1e15) * NANOUSD)
    return Step(**fields)
