"""What a merge makes of identities, cursors and the other tables, with the target on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from claude_force.database import queries, schema
from claude_force.database.contract import Database
from claude_force.database.merge import MergeReport, merge, open_other
from claude_force.database.merge.tables import DERIVED, MERGED_ELSEWHERE, NOT_MERGED, TABLES
from claude_force.database.open import open_database
from claude_force.database.plan_limits import add_plan_limits
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.queries import baselines as baseline_queries
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.queries import ledgers as ledger_queries
from claude_force.database.queries.projects import repositories
from claude_force.database.queries.telemetry import outcomes
from claude_force.database.rows.alerts import EventRow, Silence
from claude_force.database.rows.baselines import Baseline
from claude_force.database.writes import Store, alerts, baselines
from claude_force.database.writes.projects import remember_repositories
from claude_force.database.writes.telemetry import add_outcomes
from claude_force.executions.content_uids import content_uid
from claude_force.executions.deduplication import AMBIGUOUS, REPLAY, Observation
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.plan_limits import PlanLimit
from claude_force.executions.record import CLAUDE_CODE, PROVISIONAL, RESULT, ExecutionMetrics, identity_bytes, to_row
from claude_force.executions.signals import Outcome
from claude_force.executions.statistics import DailyTokens
from tests.builders import NOON_US, an_execution, key
from tests.integration.test_ingestion import a_cursor


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """The store that is merged into `store`."""
    database = open_database(str(tmp_path / "other" / "metrics.db"))
    yield Store(database)
    database.close()


class Merging(NamedTuple):
    """Merges `other` into `store`."""

    store: Store
    other: Store
    folder: Path

    def __call__(self) -> MergeReport:
        self.other.database.close()
        target = self.store.database
        with open_other(self.other.database.name, target, self.folder, self.folder) as found:
            return merge(target, self.folder / "archive", found, NOON_US)


@pytest.fixture
def merging(store: Store, other: Store, tmp_path: Path) -> Merging:
    """Merges `other` into `store`."""
    return Merging(store, other, tmp_path)


def response(name: str, **changes: Any) -> ExecutionMetrics:
    """An execution whose uid is made of the identity of this name, as that of a response is."""
    values = {"timestamp_us": NOON_US, "source": CLAUDE_CODE, "cost_nanousd": 1000} | changes
    return an_execution(uid=content_uid(NOON_US, key(name), 0), **values)


def observed(*names: str, shared: Sequence[str] = (), **changes: Any) -> Observation:
    """A response with these identities, of which the first is its strong one."""
    row = to_row(response(names[0], **changes))
    return Observation(row, tuple(map(key, names)), tuple(map(key, shared)))


def executions(database: Database) -> list[ExecutionMetrics]:
    """Every execution, after a check that the roll-ups equal them."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return list(queries.iterate(database, Filter()))


def meanings(database: Database, *names: str) -> list[bytes | None]:
    """What identities stand for."""
    with database.read() as connection:
        found = file_queries.executions_of(connection, map(key, names))
    return [found.get(key(name)) for name in names]


def test_every_table_is_merged_or_not() -> None:
    """A new table has to be in one of the lists: what is merged, what follows from it, what is not merged."""
    listed = [*MERGED_ELSEWHERE, *DERIVED, *TABLES, *NOT_MERGED]
    assert sorted(listed) == sorted(schema.metadata.tables)
    for name, table in TABLES.items():
        columns = schema.metadata.tables[name].columns
        assert set(table.columns) == {column.name for column in columns}
        assert set(table.columns[: table.keys]) == {column.name for column in columns if column.primary_key}


def test_a_response_under_two_uids_is_one(store: Store, other: Store, merging: Merging) -> None:
    """If the identity that one of the uids is made of is known in both stores."""
    store.ingest([observed("first", "second", output_tokens=700)], [])
    other.ingest([observed("second", "third", output_tokens=500)], [])
    assert merging().executions.added == 0
    assert [found.output_tokens for found in executions(store.database)] == [700]
    uid = identity_bytes(response("first").uid)
    assert meanings(store.database, "first", "second", "third") == [uid, uid, uid]
    assert merging().rows["identities"] == 0


def test_a_shared_identity_joins_nothing(store: Store, other: Store, merging: Merging) -> None:
    """Two responses with an identity that is not strong stay two, and it then identifies neither."""
    store.ingest([observed("first", shared=["shared"])], [])
    other.ingest([observed("second", shared=["shared"])], [])
    assert merging().executions.added == 1
    assert len(executions(store.database)) == 2
    assert meanings(store.database, "shared") == [AMBIGUOUS]


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_replay_does_not_count(is_ours: bool, store: Store, other: Store, merging: Merging) -> None:
    """One store knew the main conversation, and so that a sub-agent's response is a replay of it; the other saw only
    the replay. Whichever is merged into which, the main conversation counts."""
    knowing, unknowing = (store, other) if is_ours else (other, store)
    knowing.ingest([observed("main", shared=["side of main"])], [])
    replay = observed("replay")._replace(is_sidechain=True, other_side=(key("side of main"),))
    knowing.ingest([replay], [])
    unknowing.ingest([replay._replace(other_side=())], [])
    merging()
    assert [found.uid for found in executions(store.database)] == [response("main").uid]
    assert meanings(store.database, "replay") == [REPLAY]
    assert len(executions(store.database)) == len(executions(knowing.database))


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_result_gives_way_to_the_transcript(is_ours: bool, store: Store, other: Store, merging: Merging) -> None:
    """Of a session that one store knows from the result of a run, and the other from its transcript."""
    result = an_execution(source=RESULT, workflow_id="session", agent_name="result", timestamp_us=NOON_US)
    transcribed = response("answer", workflow_id="session", agent_name="main")
    with_result, with_transcript = (store, other) if is_ours else (other, store)
    with_result.add([result])
    with_transcript.add([transcribed])
    merging()
    assert [found.agent_name for found in executions(store.database)] == ["main"]


VERSIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a final usage": ({"usage_basis": PROVISIONAL, "output_tokens": 900}, {"output_tokens": 400}),
    "more output": ({"output_tokens": 400}, {"output_tokens": 900}),
    "a later end": ({}, {"timestamp_us": NOON_US + 3_000_000, "duration_us": 6_456_000}),
    "another price": ({}, {"cost_nanousd": 5, "recorded_cost_nanousd": 1000, "recorded_basis": "given"}),
    "another agent": ({"agent_name": "agent"}, {"agent_name": "subagent"}),
    "a known project": ({"project": None}, {"project": "/shop"}),
}


@pytest.mark.parametrize("case", VERSIONS)
@pytest.mark.parametrize("is_ours", [True, False])
def test_the_better_version_stays(case: str, is_ours: bool, store: Store, other: Store, merging: Merging) -> None:
    """Of one execution in two versions: whichever store has it."""
    worse, better = (response("one", **changes) for changes in VERSIONS[case])
    first, second = (better, worse) if is_ours else (worse, better)
    store.add([first])
    other.add([second])
    assert merging().executions.changed == int(not is_ours)
    assert executions(store.database) == [better]


CURSORS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "further": ({"position": 10, "last_read_us": 1}, {"position": 20, "last_read_us": 1}, 20),
    "behind": ({"position": 20, "last_read_us": 1}, {"position": 10, "last_read_us": 9}, 20),
    "read later": ({"position": 20, "last_read_us": 1, "head": "x"}, {"position": 20, "last_read_us": 2}, 20),
    "of another host": ({"position": 10, "host": "elsewhere"}, {"position": 20}, 20),
}


@pytest.mark.parametrize("case", CURSORS)
def test_the_further_position_of_a_file_stays(case: str, store: Store, other: Store, merging: Merging) -> None:
    """And all that belongs to it."""
    ours, theirs, position = CURSORS[case]
    store.ingest([], [a_cursor(**ours)])
    other.ingest([], [a_cursor(**theirs, state="theirs")])
    merging()
    with store.database.read() as connection:
        found = {cursor.host: cursor for cursor in file_queries.cursors(connection)}
    assert found["h"].position == position
    assert (found["h"].state == "theirs") == (case != "behind")
    assert not any(merging().rows.values())


def a_ledger(at_us: int, cost: int, *models: str) -> tuple[LedgerEntry, ...]:
    """The ledger of a session."""
    return tuple(LedgerEntry("session", model, at_us, cost, 1, 2, 3, 4, 0, 0) for model in ("", *models))


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (2, 1), (2, 2)])
def test_the_later_ledger_of_a_session_stays(
    ours: int, theirs: int, store: Store, other: Store, merging: Merging
) -> None:
    """Whole, with exactly its models."""
    store.ingest([], [], ledgers=[a_ledger(ours, 10, "a", "b")])
    other.ingest([], [], ledgers=[a_ledger(theirs, 20, "b")])
    merging()
    with store.database.read() as connection:
        found = ledger_queries.ledgers(connection, ["session"])["session"]
    assert found == (a_ledger(ours, 10, "a", "b") if ours > theirs else a_ledger(theirs, 20, "b"))


def test_the_small_tables_are_joined(store: Store, other: Store, merging: Merging) -> None:
    """What ours lacks is added; of a key that both have, the better row stays."""
    event = EventRow("e1", NOON_US, "f", "rule", "{}", "warning", "ok", "firing", "BREACHED", None, 1.0, 5)
    baseline = Baseline("b", "", "", False, NOON_US, 0, NOON_US, 3, {"total_executions": 3})
    limit = PlanLimit("h", "five_hour", NOON_US, 10.0)
    for end, which in ((0, store), (1, other)):
        with which.database.write() as connection:
            alerts.add_events(connection, [event, replace(event, event_id=f"own {end}")])
            alerts.silence(connection, Silence("rule", NOON_US + 10 + end, NOON_US))
            baselines.put(connection, [baseline, replace(baseline, name=f"own {end}")])
            add_plan_limits(connection, [limit, limit._replace(observed_us=NOON_US + 1 + end)])
            remember_repositories(connection, {"/gone": "" if end == 0 else "/root", "/own": f"/own{end}"})
        which.save_statistics([DailyTokens("m", "2025-01-01", "model", 10 + end, 1)], a_cursor())
    done = merging()
    assert not any(merging().rows.values())
    assert done.rows["baselines"] == done.rows["alert_events"] == done.rows["silences"] == done.rows["plan_limits"] == 1
    with store.database.read() as connection:
        assert {found.event_id for found in alert_queries.events(connection, 0, 10)} == {"e1", "own 0", "own 1"}
        assert alert_queries.silences(connection, NOON_US)["rule"].until_us == NOON_US + 11
        assert set(baseline_queries.names(connection)) == {"b", "own 0", "own 1"}
        assert repositories(connection) == {"/gone": "/root", "/own": "/own0"}
        assert connection.fetch("SELECT tokens FROM daily_statistics") == [(11,)]


def test_outcomes_are_joined(store: Store, other: Store, merging: Merging) -> None:
    """A record that came to both stores counts once."""
    lines = [Outcome(key=f"{number:032x}", at_us=NOON_US, name="commit", value=1) for number in range(3)]
    for which, records in ((store, lines[:2]), (other, lines[1:])):
        with which.database.write() as connection:
            add_outcomes(connection, records, NOON_US)
    merging()
    assert not any(merging().rows.values())
    with store.database.read() as connection:
        assert [row.value for row in outcomes(connection, Filter())] == [3]
