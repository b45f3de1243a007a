"""The billed steps of one response.

Claude's API bills a response as one inference, or as several: an advisor's answer, a compaction, a fallback to another
model. Each step has its own model and its own price tier. An execution with several steps holds the sums of all of
them, and the steps beside it:

| step              | model             | output tokens | cost    |
|-------------------|-------------------|---------------|---------|
| `message`         | claude-sonnet-4-6 | 900           | $0.0720 |
| `advisor_message` | claude-opus-4-7   | 2,000         | $0.5500 |

The sums by model come out right through `model_shares`: what such an execution moves from the sums of its own model to
those of the other models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import Any, NamedTuple

STEPS_LIMIT = 10_000
"""Steps that one execution can have."""

MESSAGE, COMPACTION, ADVISOR, FALLBACK = "message", "compaction", "advisor_message", "fallback_message"
"""The kinds of steps that the API is known to bill. Another kind is kept as it is named."""

REFUSAL, UNBILLED_REFUSAL = "refusal", "unbilled_refusal"
"""A step that was refused before any output: its bill is not known, or it is known to be free."""


class Step(NamedTuple):
    """One billed inference of a response.

    | field                    | None means                                                            |
    |--------------------------|-----------------------------------------------------------------------|
    | `service_tier`           | the standard tier                                                     |
    | `inference_geo`          | no data residency                                                     |
    | `cost_nanousd`           | the price is not known                                                |
    | `reference_cost_nanousd` | the price is not known                                                |
    | `recorded_cost_nanousd`  | the execution was never repriced, or the first price was not known    |
    """

    kind: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    service_tier: str | None = None
    inference_geo: str | None = None
    cost_nanousd: int | None = None
    reference_cost_nanousd: int | None = None
    recorded_cost_nanousd: int | None = None

    @property
    def tokens(self) -> tuple[int, int, int, int, int]:
        """The tokens by kind, in the order of the columns of an execution."""
        return self[2:7]


Steps = tuple[Step, ...]


def sum_tokens(steps: Iterable[Step]) -> tuple[int, ...]:
    """The tokens of all steps, by kind."""
    return tuple(map(sum, zip(*(step.tokens for step in steps), strict=True)))


def encode_steps(steps: Steps | None) -> str | None:
    """Steps as the database stores them: JSON, a list for each step. The same steps always give the same text."""
    if steps is None:
        return None
    import json

    return json.dumps(steps, separators=(",", ":"), ensure_ascii=False)


def decode_steps(text: str | None) -> Steps | None:
    """The steps of a stored text. Raises ValueError for a text that `encode_steps` cannot have written."""
    if text is None:
        return None
    import json

    try:
        return tuple(Step(*values) for values in json.loads(text))
    except (TypeError, RecursionError):
        raise ValueError("not the steps of an execution") from None


def known_sum(costs: Iterable[int | None]) -> int | None:
    """The sum of the known costs; None if none is known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def keep_known(old: Steps, repriced: Steps) -> Steps:
    """Repriced steps; one without a price keeps the costs that it has. The old steps if the repriced ones are
    others."""
    if [step.tokens for step in old] != [step.tokens for step in repriced]:
        return old
    return tuple(
        before
        if new.cost_nanousd is None
        else before._replace(cost_nanousd=new.cost_nanousd, reference_cost_nanousd=new.reference_cost_nanousd)
        for before, new in zip(old, repriced, strict=True)
    )


def keep_recorded(old: Steps | None, repriced: Steps | None, *, is_first: bool) -> Steps | None:
    """Repriced steps with the costs from before any repricing; with `is_first` these are the old ones. The old steps
    if the repriced ones are others."""
    if old is None or repriced is None or [step.tokens for step in old] != [step.tokens for step in repriced]:
        return old
    return tuple(
        new._replace(recorded_cost_nanousd=before.cost_nanousd if is_first else before.recorded_cost_nanousd)
        for before, new in zip(old, repriced, strict=True)
    )


class Share(NamedTuple):
    """What is added to the sums of one series for the steps of an execution; negative where it is taken away. The
    fields are those of `Totals` with the same names."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cost_nanousd: int = 0
    compared_cost_nanousd: int = 0
    compared_reference_nanousd: int = 0
    recorded_cost_nanousd: int = 0


class Whole(NamedTuple):
    """What the row of an execution itself adds to the sums of its model; None where it adds nothing."""

    model: str
    cost_nanousd: int | None
    reference_cost_nanousd: int | None
    recorded_cost_nanousd: int | None
    is_repriced: bool


def model_shares(whole: Whole, steps: Sequence[Step]) -> dict[str, Share]:
    """What the steps of an execution add to the sums of each model, beside what its row adds to those of its own.

    The row holds all tokens, and the cost if every part of it is known. So the parts of other models are taken away
    from its own model. If the whole cost is not known, the row adds none, and each known part is added where it
    belongs."""
    shares: dict[str, list[int]] = {}
    is_compared = None not in (whole.cost_nanousd, whole.reference_cost_nanousd)
    for step in steps:
        recorded = step.recorded_cost_nanousd if whole.is_repriced else step.cost_nanousd
        has_both = None not in (step.cost_nanousd, step.reference_cost_nanousd)
        compared = (step.cost_nanousd or 0, step.reference_cost_nanousd or 0) if has_both else (0, 0)
        part = [*step.tokens, step.cost_nanousd or 0, *compared, recorded or 0]
        _add(shares, step.model, part)
        # What the row adds already to its own model.
        in_row = (
            *[True] * 5,
            whole.cost_nanousd is not None,
            is_compared,
            is_compared,
            whole.recorded_cost_nanousd is not None,
        )
        _add(shares, whole.model, [-value if is_in else 0 for value, is_in in zip(part, in_row, strict=True)])
    return {model: Share(*share) for model, share in shares.items() if any(share)}


def _add(shares: dict[str, list[int]], model: str, part: Sequence[int]) -> None:
    known: Any = shares.get(model)
    shares[model] = list(part) if known is None else list(map(add, known, part))
