"""Repricing stored executions, on both engines: what changes, what is kept, what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from claude_force.database import queries
from claude_force.database import reprice as repricing
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.reprice import Change
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.billed_steps import ADVISOR, MESSAGE, Step
from claude_force.executions.pricing import OVERRIDDEN, PriceTable
from claude_force.executions.record import COST_GIVEN, COST_NONE, ExecutionMetrics
from claude_force.settings.claude_json import ModelPrice
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

LIST = PriceTable("claude-sonnet-4-5")
HAIKU = "claude-3-5-haiku-20241022"
DOUBLE = PriceTable("claude-sonnet-4-5", {HAIKU: ModelPrice(1.6, 8)})
"""Haiku at twice its list price: 1,234 tokens of input and 567 of output come to 6,510,400 nano-dollars."""


def stored(database: Database) -> list[ExecutionMetrics]:
    """Every execution; the roll-ups agree with them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return list(queries.iterate(database, Filter()))


def recorded_total(database: Database) -> int:
    """The sum of the costs as they were before any repricing, as reports have it."""
    with database.read() as connection:
        return queries.totals(connection, Filter()).recorded_cost_nanousd


@pytest.mark.parametrize(
    ("cost", "version", "basis"), [(3, None, COST_GIVEN), (3, "0.0.1", "0.0.1"), (None, None, COST_NONE)]
)
def test_what_a_cost_was_is_kept(
    cost: int | None, version: str | None, basis: str, store: Store, database: Database
) -> None:
    """The first repricing keeps the cost and what it came from; the next leave that as it is."""
    record = an_execution(cost_nanousd=cost, price_version=version)
    store.add([record])
    assert repricing.apply(store, LIST, Filter()) == 1
    once = replace(
        record,
        cost_nanousd=3_255_200,
        price_version=LIST.version,
        recorded_cost_nanousd=cost,
        recorded_basis=basis,
    )
    assert stored(database) == [once]
    assert repricing.apply(store, DOUBLE, Filter()) == 1
    assert stored(database) == [replace(once, cost_nanousd=6_510_400, price_version=OVERRIDDEN)]
    assert recorded_total(database) == (cost or 0)


def test_an_equal_cost_changes_nothing(store: Store, database: Database) -> None:
    """A cost that is today's already keeps its version, and is not repriced."""
    record = an_execution(price_version="0.0.1")
    store.add([record])
    assert repricing.preview(database, LIST, Filter()).models == {}
    assert repricing.apply(store, LIST, Filter()) == 0
    assert stored(database) == [record]


def test_another_reference_changes_only_the_reference_cost(store: Store, database: Database) -> None:
    """The cost stays what it was, with its version, and is not called repriced."""
    record = an_execution(price_version="0.0.1")
    store.add([record])
    against_opus = PriceTable("claude-opus-4-1")
    found = repricing.preview(database, against_opus, Filter())
    assert found.models == {HAIKU: Change(1, 1, 3_255_200, 3_255_200, 3_255_200)}
    assert repricing.apply(store, against_opus, Filter()) == 1
    assert stored(database) == [replace(record, reference_cost_nanousd=61_035_000)]


def test_what_has_no_price_stays(store: Store, database: Database) -> None:
    """An execution of an unknown model, or advised by one, is named and left alone; one without a usage is left
    alone."""
    unknown = an_execution(model="our-model", cost_nanousd=5)
    unused = an_execution(input_tokens=None, output_tokens=None, cost_nanousd=7, timestamp_us=NOON_US + 1)
    steps = (Step(MESSAGE, HAIKU, 1234, 567), Step(ADVISOR, "our-advisor", 0, 0))
    advised = an_execution(steps=steps, cost_nanousd=9, timestamp_us=NOON_US + 2)
    store.add([unknown, unused, advised])
    found = repricing.preview(database, LIST, Filter())
    assert (found.executions, found.models, dict(found.unpriced)) == (
        3,
        {},
        {(name, "no published price for this model"): 1 for name in ("our-model", "our-advisor")},
    )
    assert repricing.apply(store, LIST, Filter()) == 0
    assert stored(database) == [unknown, unused, advised]


