"""Laws of the bill: whatever steps an execution had, every total is the sum of what its steps cost alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import get_args
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics import reports
from claude_force.analytics.groups import sum_groups
from claude_force.analytics.periodic_usage import Period, periodic_usage
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.billed_steps import Step, sum_tokens
from claude_force.executions.costs import price_record
from claude_force.executions.pricing import Modifiers, PriceTable, Usage
from claude_force.executions.record import STEP_TOKENS, ExecutionMetrics, from_row, to_row
from claude_force.executions.totals import Totals
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import ZONES, billed_steps, on_both_engines, records, refill

both_engines = settings(on_both_engines, max_examples=scaled(15))

histories = st.lists(records(), max_size=8, unique_by=lambda record: record.uid)
PRICES = PriceTable("claude-sonnet-4-5")
listed_steps = st.lists(billed_steps, min_size=1, max_size=5).map(tuple)


def with_steps(steps: tuple[Step, ...]) -> ExecutionMetrics:
    """An execution that had these steps, without a price."""
    tokens = dict(zip(STEP_TOKENS, sum_tokens(steps), strict=True))
    return an_execution(steps=steps, cost_nanousd=None, reference_cost_nanousd=None, **tokens)


def bill_by_model(executions: list[ExecutionMetrics]) -> dict[str, tuple[int, ...]]:
    """The tokens and the known cost by model, counted step by step."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * 6)
    for execution in executions:
        if execution.steps is None:
            own = [getattr(execution, name) or 0 for name in STEP_TOKENS]
            parts = [(execution.model, own, execution.cost_nanousd)]
        else:
            parts = [(step.model, list(step.tokens), step.cost_nanousd) for step in execution.steps]
        for model, tokens, cost in parts:
            found[model] = [one + other for one, other in zip(found[model], [*tokens, cost or 0], strict=True)]
    return {model: tuple(sums) for model, sums in found.items() if any(sums)}


def stored_by_model(database: Database) -> dict[str, tuple[int, ...]]:
    """The same from the database."""
    with database.read() as connection:
        totals = queries.totals_by(connection, Filter(), "model")
    found = {
        str(names[0]): (*(getattr(sums, name) for name in STEP_TOKENS), sums.cost_nanousd)
        for names, sums in totals.items()
    }
    return {model: sums for model, sums in found.items() if any(sums)}


@given(executions=histories)
@both_engines
def test_totals_by_model_are_what_the_steps_cost(database: Database, executions: list[ExecutionMetrics]) -> None:
    """To the nano-dollar, from roll-ups and from rows; and by any other name they add up to the same."""
    refill(database, executions)
    bill = bill_by_model(executions)
    assert stored_by_model(database) == bill
    Store(database).rebuild()
    assert stored_by_model(database) == bill
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        whole = queries.totals(connection, Filter())
        for dimension in ("model", "agent_name", "workflow_id"):
            parts = queries.totals_by(connection, Filter(), dimension).values()
            assert sum(part.cost_nanousd for part in parts) == whole.cost_nanousd
            assert sum(part.input_tokens for part in parts) == whole.input_tokens
    assert whole.cost_nanousd == sum(sums[-1] for sums in bill.values())


@given(executions=histories, zone=st.sampled_from(ZONES), interval=st.sampled_from(get_args(Period)))
@both_engines
def test_models_over_time_add_up_both_ways(
    database: Database, executions: list[ExecutionMetrics], zone: str, interval: Period
) -> None:
    """Over the models they are the intervals of `trends`, over the intervals `by-model`: every column, from rows and
    from roll-ups."""
    everything, place = Filter(Window(label="everything")), ZoneInfo(zone)
    refill(database, executions)
    for _ in ("rows that are not rolled up", "roll-ups"):
        usage = periodic_usage(database, everything, interval, place, NOON_US)
        for bucket, models in usage.intervals:
            assert sum_groups(models) == bucket.totals
        over_time = reports.trends(database, everything, interval, place).buckets
        assert [bucket for bucket, models in usage.intervals if models] == [
            bucket for bucket in over_time if bucket.totals != Totals()
        ]
        by_model = reports.breakdown(database, everything, "model", "name").groups
        assert {group.name: group.totals for group in usage.models} == {group.name: group.totals for group in by_model}
        Store(database).rebuild()


@given(steps=listed_steps)
@settings(max_examples=scaled(100))
def test_a_whole_costs_what_its_steps_cost_alone(steps: tuple[Step, ...]) -> None:
    """Each with its own model, tier and long prompt. The whole is unknown if a part is."""
    priced = price_record(PRICES, with_steps(steps))
    alone = [
        PRICES.cost(step.model, Usage(*step.tokens), NOON_US, Modifiers(step.service_tier, step.inference_geo))
        for step in steps
    ]
    assert [step.cost_nanousd for step in priced.steps or ()] == alone
    assert priced.cost_nanousd == (None if None in alone else sum(cost or 0 for cost in alone))


@given(execution=records())
def test_a_row_keeps_its_steps(execution: ExecutionMetrics) -> None:
    """A row and back is the same record."""
    assert from_row(to_row(execution)) == execution


@given(steps=listed_steps, doubled=st.integers(0, 4))
@both_engines
def test_repricing_steps_changes_the_sums_by_the_difference(
    database: Database, steps: tuple[Step, ...], doubled: int
) -> None:
    """New prices of steps reach the sums of their models; the costs from before stay as recorded."""
    old = with_steps(tuple(step._replace(cost_nanousd=1000, recorded_cost_nanousd=None) for step in steps))
    old = replace(old, cost_nanousd=1000 * len(steps))
    refill(database, [old])
    repriced = tuple(
        step._replace(cost_nanousd=2000 if index == doubled else 1000) for index, step in enumerate(old.steps or ())
    )
    new = replace(old, cost_nanousd=sum(step.cost_nanousd or 0 for step in repriced), steps=repriced)
    Store(database).reprice([to_row(new)])
    assert stored_by_model(database) == bill_by_model([new])
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        assert queries.totals(connection, Filter()).recorded_cost_nanousd == 1000 * len(steps)
