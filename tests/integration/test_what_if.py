"""What-if: archived executions, the success of both models, which model has a price, and models that cost less."""

from __future__ import annotations

from typing import Any

import pytest

from claude_force.analytics import reports
from claude_force.analytics.model_success import LEAST_SAMPLE
from claude_force.analytics.what_if import NOT_KNOWN, CostPair, WhatIf, what_if
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.errors import UnpricedModel
from claude_force.executions.billed_steps import ADVISOR, MESSAGE, Step
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics, to_row
from claude_force.executions.run_labels import of_whole_session
from claude_force.executions.what_if import Change
from claude_force.settings.claude_json import ModelPrice
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

SONNET, HAIKU = "claude-sonnet-4-5", "claude-haiku-4-5"
PRICES = PriceTable(SONNET)
A_DOLLAR = 10**9
DAY_START_US = NOON_US // DAY_US * DAY_US


def a_run(model: str = SONNET, **changes: Any) -> ExecutionMetrics:
    """100,000 tokens in and 40,000 out at the list price: 0.90 dollars by Sonnet, 0.30 by Haiku."""
    cost = {SONNET: 9, HAIKU: 3}.get(model, 0) * A_DOLLAR // 10
    known = {"cost_nanousd": cost, "reference_cost_nanousd": 9 * A_DOLLAR // 10}
    return an_execution(**{"model": model, "input_tokens": 100_000, "output_tokens": 40_000, **known, **changes})


def asked(database: Database, change: Change, chosen: Filter | None = None, prices: PriceTable = PRICES) -> WhatIf:
    """The report."""
    return what_if(database, chosen or Filter(), change, prices, NOON_US)


MARCH_12_US = 1_773_273_600_000_000
"""2026-03-12, the last day on which long prompts of Opus 4.6 cost more."""

OPUS = "claude-opus-4-6"


def millions(dollars: float, tokens: int) -> int:
    """Nano-dollars of tokens at dollars per million."""
    return round(dollars * 1000 * tokens)


def test_what_sums_do_not_tell_is_priced_by_itself(store: Store, database: Database) -> None:
    """By hand, on Opus 4.6 (5 and 25 dollars): long prompts until their last day, and searches, beside executions that
    the roll-ups answer."""
    plain, long = millions(5, 100_000) + millions(25, 40_000), millions(10, 300_000) + millions(37.5, 40_000)
    last, later = MARCH_12_US, MARCH_12_US + DAY_US
    store.add(
        [
            a_run(timestamp_us=last),
            a_run(timestamp_us=last),
            a_run(timestamp_us=later),
            a_run(agent_name="long", input_tokens=300_000, timestamp_us=last),
        ]
    )
    store.add(
        [
            a_run(agent_name="late", input_tokens=300_000, timestamp_us=later),
            a_run(agent_name="search", web_searches=3, timestamp_us=last),
        ]
    )
    found = {agent: pair.what_if_nanousd for agent, pair in asked(database, Change(OPUS)).agents}
    assert found == {
        "python-expert": 3 * plain,
        "long": long,
        "late": millions(5, 300_000) + millions(25, 40_000),
        "search": plain + 30_000_000,
    }


def test_of_several_steps_those_of_the_model_change(store: Store, database: Database) -> None:
    """Beside whole executions of both models. What the other steps cost is on neither side."""
    answer = Step(MESSAGE, SONNET, 10, 20, cost_nanousd=millions(3, 10) + millions(15, 20))
    advice = Step(ADVISOR, OPUS, 1000, 2000, cost_nanousd=millions(5, 1000) + millions(25, 2000))
    cost = (answer.cost_nanousd or 0) + (advice.cost_nanousd or 0)
    store.add([a_run(steps=(answer, advice), input_tokens=1010, output_tokens=2020, cost_nanousd=cost), a_run()])
    store.add([a_run(OPUS, cost_nanousd=A_DOLLAR)])
    haiku = millions(1, 101_000) + millions(5, 42_000)
    report = asked(database, Change(HAIKU), Filter(models=(OPUS,)))
    assert report.total == CostPair(2, A_DOLLAR + (advice.cost_nanousd or 0), haiku)
    assert asked(database, Change(HAIKU)).total.executions == 3


def test_archived_executions_are_in_neither_cost(store: Store, database: Database) -> None:
    """Their tiers are not known any more, so no price is. Those that are stored are compared as before, also where both
    share a day or a period ends at an archived hour."""
    gone = [a_run(timestamp_us=DAY_START_US + hour * HOUR_US + 5) for hour in (0, 1, 30)]
    store.add([*gone, a_run(timestamp_us=DAY_START_US + 2 * HOUR_US), a_run(HAIKU)])
    store.archive([to_row(run) for run in gone], DAY_START_US)
    report = asked(database, Change(HAIKU), Filter(models=(SONNET,)))
    assert report.total == CostPair(1, 9 * A_DOLLAR // 10, 3 * A_DOLLAR // 10)
    assert [(reason.reason, reason.executions) for reason in report.not_compared] == [(NOT_KNOWN, 3)]
    first_hours = Filter(Window(DAY_START_US, DAY_START_US + 2 * HOUR_US + 1))
    report = asked(database, Change(HAIKU), first_hours)
    assert (report.total.executions, report.not_compared[0].executions) == (1, 2)


def test_both_models_on_one_agent_are_compared(store: Store, database: Database) -> None:
    """With enough executions of both, by the interval of the difference. Agents that never ran both are left out."""
    for number in range(LEAST_SAMPLE):
        store.add([a_run(agent_name="same", success=number > 1), a_run(HAIKU, agent_name="same", success=number > 2)])
        store.add([a_run(agent_name="apart"), a_run(HAIKU, agent_name="apart", success=number % 2 == 0)])
        store.add([a_run(agent_name="one")])
    store.add([a_run(agent_name="few"), a_run(HAIKU, agent_name="few")])
    found = {pair.agent: pair for pair in asked(database, Change(HAIKU)).success}
    verdicts = {agent: pair.verdict for agent, pair in found.items()}
    assert verdicts == {"same": "no clear difference", "apart": "worse", "few": "too few"}
    assert found["apart"].other.rate == 50
    # Wilson's interval for 15 of 30, by hand: (0.5 + z^2/60 -+ z sqrt(0.25/30 + z^2/3600)) / (1 + z^2/30), z = 1.96.
    assert found["apart"].other.interval == pytest.approx((33.15, 66.85), abs=0.01)
    assert asked(database, Change(SONNET)).success[0].verdict == "better"
    assert asked(database, Change(is_batch=True)).success == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("claude-haiku-4-6", "did you mean claude-haiku-4-5?"),
        ("claude-haiku-4.6", "did you mean claude-haiku-4-5?"),
        ("Sonnet", "name one: claude-sonnet-5-5, claude-sonnet-5, claude-sonnet-4-6"),
        ("hous-model", "did you mean house-model?"),
        ("claude*", "no published price"),
    ],
)
def test_a_model_without_a_price_is_refused(model: str, message: str, database: Database) -> None:
    """With the nearest name that has one, also of the settings; a family is no model."""
    prices = PriceTable(SONNET, {"house-model": ModelPrice(1, 2)})
    with pytest.raises(UnpricedModel, match="--model") as refused:
        asked(database, Change(model), prices=prices)
    assert message in str(refused.value)


