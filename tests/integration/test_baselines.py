"""Baselines in the database, on both engines: snapshots, the newest one, and automatic ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from claude_force.analytics.baselines import check, create, create_automatic
from claude_force.analytics.baselines.snapshots import GUIDE_KEYS, measure
from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.baselines import costs_by, heads, named, newest
from claude_force.database.rows.baselines import Baseline
from claude_force.database.writes import Store
from claude_force.database.writes import baselines as kept
from claude_force.errors import BaselineError, UnknownName
from claude_force.executions.histogram import bin_lows, bins_of
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

NOW_US = NOON_US + 40 * DAY_US


def executions(count: int, start_us: int = NOON_US, **changes: object) -> list[ExecutionMetrics]:
    """Executions a minute apart, with different durations and costs."""
    random = Random(count)
    return [
        an_execution(
            timestamp_us=start_us + place * 60_000_000,
            **{
                "duration_us": round(1e6 * random.lognormvariate(0, 1)),
                "cost_nanousd": None if place % 7 == 3 else round(1e6 * random.lognormvariate(0, 2)),
                **changes,
            },
        )
        for place in range(count)
    ]


def a_baseline(name: str, end_us: int, *, automatic: bool = False, agent: str = "", model: str = "") -> Baseline:
    """A baseline of one day that ended at `end_us`."""
    filters = {kind: [own] for kind, own in (("agent", agent), ("model", model)) if own}
    return Baseline(name, agent, model, automatic, end_us, end_us - DAY_US, end_us, 50, {"filters": filters})


def keep(database: Database, made: Iterable[Baseline]) -> None:
    """Store baselines."""
    with database.write() as connection:
        kept.put(connection, list(made))


def test_costs_and_durations_equal_those_of_the_rows(database: Database, store: Store) -> None:
    """By agent and in total, for a part of a history that is partly not rolled up yet."""
    history = executions(300) + executions(150, NOON_US + 3 * DAY_US, agent_name="b") + executions(20, agent_name="b")
    store.add(history[:400])
    store.add(history[400:])
    chosen = Filter(Window(NOON_US + 3_600_000_000, NOON_US + 10 * DAY_US))
    assert chosen.window.start_us is not None
    inside = [one for one in history if one.timestamp_us >= chosen.window.start_us]
    with database.read() as connection:
        costs, durations = costs_by(connection, chosen), queries.durations_by(connection, chosen)
        costs_by_agent = costs_by(connection, chosen, "agent_name")
        durations_by_agent = queries.durations_by(connection, chosen, "agent_name")
    assert costs[None] == bins_of(one.cost_nanousd // 1000 for one in inside if one.cost_nanousd is not None)
    assert durations[()] == bins_of(one.duration_us for one in inside if one.duration_us is not None)
    assert sum(costs_by_agent.values(), Counter()) == costs[None]
    assert sum(durations_by_agent.values(), Counter()) == durations[()]
    assert set(costs_by_agent) == {"python-expert", "b"}
    assert set(durations_by_agent) == {("python-expert",), ("b",)}


def test_a_cost_at_a_bound_is_in_the_bin_that_starts_there(database: Database, store: Store) -> None:
    """One nano-dollar less is in the bin before."""
    lows = [low for low in bin_lows() if 0 < low < 10**12][::40]
    store.add(an_execution(cost_nanousd=1000 * low - less) for low in lows for less in (0, 1))
    with database.read() as connection:
        found = costs_by(connection, Filter())[None]
    assert found == bins_of([low - less for low in lows for less in (0, 1)])


def test_a_grouped_snapshot_equals_a_filtered_one(database: Database, store: Store) -> None:
    """A snapshot is the same for all agents at once or for one alone; so it is for models."""
    for place, agent in enumerate(("a", "b")):
        store.add(executions(120 + place, agent_name=agent, model=f"claude-{('haiku', 'opus')[place]}-4"))
    with database.read() as connection:
        for name, found in measure(connection, Filter(), "agent_name").items():
            assert found == measure(connection, Filter(agents=(name or "",)))[None]
        for name, found in measure(connection, Filter(), "model").items():
            assert found == measure(connection, Filter(models=(name or "",)))[None]
        whole = measure(connection, Filter())[None]
    assert tuple(whole)[: len(GUIDE_KEYS)] == GUIDE_KEYS
    assert sum(whole["duration_bins"].values()) == whole["samples"]["timed"] == 241
    assert sum(whole["cost_bins"].values()) == whole["samples"]["priced"] < 241


def test_an_empty_store_has_an_empty_snapshot(database: Database) -> None:
    """It makes no baseline."""
    with database.read() as connection:
        assert measure(connection, Filter())[None]["total_executions"] == 0
        assert measure(connection, Filter(), "agent_name") == {}
    with pytest.raises(BaselineError, match="no executions for a baseline"):
        create(database, "x", Filter(), NOW_US, UTC)


def test_the_newest_baseline_ended_before_the_period(database: Database) -> None:
    """One made by a person comes before newer automatic ones. An overlapping one is only used if there is no other."""
    keep(
        database,
        [
            a_baseline("old", NOW_US - 9 * DAY_US),
            a_baseline("new", NOW_US - 5 * DAY_US),
            a_baseline("auto-2025-12-10", NOW_US - 2 * DAY_US, automatic=True),
            a_baseline("overlapping", NOW_US),
            a_baseline("of one", NOW_US - 2 * DAY_US, agent="a"),
        ],
    )

    def found(name: str | None, agent: str, model: str, before_us: int) -> str | None:
        with database.read() as connection:
            one = newest(connection, name, agent, model, before_us)
        return one.name if one else None

    assert found(None, "", "", NOW_US - DAY_US) == "new"
    assert found(None, "", "", NOW_US - 6 * DAY_US) == "old"
    assert found(None, "", "", NOW_US - 20 * DAY_US) == "overlapping"
    assert found(None, "a", "", NOW_US - DAY_US) == "of one"
    assert found(None, "a", "claude-haiku-4-5", NOW_US) is None
    assert found("old", "", "", NOW_US) == "old"
    assert found("old", "a", "", NOW_US) is None
    with database.write() as connection:
        kept.remove(connection, [("old", "", ""), ("new", "", "")])
    assert found(None, "", "", NOW_US - DAY_US) == "auto-2025-12-10"


def test_a_baseline_of_a_project_is_used_for_that_project(database: Database, store: Store) -> None:
    """It is not used for all executions. A check of that project finds it, and a check by its name is restricted to the
    project."""
    store.add(executions(60, project="/srv/shop"))
    store.add(executions(50, project="/srv/docs"))
    whole = Window(NOON_US, NOON_US + DAY_US)
    create(database, "shop", Filter(whole, projects=("shop",)), NOW_US, UTC)
    with pytest.raises(BaselineError, match="no baseline to compare with; create one: claude-force baseline create"):
        check(database, Filter(whole), None, 1.15, NOW_US, UTC)
    for chosen, name in ((Filter(whole, projects=("/srv/shop",)), None), (Filter(whole), "shop")):
        found = check(database, chosen, name, 1.15, NOW_US, UTC)
        assert (found.origin, found.filters, found.results[0].samples) == ("shop", {"project": ["/srv/shop"]}, 60)
    with pytest.raises(BaselineError, match="does not cover exactly these executions, but: all executions"):
        check(database, Filter(whole, projects=("docs",)), "shop", 1.15, NOW_US, UTC)
    with pytest.raises(UnknownName):
        check(database, Filter(whole, agents=("nobody",)), None, 1.15, NOW_US, UTC)


def test_a_name_is_taken_once_for_each_subject(database: Database, store: Store) -> None:
    """A name may have a snapshot of all executions and one of an agent, but not two of the same subject."""
    store.add(executions(40))
    create(database, "one", Filter(), NOW_US, UTC)
    create(database, "one", Filter(agents=("python-expert",)), NOW_US, UTC)
    with pytest.raises(BaselineError, match="there is a baseline one already; claude-force baseline delete one"):
        create(database, "one", Filter(), NOW_US, UTC)
    with database.read() as connection:
        assert [(one.agent_name, one.executions) for one in named(connection, "one")] == [
            ("", 40),
            ("python-expert", 40),
        ]


@pytest.mark.parametrize(
    "name", ["", " ", "a\nb", "\x1b[31m", "x" * 201, "a/b", "a\\b", "x.json", "auto-1", "-x", "\udc80", "a\0b"]
)
def test_an_invalid_name_is_refused(name: str, database: Database, store: Store) -> None:
    """Control characters, files, options and the scheduler's prefix are invalid."""
    store.add(executions(40))
    with pytest.raises(BaselineError) as caught:
        create(database, name, Filter(), NOW_US, UTC)
    assert str(caught.value).isprintable()


