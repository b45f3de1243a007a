"""What other prices would have cost: the figures are those of a calculation by hand, execution by execution.

The oracle has the prices of docs/reference/prices.md and of the pricing page, typed here, and fractions in place of our
rates. It shares no code with the package but the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.what_if import CostPair, WhatIf, what_if
from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.billed_steps import ADVISOR, MESSAGE, Step, sum_tokens
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import STEP_TOKENS, ExecutionMetrics
from claude_force.executions.what_if import Change
from claude_force.time_windows import Window
from tests.builders import an_execution
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, refill

MARCH_12_US = 1_773_273_600_000_000
"""2026-03-12, the last day on which long prompts of Opus 4.6 and Sonnet 4.6 cost more."""

FEBRUARY_17_US = 1_771_286_400_000_000
"""2026-02-17, the day after half the price of fast mode of Opus 4.6."""

NO_MODEL = "no published price for this model"
NO_REGION = "region not told by Amazon Bedrock; set performance.prices for this model"
NO_USAGE = "no usage was reported"
PRICED_TODAY = "recorded without a cost; claude-force db reprice adds it"
NOT_DIVIDED = "the cost came with the record, and is not divided among its steps"


class Hand(NamedTuple):
    """Dollars per million tokens: input, output, cache read, cache write for 5 minutes and an hour; prompt tokens above
    which a request costs more, and how much; and what the version of the model means."""

    rates: tuple[str, str, str, str, str]
    above: int | None = None
    until_us: int | None = None
    long_prompt: Fraction = Fraction(2)
    long_output: Fraction = Fraction(3, 2)
    is_regional: bool = True
    has_residency: bool = False


HANDS = {
    "claude-haiku-4-5": Hand(("1", "5", "0.1", "1.25", "2")),
    "claude-sonnet-4-5": Hand(("3", "15", "0.3", "3.75", "6"), 200_000),
    "claude-opus-4-1-20250805": Hand(("15", "75", "1.5", "18.75", "30"), is_regional=False),
    "claude-opus-4-6": Hand(("5", "25", "0.5", "6.25", "10"), 200_000, MARCH_12_US + DAY_US, has_residency=True),
    "claude-haiku-5-5": Hand(
        ("0.1", "0.5", "0.01", "0.125", "0.2"), 100_000, None, Fraction(5), Fraction(5), has_residency=True
    ),
}
MODELS = (*HANDS, "house-model")
PRICES = PriceTable("claude-sonnet-4-5")


def factor_of(model: str, at_us: int, tier: str | None, geo: str | None, provider: str | None) -> Fraction | str:
    """By what the price of a model is multiplied, or why it has none."""
    hand = HANDS.get(model)
    if provider and (hand is None or hand.is_regional):
        return NO_REGION
    if geo and (hand is None or provider or geo != "us"):
        return f'no published price with data residency "{geo}"'
    if hand is None:
        return NO_MODEL
    factor = Fraction(11, 10) if geo and hand.has_residency else Fraction(1)
    if tier == "fast" and model == "claude-opus-4-6" and not provider:
        return factor * (3 if at_us < FEBRUARY_17_US else 6)
    if tier not in (None, "batch"):
        return f'no published price in service tier "{tier}" on that day'
    return factor / 2 if tier else factor


def bill(model: str, at_us: int, tokens: tuple[int, ...], factor: Fraction, searches: int) -> Fraction:
    """Nano-dollars of one request."""
    hand = HANDS[model]
    is_long = hand.above is not None and tokens[0] + sum(tokens[2:]) > hand.above
    if hand.until_us is not None and at_us >= hand.until_us:
        is_long = False
    total = Fraction(0)
    for at, (rate, number) in enumerate(zip(hand.rates, tokens, strict=True)):
        times = (hand.long_output if at == 1 else hand.long_prompt) if is_long else 1
        total += Fraction(rate) * 1000 * times * number * factor
    return total + searches * 10_000_000


def changed(tokens: tuple[int, ...], cache: str | None) -> tuple[int, ...]:
    """The tokens under a cache policy."""
    sent, written, read, short, long = tokens
    return {
        None: tokens,
        "1h": (sent, written, read, 0, short + long),
        "5m": (sent, written, read, short + long, 0),
        "none": (sent + read + short + long, written, 0, 0, 0),
    }[cache]


def other_bill(
    change: Change, model: str, run: ExecutionMetrics, tokens: tuple[int, ...], tier: str | None, geo: str | None,
    searches: int,
) -> Fraction | str:  # fmt: skip
    """What a request would cost, or why that is not known."""
    other = change.model or model
    factor = factor_of(other, run.timestamp_us, "batch" if change.is_batch else tier, geo, run.provider)
    if isinstance(factor, str):
        return factor
    return bill(other, run.timestamp_us, changed(tokens, change.cache), factor, searches)


def both_costs(change: Change, models: set[str], run: ExecutionMetrics) -> tuple[int, Fraction] | str | None:
    """What the chosen part of an execution cost and would cost; why one is not known; None without such a part."""
    if run.steps is not None:
        return both_costs_of_steps(change, models, run)
    if models and run.model not in models:
        return None
    tokens = tuple(getattr(run, name) or 0 for name in STEP_TOKENS)
    if run.cost_nanousd is None:
        return why(run, run.model, run.service_tier, run.inference_geo)
    if change == Change(run.model):
        return run.cost_nanousd, Fraction(run.cost_nanousd)
    if run.input_tokens is None:
        return NO_USAGE
    found = other_bill(change, run.model, run, tokens, run.service_tier, run.inference_geo, run.web_searches)
    return found if isinstance(found, str) else (run.cost_nanousd, found)


def why(run: ExecutionMetrics, model: str, tier: str | None, geo: str | None) -> str:
    """Why a cost is not known."""
    if run.input_tokens is None:
        return NO_USAGE
    factor = factor_of(model, run.timestamp_us, tier, geo, run.provider)
    return factor if isinstance(factor, str) else PRICED_TODAY


def both_costs_of_steps(change: Change, models: set[str], run: ExecutionMetrics) -> tuple[int, Fraction] | str | None:
    """The same of an execution with steps. These histories have searches only without steps."""
    assert run.steps is not None
    ours = [step for step in run.steps if not models or step.model in models]
    if not ours:
        return None
    if len(ours) == len(run.steps) and run.cost_nanousd is not None:
        actual = run.cost_nanousd
    elif any(step.cost_nanousd is None for step in ours):
        if run.cost_nanousd is not None:
            return NOT_DIVIDED
        reasons = [why(run, step.model, step.service_tier, step.inference_geo) for step in run.steps]
        return next((reason for reason in reasons if reason != PRICED_TODAY), PRICED_TODAY)
    else:
        actual = sum(step.cost_nanousd or 0 for step in ours)
    if all(change == Change(step.model) for step in ours):
        return actual, Fraction(actual)
    total = Fraction(0)
    for step in ours:
        if change == Change(step.model):
            if step.cost_nanousd is None:
                return NOT_DIVIDED
            total += step.cost_nanousd
            continue
        found = other_bill(change, step.model, run, step.tokens, step.service_tier, step.inference_geo, 0)
        if isinstance(found, str):
            return found
        total += found
    return actual, total


counts = st.one_of(st.integers(0, 50), st.sampled_from([49_999, 50_000, 99_999, 100_000, 150_000, 199_950, 200_001]))
usages = st.tuples(counts, st.integers(0, 3000), counts, st.integers(0, 50), st.integers(0, 50))
tiers = st.sampled_from([None, None, None, "batch", "fast", "priority"])
places = st.sampled_from([None, None, None, "us", "eu"])
instants = st.builds(
    lambda day, at: FEBRUARY_17_US + day * DAY_US + at,
    st.sampled_from([-40, -2, -1, 0, 1, 22, 23, 24, 25, 60]),
    st.sampled_from([0, 1, DAY_US // 3, DAY_US - 1]),
)


def listed(model: str, at_us: int, tokens: tuple[int, ...], *more: str | None, searches: int = 0) -> int | None:
    """The list price of a request; None if it has none."""
    factor = factor_of(model, at_us, *more)
    return None if isinstance(factor, str) else round(bill(model, at_us, tokens, factor, searches))


@st.composite
def plain_runs(draw: st.DrawFn) -> ExecutionMetrics:
    """An execution at the list price, with a cost of its own, or without one; perhaps of an unknown usage."""
    model, at_us = draw(st.sampled_from(MODELS)), draw(instants)
    tier, geo = draw(tiers), draw(places)
    provider = draw(st.sampled_from([None, None, None, "bedrock"]))
    tokens = draw(st.one_of(usages, usages, usages, st.none()))
    searches = draw(st.sampled_from([0, 0, 0, 3])) if tokens else 0
    cost = None if tokens is None else listed(model, at_us, tokens, tier, geo, provider, searches=searches)
    cost = draw(st.sampled_from([cost, cost, cost, 1_000_003, None]))
    known: dict[str, Any] = dict(zip(STEP_TOKENS, tokens or (None, None, 0, 0, 0), strict=True))
    return an_execution(
        model=model, timestamp_us=at_us, agent_name=draw(st.sampled_from("ab")), service_tier=tier, inference_geo=geo,
        provider=provider, web_searches=searches, cost_nanousd=cost, reference_cost_nanousd=cost,
        session_id=draw(st.sampled_from([None, "s-1", "s-2"])), **known,
    )  # fmt: skip


@st.composite
def step_runs(draw: st.DrawFn) -> ExecutionMetrics:
    """An execution of several steps: with the cost of each, with one of the whole, or without."""
    at_us, tier = draw(instants), draw(tiers)
    steps = []
    for index in range(draw(st.integers(1, 3))):
        model, tokens, geo = draw(st.sampled_from(MODELS)), draw(usages), draw(places)
        step = Step(ADVISOR if index else MESSAGE, model, *tokens, tier, geo)
        steps.append(step._replace(cost_nanousd=listed(model, at_us, tokens, tier, geo, None)))
    costs = [step.cost_nanousd for step in steps]
    whole = None if None in costs else sum(cost or 0 for cost in costs)
    if draw(st.booleans()):
        whole, steps = 2_000_003, [step._replace(cost_nanousd=None) for step in steps]
    known: dict[str, Any] = dict(zip(STEP_TOKENS, sum_tokens(steps), strict=True))
    return an_execution(
        model=steps[0].model, timestamp_us=at_us, agent_name=draw(st.sampled_from("ab")), service_tier=tier,
        steps=tuple(steps), cost_nanousd=whole, reference_cost_nanousd=None, **known,
    )  # fmt: skip


histories = st.lists(st.one_of(plain_runs(), plain_runs(), step_runs()), min_size=1, max_size=20)
changes = st.builds(
    Change, st.sampled_from([None, *HANDS]), st.booleans(), st.sampled_from([None, "1h", "5m", "none"])
).filter(lambda change: change != Change())
windows = st.sampled_from(
    [Window(), Window(FEBRUARY_17_US - DAY_US, FEBRUARY_17_US + 24 * DAY_US + 7), Window(FEBRUARY_17_US + DAY_US // 3)]
)


def matching(history: list[ExecutionMetrics], chosen: Filter) -> Iterator[ExecutionMetrics]:
    """The executions of a period, of agents and of sessions."""
    start, end = chosen.window.start_us or 0, chosen.window.end_us or 1 << 62
    for run in history:
        is_ours = not chosen.agents or run.agent_name in chosen.agents
        if start <= run.timestamp_us < end and is_ours and (not chosen.sessions or run.session_id in chosen.sessions):
            yield run


def assert_true(report: WhatIf, history: list[ExecutionMetrics], change: Change, chosen: Filter) -> None:
    """The report is what the oracle says: costs to the nano-dollar, but for their rounding."""
    costs: dict[str, tuple[int, int, Fraction]] = {}
    reasons: Counter[str] = Counter()
    for run in matching(history, chosen):
        found = both_costs(change, set(chosen.models), run)
        if isinstance(found, str):
            reasons[found] += 1
        elif found is not None:
            executions, actual, other = costs.get(run.agent_name, (0, 0, Fraction(0)))
            costs[run.agent_name] = executions + 1, actual + found[0], other + found[1]
    assert {reason.reason: reason.executions for reason in report.not_compared} == reasons
    pairs = dict(report.agents)
    assert pairs.keys() == costs.keys()
    for agent, (executions, actual, other) in costs.items():
        assert (pairs[agent].executions, pairs[agent].actual_nanousd) == (executions, actual)
        assert abs(pairs[agent].what_if_nanousd - other) <= Fraction(3, 2) * executions
    assert report.total == sum(pairs.values(), CostPair())


class Question(NamedTuple):
    """What is asked of a history: what changes, of which models, when, and of what else."""

    change: Change
    models: set[str]
    window: Window
    narrowed: str

    def chosen(self, history: list[ExecutionMetrics]) -> Filter:
        """The filter, without names that the history does not have."""
        known = {run.model for run in history} | {step.model for run in history for step in run.steps or ()}
        has_agent = any(run.agent_name == "a" for run in history)
        has_session = any(run.session_id == "s-1" for run in history)
        return Filter(
            self.window,
            models=tuple(sorted(self.models & known)),
            agents=("a",) if self.narrowed == "agent" and has_agent else (),
            sessions=("s-1",) if self.narrowed == "session" and has_session else (),
        )


questions = st.builds(
    Question,
    changes,
    st.one_of(st.just(set[str]()), st.sets(st.sampled_from(MODELS), min_size=1, max_size=2)),
    windows,
    st.sampled_from(["", "", "agent", "session"]),
)


@given(history=histories, asked=st.lists(questions, min_size=5, max_size=5))
@settings(on_both_engines, max_examples=scaled(40))
def test_both_costs_are_those_of_a_calculation_by_hand(
    database: Database, history: list[ExecutionMetrics], asked: list[Question]
) -> None:
    """Whatever changes, and whatever is chosen: the same executions on both sides, each reason with its number. Rows
    that are not rolled up yet give the same as those that are, and sums the same as rows alone (of a session)."""
    refill(database, history)
    for number, question in enumerate(asked):
        chosen = question.chosen(history)
        assert_true(
            what_if(database, chosen, question.change, PRICES, FEBRUARY_17_US), history, question.change, chosen
        )
        if not number:
            Store(database).rebuild()