UNKNOWN_STEP = Step(ADVISOR, "our-advisor", 0, 100)
HAIKU_STEP = Step(MESSAGE, HAIKU, 1234, 467)
COST, REFERENCE = 2_855_200, 10_707_000
"""What HAIKU_STEP costs, on its model and on the reference model."""

PARTLY: dict[str, tuple[int | None, int | None]] = {
    "the message got a price": (None, None),
    "the message got another price": (5, None),
    "the advisor lost its price": (COST, 7),
    "both at once": (5, 7),
}
"""The stored costs of the message and of the advisor, which has no price."""


def with_costs(message: int | None, advisor: int | None, **fields: Any) -> ExecutionMetrics:
    """An execution whose steps have these costs, and whose own cost is not known."""
    steps = (
        HAIKU_STEP._replace(cost_nanousd=message, reference_cost_nanousd=REFERENCE),
        UNKNOWN_STEP._replace(cost_nanousd=advisor),
    )
    return an_execution(steps=steps, cost_nanousd=None, reference_cost_nanousd=None, **fields)


@pytest.mark.parametrize("case", PARTLY)
def test_a_step_gets_its_price_while_another_has_none(case: str, store: Store, database: Database) -> None:
    """The step keeps it, the whole stays unknown, and both are counted; a step without a price keeps what it had. Sums
    by model follow, and what they were before the first repricing is kept."""
    message, advisor = PARTLY[case]
    record = with_costs(message, advisor)
    store.add([record, *(an_execution(timestamp_us=NOON_US + place) for place in range(DIRECT_ROLLUP_ROWS))])
    before = recorded_total(database)
    found = repricing.preview(database, LIST, Filter(models=(HAIKU,)))
    has_changed = message != COST
    known = None if message is advisor is None else (message or 0) + (advisor or 0)
    assert found.models == ({HAIKU: Change(1, 0, known, known, COST + (advisor or 0))} if has_changed else {})
    assert list(found.causes) == (["some of several steps have a price"] if has_changed else [])
    assert dict(found.unpriced) == {("our-advisor", "no published price for this model"): 1}
    assert repricing.apply(store, LIST, Filter()) == has_changed
    (changed,) = (item for item in stored(database) if item.uid == record.uid)
    assert changed.cost_nanousd is None
    assert changed.steps is not None
    assert [step.cost_nanousd for step in changed.steps] == [COST, advisor]
    assert recorded_total(database) == before
    assert repricing.apply(store, LIST, Filter()) == 0


def test_the_whole_is_known_once_every_step_has_a_price(store: Store, database: Database) -> None:
    """Then the cost is that of all steps, and what each cost before its first repricing is still there."""
    record = with_costs(5, None)
    store.add([record])
    assert repricing.apply(store, LIST, Filter()) == 1
    assert repricing.apply(store, PriceTable("claude-sonnet-4-5", {"our-advisor": ModelPrice(1, 2)}), Filter()) == 1
    (changed,) = stored(database)
    assert (changed.cost_nanousd, changed.recorded_cost_nanousd, changed.recorded_basis) == (
        COST + 200_000,
        None,
        COST_NONE,
    )
    assert changed.steps is not None
    assert [step.recorded_cost_nanousd for step in changed.steps] == [5, None]
    assert recorded_total(database) == 5


def test_the_tier_and_the_searches_count(store: Store, database: Database) -> None:
    """A fast request with a web search is repriced as one."""
    store.add(
        [an_execution(model="claude-opus-5-5", input_tokens=1000, output_tokens=0, service_tier="fast", web_searches=1)]
    )
    repricing.apply(store, LIST, Filter())
    assert stored(database)[0].cost_nanousd == 18_000_000