def test_a_day_stores_all_each_agent_and_each_model_once(database: Database, store: Store) -> None:
    """The snapshots cover the last 30 days and at least 30 executions. Their name is the date in the zone."""
    store.add(executions(100, NOW_US - 10 * DAY_US, agent_name="busy", model="claude-opus-4"))
    store.add(executions(29, NOW_US - 10 * DAY_US, agent_name="idle"))
    store.add(executions(500, NOW_US - 35 * DAY_US, agent_name="past"))
    assert create_automatic(database, NOW_US) == (3, 0)
    assert create_automatic(database, NOW_US + 3_600_000_000) == (0, 0)
    with database.read() as connection:
        found = named(connection, "auto-2025-12-11")
    assert [(one.agent_name, one.model, one.executions, one.is_automatic) for one in found] == [
        ("", "", 129, True),
        ("", "claude-opus-4", 100, True),
        ("busy", "", 100, True),
    ]
    assert create_automatic(database, NOW_US, ZoneInfo("Pacific/Kiritimati")) == (3, 0)


def test_automatic_baselines_are_kept_for_ninety_days(database: Database, store: Store) -> None:
    """One that a person made stays."""
    store.add(executions(40, NOW_US - DAY_US))
    keep(database, [a_baseline("auto-2025-09-01", NOW_US - 91 * DAY_US, automatic=True)])
    keep(database, [a_baseline("auto-2025-09-15", NOW_US - 89 * DAY_US, automatic=True)])
    keep(database, [a_baseline("mine", NOW_US - 300 * DAY_US)])
    assert create_automatic(database, NOW_US).removed == 1
    with database.read() as connection:
        assert {head.name for head in heads(connection)} == {"auto-2025-09-15", "auto-2025-12-11", "mine"}


def test_a_day_stores_the_fifty_most_used_agents(database: Database, store: Store) -> None:
    """A store with thousands of names is not filled with snapshots."""
    for place in range(55):
        store.add(executions(30 + place // 20, NOW_US - 5 * DAY_US, agent_name=f"agent-{place:02}"))
    created = create_automatic(database, NOW_US).created
    with database.read() as connection:
        agents = {one.agent_name for one in named(connection, "auto-2025-12-11") if one.agent_name}
    assert (created, len(agents)) == (52, 50)
    assert "agent-54" in agents
    assert "agent-19" not in agents


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    """There is nothing to store."""
    path = tmp_path / "none.db"
    assert create_automatic(open_database(str(path)), NOW_US) == (0, 0)
    assert not path.exists()
