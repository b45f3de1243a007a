"""The usage of an API response: which steps it lists, and what of it is billed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from claude_force.errors import InvalidRecord
from claude_force.executions.billed_steps import REFUSAL, STEPS_LIMIT, UNBILLED_REFUSAL, Step
from claude_force.executions.usage import geo_of, is_single, refusal_kind, refused_steps, steps_of, tier_of

OPUS, SONNET, FABLE = "claude-opus-4-8", "claude-sonnet-4-6", "claude-fable-5"


def listed(kind: Any, sent: Any, written: Any, **more: Any) -> dict[str, Any]:
    """A step as the API lists it."""
    return {"type": kind, "input_tokens": sent, "output_tokens": written} | more


STEPS: dict[str, tuple[list[Any], dict[str, Any], list[Step]]] = {
    "an advisor on its own model": (
        [listed("message", 2, 100), listed("advisor_message", 900, 20, model=OPUS)],
        {},
        [Step("message", SONNET, 2, 100), Step("advisor_message", OPUS, 900, 20)],
    ),
    "a compaction on the model of the request": (
        [listed("compaction", 170, 3), listed("message", 20, 1)],
        {},
        [Step("compaction", SONNET, 170, 3), Step("message", SONNET, 20, 1)],
    ),
    "an advisor without a model": ([listed("advisor_message", 9, 2)], {}, [Step("advisor_message", "unknown", 9, 2)]),
    "a kind that nobody heard of": (
        [listed("pondering", 9, 2), listed("pondering", 9, 2, model=OPUS)],
        {},
        [Step("pondering", "unknown", 9, 2), Step("pondering", OPUS, 9, 2)],
    ),
    "no kind": ([listed(None, 9, 2)], {}, [Step("message", SONNET, 9, 2)]),
    "a kind that is no text": ([listed(7, 9, 2)], {}, [Step("unknown", "unknown", 9, 2)]),
    "cached tokens of the step": (
        [listed("message", 1, 2, cache_read_input_tokens=5, cache_creation_input_tokens=7)],
        {"cache_read_input_tokens": 900},
        [Step("message", SONNET, 1, 2, 5, 7)],
    ),
    "cached tokens that only the whole response has": (
        [listed("message", 1, 2), listed("message", 3, 4)],
        {
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_1h_input_tokens": 6},
        },
        [Step("message", SONNET, 1, 2), Step("message", SONNET, 3, 4, 5, 1, 6)],
    ),
    "lifetimes that only the whole response has": (
        [
            listed("message", 1, 2, cache_creation_input_tokens=10),
            listed("message", 1, 2, cache_creation_input_tokens=10),
        ],
        {"cache_creation_input_tokens": 20, "cache_creation": {"ephemeral_1h_input_tokens": 15}},
        [Step("message", SONNET, 1, 2, 0, 0, 10), Step("message", SONNET, 1, 2, 0, 5, 5)],
    ),
    "modifiers of the request": (
        [listed("message", 1, 2), listed("advisor_message", 1, 2, model=OPUS)],
        {"service_tier": "batch", "inference_geo": "us"},
        [
            Step("message", SONNET, 1, 2, service_tier="batch", inference_geo="us"),
            Step("advisor_message", OPUS, 1, 2, service_tier="batch", inference_geo="us"),
        ],
    ),
    "fast is not for the advisor": (
        [listed("message", 1, 2), listed("advisor_message", 1, 2, model=OPUS)],
        {"speed": "fast"},
        [Step("message", SONNET, 1, 2, service_tier="fast"), Step("advisor_message", OPUS, 1, 2)],
    ),
    "modifiers of the step": (
        [listed("message", 1, 2, service_tier="batch", inference_geo="us")],
        {"service_tier": "standard", "inference_geo": "global"},
        [Step("message", SONNET, 1, 2, service_tier="batch", inference_geo="us")],
    ),
    "a fallback after a refusal before any output": (
        [listed("message", 500, 0, model=FABLE), listed("fallback_message", 500, 9, model=OPUS)],
        {},
        [Step(UNBILLED_REFUSAL, FABLE, 500, 0), Step("fallback_message", OPUS, 500, 9)],
    ),
    "a fallback after a refusal with output": (
        [listed("message", 500, 4, model=FABLE), listed("fallback_message", 500, 9, model=OPUS)],
        {},
        [Step("message", FABLE, 500, 4), Step("fallback_message", OPUS, 500, 9)],
    ),
    "a fallback of a fallback": (
        [
            listed("message", 5, 0, model=FABLE),
            listed("fallback_message", 5, 0, model=OPUS),
            listed("fallback_message", 5, 9, model=SONNET),
        ],
        {},
        [
            Step(UNBILLED_REFUSAL, FABLE, 5, 0),
            Step(UNBILLED_REFUSAL, OPUS, 5, 0),
            Step("fallback_message", SONNET, 5, 9),
        ],
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_listed_steps(case: str) -> None:
    """Each step has its own model, tokens and modifiers, or those of the request."""
    items, usage, expected = STEPS[case]
    assert steps_of(items, usage, SONNET) == tuple(expected)
    # The objects of an API client say the same.
    objects = [SimpleNamespace(**item) for item in items]
    assert steps_of(objects, SimpleNamespace(**usage), SONNET) == tuple(expected)


@pytest.mark.parametrize("nothing", [None, [], "message", {}, 7])
def test_no_steps_are_listed(nothing: object) -> None:
    """A usage without a list of steps has none."""
    assert steps_of(nothing, {}, SONNET) is None


BAD = {
    "negative tokens": ([listed("message", -1, 2)], "usage.iterations[0].input_tokens: is negative"),
    "text for tokens": ([listed("message", 1, "2")], "usage.iterations[0].output_tokens: expected a whole number"),
    "no tokens": ([listed("message", 1, 2), {"type": "message"}], "usage.iterations[1].input_tokens: is missing"),
    "negative cached tokens": (
        [listed("message", 1, 2, cache_read_input_tokens=-5)],
        "usage.iterations[0].cache_read_input_tokens: is negative",
    ),
    "no object": (["message"], "usage.iterations[0]: expected an object"),
    "null": ([None], "usage.iterations[0]: expected an object"),
    "too many": ([listed("message", 1, 2)] * (STEPS_LIMIT + 1), "has more than 10,000 steps"),
}


@pytest.mark.parametrize("case", BAD)
def test_impossible_steps_are_refused(case: str) -> None:
    """With the place of the step: no number is made up."""
    items, reason = BAD[case]
    with pytest.raises(InvalidRecord) as refused:
        steps_of(items, {}, SONNET)
    assert reason in str(refused.value)


def test_ten_thousand_steps_are_read() -> None:
    """As many as an execution can have."""
    found = steps_of([listed("message", 1, 2)] * STEPS_LIMIT, {}, SONNET)
    assert found is not None
    assert len(found) == STEPS_LIMIT


def test_a_single_step_of_the_model_is_the_usual_one() -> None:
    """Of another model, or refused, it is not."""
    assert is_single((Step("message", SONNET, 1, 2),), SONNET)
    assert not is_single((Step("message", OPUS, 1, 2),), SONNET)
    assert not is_single((Step(UNBILLED_REFUSAL, SONNET, 1, 0),), SONNET)
    assert not is_single((Step("message", SONNET, 1, 2), Step("message", SONNET, 1, 2)), SONNET)


@pytest.mark.parametrize(
    ("category", "is_known", "kind"),
    [
        ("cyber", True, UNBILLED_REFUSAL),
        ("general_harms", True, UNBILLED_REFUSAL),
        (None, True, UNBILLED_REFUSAL),
        ("bio", True, None),
        ("frontier_llm", True, None),
        ("reasoning_extraction", True, None),
        ("a new category", True, REFUSAL),
        (None, False, REFUSAL),
    ],
)
def test_refusals_before_output_are_billed_by_category(category: str | None, is_known: bool, kind: str | None) -> None:
    """Some are free, some are billed, and of the others the bill is not known."""
    assert refusal_kind(category, is_known=is_known) == kind


REFUSED = {
    "alone": ([listed("message", 9, 0)], [UNBILLED_REFUSAL]),
    "after a compaction": ([listed("compaction", 9, 2), listed("message", 9, 0)], ["compaction", UNBILLED_REFUSAL]),
    "after an advisor": (
        [listed("message", 9, 2), listed("advisor_message", 9, 2, model=OPUS), listed("message", 9, 0)],
        ["message", "advisor_message", UNBILLED_REFUSAL],
    ),
    "before an advisor ended": (
        [listed("message", 9, 0), listed("advisor_message", 9, 2, model=OPUS)],
        [UNBILLED_REFUSAL, "advisor_message"],
    ),
    "by the fallback, too": (
        [listed("message", 9, 4, model=FABLE), listed("fallback_message", 9, 0, model=OPUS)],
        ["message", UNBILLED_REFUSAL],
    ),
    "by every attempt": (
        [listed("message", 9, 0, model=FABLE), listed("fallback_message", 9, 0, model=OPUS)],
        [UNBILLED_REFUSAL, UNBILLED_REFUSAL],
    ),
    "after some output": ([listed("compaction", 9, 2), listed("message", 9, 1)], ["compaction", "message"]),
    "before any attempt": ([listed("compaction", 9, 0)], ["compaction"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_only_the_refused_attempt_is_not_billed(case: str) -> None:
    """What ran before it is, and so is an attempt with output. In a billed category nothing changes."""
    items, kinds = REFUSED[case]
    steps = steps_of(items, {}, SONNET)
    assert steps is not None
    assert [step.kind for step in refused_steps(steps, UNBILLED_REFUSAL)] == kinds
    assert refused_steps(steps, None) == steps


@pytest.mark.parametrize(
    ("usage", "tier", "geo"),
    [
        ({}, None, None),
        ({"service_tier": "standard", "inference_geo": "global"}, None, None),
        ({"service_tier": "batch", "inference_geo": "us"}, "batch", "us"),
        ({"speed": "fast", "service_tier": "standard", "inference_geo": "not_available"}, "fast", None),
        ({"service_tier": "", "inference_geo": ""}, None, None),
        ({"service_tier": 7, "inference_geo": None}, None, None),
        ({"service_tier": "a\nb", "inference_geo": "x" * 300}, None, None),
    ],
)
def test_modifiers_of_a_usage(usage: dict[str, Any], tier: str | None, geo: str | None) -> None:
    """What has the list price is None, and so is what is no name."""
    assert (tier_of(usage), geo_of(usage)) == (tier, geo)