def test_a_price_of_the_settings_counts(store: Store, database: Database) -> None:
    """In every tier, and in place of the list price: a batch changes nothing."""
    store.add([a_run(), a_run(service_tier="priority", cost_nanousd=5)])
    prices = PriceTable(SONNET, {"house-model": ModelPrice(10, 10)})
    for change in (Change("house-model"), Change("house-model", is_batch=True)):
        report = asked(database, change, prices=prices)
        assert report.total == CostPair(2, 9 * A_DOLLAR // 10 + 5, 28 * A_DOLLAR // 10)
        assert "A price of the settings is the same in every tier, also as a batch." in report.assumptions


def test_prices_by_the_time_of_day_are_those_of_each_execution(store: Store, database: Database) -> None:
    """Where a seller has them: the sum of the executions is what each alone would cost at its own minute."""
    at = (0, 5, 16, 17, 23)
    model, day_us = "deepseek-chat", 1_745_020_800_000_000  # 2025-04-19, when nights were cheaper
    runs = [a_run(timestamp_us=day_us + day * DAY_US + hour * HOUR_US + 7) for hour in at for day in (0, 1)]
    store.add(runs)
    alone = [
        asked(database, Change(model), Filter(Window(run.timestamp_us, run.timestamp_us + 1))) for run in runs[::2]
    ]
    costs = [report.total.what_if_nanousd for report in alone]
    assert len(set(costs)) == 2
    assert asked(database, Change(model)).total.what_if_nanousd == 2 * sum(costs)


def test_costs_name_a_cheaper_model(store: Store, database: Database) -> None:
    """Where it did as well with enough executions of both; the saving is that of what-if. The most saving agent is
    first, and a model that failed more often is not named."""
    for number in range(LEAST_SAMPLE):
        store.add([a_run(agent_name="some"), a_run(HAIKU, agent_name="some")])
        store.add([a_run(agent_name="more"), a_run(agent_name="more"), a_run(HAIKU, agent_name="more")])
        store.add([a_run(agent_name="worse"), a_run(HAIKU, agent_name="worse", success=number % 2 == 0)])
    store.add([*(a_run(agent_name="few") for _ in range(99)), a_run(HAIKU, agent_name="few")])
    found = reports.costs(database, Filter(), reference_model=SONNET).cheaper
    assert [(option.agent, option.model, option.instead_of) for option in found] == [
        ("more", HAIKU, (SONNET,)),
        ("some", HAIKU, (SONNET,)),
    ]
    for option in found:
        report = asked(database, Change(HAIKU), Filter(agents=(option.agent,), models=option.instead_of))
        assert option.saved_nanousd == -report.total.difference_nanousd > 0
    assert reports.costs(database, Filter()).cheaper == []


def test_costs_name_no_model_that_they_cannot_compare(store: Store, database: Database) -> None:
    """Another model of the reference model's family has no reference cost but its own; a free one saves nothing."""
    for _ in range(LEAST_SAMPLE):
        store.add([a_run(), a_run("claude-sonnet-5-5", cost_nanousd=6 * A_DOLLAR // 10)])
        store.add([a_run("free", cost_nanousd=0, reference_cost_nanousd=0)])
        store.add([a_run("unpriced", cost_nanousd=None, reference_cost_nanousd=None)])
    assert reports.costs(database, Filter(), reference_model=SONNET).cheaper == []


def test_an_empty_store_is_empty(database: Database) -> None:
    """No costs, no reasons, and unknown costs in JSON rather than zeros."""
    report = asked(database, Change(HAIKU))
    assert report.is_empty
    assert report.to_dict()["totals"] == dict.fromkeys(
        ("actual_cost", "what_if_cost", "difference", "difference_percent"), None
    ) | {"executions": 0}


def test_a_label_restricts_what_is_read_too(store: Store, database: Database) -> None:
    """Of what sums do not tell, only the executions of the label count."""
    store.add([a_run(session_id="s1", web_searches=number, agent_name=f"agent {number}") for number in (0, 1)])
    store.add([a_run(session_id="s2", web_searches=number, agent_name="other") for number in (0, 1)])
    with database.write() as connection:
        add_run_labels(connection, [of_whole_session("s1", "new-prompt")])
    found = asked(database, Change(HAIKU), Filter(run_labels=("new-prompt",)))
    assert sorted((agent, pair.executions) for agent, pair in found.agents) == [("agent 0", 1), ("agent 1", 1)]
