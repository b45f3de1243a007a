"""Laws of runs: every execution is in one run, and runs add up to the totals of the period."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.run_sums import run_sums
from claude_force.database.queries.runs import first_runs, last_runs, runs
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.rollups import apply_pending
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.projects import ProjectNames
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.runs import Run, RunSums
from claude_force.executions.totals import Totals
from claude_force.time_windows import Window
from tests.builders import NOON_US
from tests.profiles import scaled
from tests.properties.strategies import AGENTS, MODELS, on_both_engines, records, refill

both_engines = settings(on_both_engines, max_examples=scaled(15))

_instants = st.tuples(st.integers(0, 2), st.integers(0, 20)).map(
    lambda place: NOON_US + place[0] * DAY_US + place[1] * 60_000_000
)
_ids = st.sampled_from((None, "one", "two"))

requests: st.SearchStrategy[ExecutionMetrics] = st.builds(
    replace,
    records(_instants),
    agent_name=st.sampled_from(AGENTS[:2]),
    model=st.sampled_from(MODELS[:2]),
    run_id=_ids,
    workflow_id=_ids,
    session_id=_ids,
    project=st.sampled_from((None, "/work/app", "/work/shop")),
    success=st.booleans(),
    error_type=st.sampled_from((None, "refusal", "unfinished", "overloaded_error")),
    usage_basis=st.sampled_from((None, "provisional")),
    duration_us=st.sampled_from((None, 0, 90_000_000)),
)
"""Requests of a few runs whose names, sessions and workflows overlap."""

histories = st.lists(requests, max_size=12, unique_by=lambda record: record.uid)

FILTERS = (
    Filter(),
    Filter(agents=AGENTS[:1]),
    Filter(models=MODELS[1:2]),
    Filter(workflows=("one",)),
    Filter(Window(NOON_US + 5 * 60_000_000, NOON_US + 15 * 60_000_000)),
    Filter(Window(NOON_US + 5 * 60_000_000, NOON_US + 2 * DAY_US + 15 * 60_000_000)),
    Filter(Window(NOON_US // DAY_US * DAY_US, (NOON_US // DAY_US + 2) * DAY_US), agents=AGENTS[:1]),
)
"""The last windows have whole days, in part with edges."""


def fill(database: Database, executions: list[ExecutionMetrics], counted: int) -> None:
    """Store executions, of which so many are in the roll-ups, and the others wait."""
    refill(database, executions[:counted])
    with database.write() as connection:
        connection.lock_rollups()
        apply_pending(connection)
    Store(database).add(executions[counted:])


def in_order(found: list[Run]) -> list[Run]:
    """Runs by what tells them apart."""
    return sorted(found, key=lambda run: str(run.key))


@given(executions=histories, chosen=st.sampled_from(FILTERS))
@both_engines
def test_runs_add_up_to_the_totals(database: Database, executions: list[ExecutionMetrics], chosen: Filter) -> None:
    """Every column, under every filter; no two runs are one, and failures are those of the totals."""
    refill(database, executions)
    with database.read() as connection:
        found = runs(connection, chosen)
        whole = queries.totals(connection, chosen)
    assert sum((run.totals for run in found), Totals()) == whole
    assert len({run.key for run in found}) == len(found)
    assert sum(sum(run.failures.values()) for run in found) == whole.failures
    assert sum(run.sums.wasted_nanousd + run.sums.useful_nanousd + run.sums.unknown_nanousd for run in found) == (
        whole.cost_nanousd
    )


counts = st.integers(0, 12)
"""How many executions are in the roll-ups."""


@given(executions=histories, counted=counts, chosen=st.sampled_from(FILTERS), limit=st.integers(1, 6))
@both_engines
def test_the_first_runs_are_those_of_all_runs(
    database: Database, executions: list[ExecutionMetrics], counted: int, chosen: Filter, limit: int
) -> None:
    """The last ones and those that cost most, each as it is among all runs, and in order."""
    fill(database, executions, counted)
    with database.read() as connection:
        everything = {run.key: run for run in runs(connection, chosen)}
        last = last_runs(connection, chosen, limit)
        dearest = first_runs(connection, chosen, "cost", limit, is_ascending=False)
    ended = [run for run in everything.values() if run.last_us is not None]
    assert all(everything[run.key] == run for run in (*last, *dearest))
    assert [run.last_us for run in last] == sorted((run.last_us or 0 for run in ended), reverse=True)[:limit]
    costs = [run.totals.cost_nanousd if run.totals.is_priced else -1 for run in everything.values()]
    assert [run.totals.cost_nanousd if run.totals.is_priced else -1 for run in dearest] == sorted(costs)[::-1][:limit]


DIMENSIONS: tuple[Dimension, ...] = ("agent_name", "model", "workflow_id", "project")

RENAMED = (("shop", ("/work/*",)),)
"""One project for two folders."""


@given(
    executions=histories, counted=counts, chosen=st.sampled_from(FILTERS), dimension=st.sampled_from(DIMENSIONS),
    told=st.one_of(st.none(), st.booleans()),
)  # fmt: skip
@both_engines
def test_a_row_is_what_the_filter_for_its_name_gives(
    database: Database,
    executions: list[ExecutionMetrics],
    counted: int,
    chosen: Filter,
    dimension: Dimension,
    told: bool | None,
) -> None:
    """The sums are those of the runs, one by one, from roll-ups, edges and what waits; money adds up over the rows, and
    its parts to the whole of it."""
    fill(database, executions, counted)
    with database.write() as connection:
        connection.execute("DELETE FROM headless_runs")
        if told is not None:
            add_headless_run(
                connection, HeadlessRun("run", "one", None, None, None, NOON_US, 10**9, 1, int(told), *[None] * 3)
            )
    with database.read() as connection:
        chosen = queries.with_projects(connection, replace(chosen, project_names=ProjectNames(RENAMED)))
        rows, whole = run_sums(connection, chosen, dimension)
        assert (
            whole
            == run_sums(connection, chosen).whole
            == sum((run.sums for run in runs(connection, chosen)), RunSums())
        )
        for name, sums in rows.items():
            wanted = dict(chosen.names())[dimension]
            if name is not None and (not wanted or name in wanted):
                only = replace(chosen.with_names({**dict(chosen.names()), dimension: (name,)}))
                assert run_sums(connection, only).whole == sums
    assert sum(sums.cost_nanousd for sums in rows.values()) == whole.cost_nanousd
    assert sum(sums.executions for sums in rows.values()) == whole.executions
    for sums in rows.values():
        assert sums.runs == sums.successes + sums.failures + sums.refusals + sums.unknown
