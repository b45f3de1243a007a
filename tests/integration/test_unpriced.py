"""Why executions have no cost, and how many each reason concerns."""

from __future__ import annotations

from claude_force.analytics import reports
from claude_force.analytics.unpriced import ARCHIVED, UnpricedReason, unpriced_reasons
from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.billed_steps import ADVISOR, MESSAGE, REFUSAL, Step
from claude_force.executions.costs import NO_REFUSAL_PRICE
from claude_force.executions.pricing import PriceTable
from claude_force.executions.unknown_costs import NO_USAGE, PRICED_TODAY
from claude_force.settings.claude_json import ModelPrice
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

EVERYTHING = Filter()
PRICES = PriceTable("claude-sonnet-4-5")
NO_MODEL = "no published price for this model"
NO_TIER = 'no published price in service tier "priority" on that day'
NO_GEO = 'no published price with data residency "eu"'
NO_REGION = "region not told by Amazon Bedrock; set performance.prices for this model"
NO_SEARCHES = "no published price for web searches of this model"

UNPRICED = {"cost_nanousd": None, "reference_cost_nanousd": None}


def reasons_of(
    database: Database, chosen: Filter = EVERYTHING, prices: PriceTable = PRICES, missing: int | None = None
) -> list[UnpricedReason]:
    """The reasons in one snapshot."""
    with database.read() as connection:
        return unpriced_reasons(connection, chosen, prices, missing)


def test_every_reason_has_its_number_and_models(store: Store, database: Database) -> None:
    """The reason of the most executions first, and within it the model with the most of them."""
    store.add([an_execution()])
    store.add(an_execution(model="ours", timestamp_us=NOON_US + day * DAY_US, **UNPRICED) for day in range(3))
    store.add([an_execution(model="theirs", **UNPRICED)])
    store.add(an_execution(model="claude-opus-5", service_tier="priority", **UNPRICED) for _ in range(3))
    store.add(an_execution(model="claude-opus-5", provider="bedrock", **UNPRICED) for _ in range(2))
    store.add([an_execution(model="claude-opus-5", inference_geo="eu", **UNPRICED)])
    store.add([an_execution(model="deepseek-chat", web_searches=2, **UNPRICED)])
    store.add([an_execution(input_tokens=None, output_tokens=None, model="ours", **UNPRICED)])
    store.add([an_execution(**UNPRICED)])
    found = reasons_of(database)
    assert found == [
        UnpricedReason(NO_MODEL, 4, ["ours", "theirs"]),
        UnpricedReason(NO_TIER, 3, ["claude-opus-5"]),
        UnpricedReason(NO_REGION, 2, ["claude-opus-5"]),
        UnpricedReason(NO_SEARCHES, 1, ["deepseek-chat"]),
        UnpricedReason(NO_GEO, 1, ["claude-opus-5"]),
        UnpricedReason(NO_USAGE, 1, ["ours"]),
        UnpricedReason(PRICED_TODAY, 1, ["claude-3-5-haiku-20241022"]),
    ]
    report = reports.costs(database, Filter(), prices=PRICES)
    assert report.unpriced_reasons == found
    assert sum(reason.executions for reason in found) == report.totals.unpriced


def test_models_of_equally_many_executions_are_in_the_order_of_their_names(store: Store, database: Database) -> None:
    """So that both kinds of database print the same."""
    names = ["delta", "alpha", "charlie", "bravo"]
    store.add(an_execution(model=name, timestamp_us=NOON_US + at, **UNPRICED) for at, name in enumerate(names))
    assert reasons_of(database) == [UnpricedReason(NO_MODEL, 4, sorted(names))]


def test_the_reason_may_depend_on_the_day(store: Store, database: Database) -> None:
    """Fast mode of Opus 4.6 had a price until 2026-06-28: of two executions, one was recorded before that was known."""
    last_day = 1_782_655_200_000_000
    for instant in (last_day, last_day + DAY_US):
        store.add([an_execution(model="claude-opus-4-6", service_tier="fast", timestamp_us=instant, **UNPRICED)])
    assert {reason.reason: reason.executions for reason in reasons_of(database)} == {
        PRICED_TODAY: 1,
        NO_TIER.replace("priority", "fast"): 1,
    }


def test_a_step_without_a_price_is_the_reason(store: Store, database: Database) -> None:
    """An advisor of an unknown model, or a refusal that may be billed, leaves the whole response without a cost. Named
    is the model that needs a price, not the one that answered."""
    steps = (Step(MESSAGE, "claude-opus-5", 10, 5), Step(ADVISOR, "ours", 10, 5))
    refused = (Step(REFUSAL, "claude-opus-5", 10, 0),)
    store.add([an_execution(model="claude-opus-5", input_tokens=20, output_tokens=10, steps=steps, **UNPRICED)])
    store.add([an_execution(model="claude-opus-5", input_tokens=10, output_tokens=0, steps=refused, **UNPRICED)])
    assert {(reason.reason, *reason.models) for reason in reasons_of(database)} == {
        (NO_MODEL, "ours"),
        (NO_REFUSAL_PRICE, "claude-opus-5"),
    }


def test_only_the_chosen_executions_are_asked(store: Store, database: Database) -> None:
    """By period, agent and model."""
    store.add([an_execution(model="ours", agent_name="a", **UNPRICED)])
    store.add([an_execution(model="theirs", agent_name="b", timestamp_us=NOON_US + DAY_US, **UNPRICED)])
    first_day = Window(NOON_US, NOON_US + 1)
    assert [reason.models for reason in reasons_of(database, Filter(first_day))] == [["ours"]]
    assert [reason.models for reason in reasons_of(database, Filter(agents=("b",)))] == [["theirs"]]
    assert reasons_of(database, Filter(models=("neither",))) == []


def test_a_price_of_the_settings_takes_the_reason_away(store: Store, database: Database) -> None:
    """What is stored needs db reprice then."""
    store.add([an_execution(model="claude-opus-5", provider="bedrock", **UNPRICED)])
    ours = PriceTable("claude-sonnet-4-5", {"claude-opus-5": ModelPrice(5.5, 27.5)})
    assert [reason.reason for reason in reasons_of(database, prices=ours)] == [PRICED_TODAY]


def test_the_numbers_add_up_although_executions_are_archived(store: Store, database: Database) -> None:
    """Totals count archived executions; why those had no cost is not stored any more."""
    store.add([an_execution(model="ours", **UNPRICED)])
    assert reasons_of(database, missing=3) == [UnpricedReason(ARCHIVED, 2, []), UnpricedReason(NO_MODEL, 1, ["ours"])]


def test_nothing_is_asked_where_no_cost_is_missing(store: Store, database: Database) -> None:
    """Although the database holds an execution without a cost, a report that counts none does not look for it."""
    store.add([an_execution(model="ours", **UNPRICED)])
    assert reasons_of(database, missing=0) == []