def test_the_preview_is_what_happens(store: Store, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By model, those that change the most first: the sums before and after, over several batches, and the progress
    adds up to what was promised."""
    monkeypatch.setattr(repricing, "BATCH", 40)
    haiku = [an_execution(cost_nanousd=1000, timestamp_us=NOON_US + place) for place in range(90)]
    opus = [
        an_execution(model="claude-opus-5-5", cost_nanousd=None, timestamp_us=NOON_US + place) for place in range(30)
    ]
    store.add([*haiku, *opus])
    found = repricing.preview(database, LIST, Filter())
    assert found.models == {
        "claude-opus-5-5": Change(30, 0, None, None, 30 * (4936 + 11_340) * 1000),
        HAIKU: Change(90, 0, 90_000, 90_000, 90 * 3_255_200),
    }
    assert found.total == Change(120, 0, 90_000, 90_000, 30 * 16_276_000 + 90 * 3_255_200)
    steps: list[int] = []
    assert repricing.apply(store, LIST, Filter(), steps.append) == 120
    assert steps == [40, 40, 40]
    assert sum(record.cost_nanousd or 0 for record in stored(database)) == found.total.repriced_nanousd
    assert recorded_total(database) == 90_000
    assert repricing.preview(database, LIST, Filter()).models == {}
    again = repricing.preview(database, DOUBLE, Filter()).models[HAIKU]
    assert (again.recorded_nanousd, again.cost_nanousd) == (90_000, 90 * 3_255_200)


def test_only_what_was_chosen_changes(store: Store, database: Database) -> None:
    """A filter by model and by time leaves the others."""
    old, other, wanted = (
        an_execution(cost_nanousd=1),
        an_execution(cost_nanousd=1, model="claude-haiku-4-5", timestamp_us=NOON_US + 9),
        an_execution(cost_nanousd=1, timestamp_us=NOON_US + 10),
    )
    store.add([old, other, wanted])
    assert repricing.apply(store, LIST, Filter(Window(NOON_US + 5), models=(HAIKU,))) == 1
    assert [record.cost_nanousd for record in stored(database)] == [1, 1, 3_255_200]


def test_a_reference_without_a_price_leaves_no_reference_cost(store: Store, database: Database) -> None:
    """Savings against a model that nobody knows are not known."""
    store.add([an_execution()])
    repricing.apply(store, PriceTable("our-model"), Filter())
    assert stored(database)[0].reference_cost_nanousd is None


def test_a_preview_says_why_costs_change(store: Store, database: Database) -> None:
    """By what the new price depends on: the largest change first."""
    opus = {"model": "claude-opus-4-8", "input_tokens": 100_000, "output_tokens": 0, "cost_nanousd": 500_000_000}
    listed = {"price_version": "0.1.0", "reference_cost_nanousd": 300_000_000}
    store.add(
        [
            an_execution(**opus, **listed, service_tier="fast"),
            an_execution(**opus, **listed, service_tier="batch", inference_geo="us"),
            an_execution(**opus, **listed, inference_geo="us"),
            an_execution(**opus | {"model": "claude-sonnet-4-5", "input_tokens": 200_001}, **listed),
            an_execution(**opus | {"model": "claude-haiku-4-5"}, **listed),
            an_execution(**opus | {"cost_nanousd": 1}),
            an_execution(**opus | {"cost_nanousd": None}),
            an_execution(**opus, reference_cost_nanousd=7),
        ]
    )
    found = repricing.preview(database, LIST, Filter())
    assert {cause: change.executions for cause, change in found.causes.items()} == {
        "a long prompt": 1,
        "there was no cost": 1,
        "the cost came with the execution": 1,
        "service tier fast": 1,
        "the list price": 1,
        "service tier batch, data residency us": 1,
        "data residency us": 1,
        "only the reference cost changes": 1,
    }
    assert next(iter(found.causes)) == "a long prompt"
    assert sum(change.difference_nanousd for change in found.causes.values()) == found.total.difference_nanousd
