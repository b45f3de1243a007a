"""Which sightings are one execution, on both engines: the guards, and what follows from a joined execution."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import SECOND_US
from claude_force.database import migrate
from claude_force.database.contract import Database
from claude_force.database.merge import merge, open_other
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, totals
from claude_force.database.writes import Store, export_queue
from claude_force.executions.costs import price_row, row_pricer
from claude_force.executions.deduplication import Observation, ReportedUsage
from claude_force.executions.record import PROVISIONAL, RESULT, TELEMETRY, to_row
from claude_force.executions.sightings import EVENT, SDK, SPAN, TRANSCRIPT
from claude_force.ingest.target import DryRun
from claude_force.ingest.transcripts.identity import digest, session_key
from claude_force.time_windows import ALL_TIME
from tests.builders import NOON_US, an_execution
from tests.sighted import PRICES, SESSION, in_telemetry, in_transcript, put, rows_of, seen_in, value_of

SIDE: dict[str, Any] = {"request_id": "req_side", "query_source": "web_search_tool"}


def each_order(database: Database, observations: list[Observation]) -> list[list[Any]]:
    """What is stored after each order of some observations."""
    found = []
    for order in permutations(observations):
        Store(database).delete(ALL_TIME)
        with database.write() as connection:
            connection.execute("DELETE FROM identities")
        put(database, order)
        found.append(seen_in(database))
    return found


def sources_in(found: list[Any]) -> list[list[str]]:
    """The sources of each execution."""
    return sorted(sorted(sources) for _, sources in found)


def test_transcript_and_telemetry_are_one_execution(database: Database) -> None:
    """Names from the transcript, the time from telemetry, tokens and cost as of the transcript alone."""
    put(database, [in_telemetry(), in_transcript()])
    ((row, sources),) = seen_in(database)
    alone = in_transcript().row
    assert row[1:] == (*alone[1:6], 2_500_000, *alone[7:])
    assert (sources[EVENT].ttft_us, sources[EVENT].effort) == (400_000, "high")
    assert sources[EVENT].reported_cost_nanousd == 7_000_000


def test_what_only_telemetry_saw_is_an_execution_of_its_own(database: Database) -> None:
    """A search, which no transcript has, with a name that says so and its session as its workflow."""
    put(database, [in_transcript(), in_telemetry(), in_telemetry(**SIDE, output_tokens=9)])
    side = next(row for row in rows_of(database) if value_of(row, "source") == TELEMETRY)
    assert value_of(side, "agent_name") == "(auxiliary) web_search_tool"
    assert (value_of(side, "workflow_id"), value_of(side, "run_id")) == (SESSION, None)


@pytest.mark.parametrize("other", [{"model": "claude-opus-5"}, {"output_tokens": 201}, {"cache_read_tokens": 0}])
def test_a_repeated_request_id_is_no_identity(database: Database, other: dict[str, Any]) -> None:
    """Gateways repeat them: another model or another final usage is another response, in any order, and each is found
    again."""
    seen = [in_telemetry(), in_telemetry(**other), in_transcript()]
    for found in each_order(database, seen):
        assert sources_in(found) == [[EVENT], [EVENT, TRANSCRIPT]]
    put(database, seen * 2)
    assert len(rows_of(database)) == 2


def test_two_messages_with_one_request_id_are_two_responses(database: Database) -> None:
    """As before telemetry. What telemetry saw of either is joined by session, instant, model and tokens."""
    second: dict[str, Any] = {"output_tokens": 77}
    seen = [in_transcript(), in_transcript("msg_2", **second), in_telemetry(), in_telemetry(**second)]
    for found in each_order(database, seen):
        assert sources_in(found) == [[EVENT, TRANSCRIPT]] * 2


@pytest.mark.parametrize(("placeholder", "final"), [(in_transcript, in_telemetry), (in_telemetry, in_transcript)])
def test_a_final_figure_is_never_replaced_by_a_placeholder(database: Database, placeholder: Any, final: Any) -> None:
    """Whoever has it, and whichever comes first."""
    lower = (
        {"output_tokens": 2, "usage_basis": PROVISIONAL} if placeholder is in_transcript else {"output_tokens": None}
    )
    for found in each_order(database, [placeholder(**lower), final()]):
        ((row, _),) = found
        assert (value_of(row, "output_tokens"), value_of(row, "usage_basis")) == (200, None)
        assert value_of(row, "cost_nanousd") == value_of(in_transcript().row, "cost_nanousd")


@pytest.mark.parametrize("tokens", [0, 1])
def test_an_abandoned_stream_is_a_lower_bound(database: Database, tokens: int) -> None:
    """Its program says so; whether it wrote the placeholder of the stream's beginning or nothing."""
    put(database, [in_telemetry(SPAN, output_tokens=tokens, provisional=True)])
    (row,) = rows_of(database)
    assert (value_of(row, "output_tokens"), value_of(row, "usage_basis")) == (tokens, PROVISIONAL)


def test_a_model_may_be_named_as_its_seller_does(database: Database) -> None:
    """The transcript of Bedrock says the model, telemetry the seller's id of it."""
    put(database, [in_telemetry(model="us.anthropic.claude-sonnet-4-5-20250929-v1:0"), in_transcript()])
    ((row, _),) = seen_in(database)
    assert value_of(row, "model") == "claude-sonnet-4-5"


def test_without_a_request_id_the_nearest_of_equal_ones_is_taken(database: Database) -> None:
    """Two responses with equal tokens within a second are two executions in any order. Each has what telemetry saw of
    it, unless only one of them was known."""
    at = {0: NOON_US, 1: NOON_US + SECOND_US // 2}
    seen = [in_transcript(f"msg_{n}", None, timestamp_us=us) for n, us in at.items()]
    seen += [in_telemetry(request_id=None, at_us=us + 1000, ttft_us=n) for n, us in at.items()]
    for found in each_order(database, seen):
        assert sources_in(found) == [[EVENT, TRANSCRIPT]] * 2
    for order in (seen, seen[::-1]):
        each_order(database, [])
        put(database, order)
        assert [sources[EVENT].ttft_us for _, sources in seen_in(database)] == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"session_id": "another"},
        {"at_us": NOON_US + SECOND_US + 1},
        {"model": "claude-opus-5"},
        {"output_tokens": 201},
        {"input_tokens": 11},
        {"query_source": "web_search_tool"},
    ],
)
def test_without_a_request_id_everything_must_be_equal(database: Database, other: dict[str, Any]) -> None:
    """Session, instant within a second, model, tokens; and a side request is never that of a transcript."""
    for found in each_order(
        database,
        [in_transcript(is_of_2_2=True), in_telemetry(request_id=None), in_telemetry(**{"request_id": None} | other)][
            ::2
        ],
    ):
        assert sources_in(found) in ([[], [EVENT]],)


def test_another_request_id_is_another_response(database: Database) -> None:
    """Although everything else is equal."""
    put(database, [in_telemetry(), in_telemetry(request_id="req_2"), in_telemetry(SPAN, request_id="req_2")])
    assert sources_in(seen_in(database)) == [[EVENT], [EVENT, SPAN]]


def test_results_do_not_count_beside_telemetry(database: Database) -> None:
    """A session that telemetry saw is known, as one with a transcript is."""
    record = an_execution(source=RESULT, workflow_id=SESSION)
    result = Observation(to_row(record), (digest("result", 1),), session=session_key(SESSION), is_result=True)
    for found in each_order(database, [result, in_telemetry()]):
        assert sources_in(found) == [[EVENT]]


def test_a_failure_is_an_execution(database: Database) -> None:
    """Without tokens and without cost. A transcript says how it calls the error."""
    failed = in_telemetry(
        input_tokens=None, output_tokens=None, cache_read_tokens=None, cache_write_5m_tokens=None,
        cache_write_1h_tokens=None, error_type="overloaded", cost_nanousd=None,
    )  # fmt: skip
    put(database, [failed])
    ((row, _),) = seen_in(database)
    assert [value_of(row, name) for name in ("success", "error_type", "input_tokens", "cost_nanousd")] == [
        0, "overloaded", 0, 0,
    ]  # fmt: skip
    line = in_transcript(
        success=False, error_type="rate_limit", model="unknown", input_tokens=0, output_tokens=0, cache_read_tokens=0,
        cache_write_1h_tokens=0,
    )  # fmt: skip
    put(database, [line])
    ((row, sources),) = seen_in(database)
    assert (value_of(row, "error_type"), value_of(row, "model")) == ("rate_limit", "claude-sonnet-4-5")
    assert sorted(sources) == [EVENT, TRANSCRIPT]


def test_an_unknown_price_takes_the_cost_that_was_reported(database: Database) -> None:
    """As a cost that was given, until a price is known."""
    new: dict[str, Any] = {"model": "a-model-of-tomorrow"}
    for found in each_order(database, [in_telemetry(**new), in_transcript(**new)]):
        ((row, _),) = found
        assert (value_of(row, "cost_nanousd"), value_of(row, "price_version")) == (7_000_000, None)


def test_a_cost_that_was_priced_again_stays(database: Database) -> None:
    """A further sighting that changes nothing that is billed does not bring the first price back."""
    put(database, [in_telemetry(), in_transcript()])
    (row,) = rows_of(database)
    cost = value_of(row, "cost_nanousd")
    again = tuple(99 if value == cost else value for value in row)
    assert Store(database).reprice([again]) == 1
    put(database, [in_telemetry(SPAN), in_transcript()])
    ((row, sources),) = seen_in(database)
    assert (value_of(row, "cost_nanousd"), value_of(row, "recorded_cost_nanousd")) == (99, cost)
    assert sorted(sources) == [EVENT, SPAN, TRANSCRIPT]


def test_a_deleted_execution_has_no_sightings(database: Database) -> None:
    """They go with it."""
    put(database, [in_telemetry(), in_transcript()])
    assert Store(database).delete(ALL_TIME) == 1
    with database.read() as connection:
        assert connection.fetch("SELECT COUNT(*) FROM sightings")[0][0] == 0


def test_a_joined_execution_is_archived_and_restored(database: Database) -> None:
    """With its sightings. What is seen meanwhile is not counted again."""
    put(database, [in_telemetry(), in_transcript()])
    store, (row,), before = Store(database, row_pricer(PRICES)), rows_of(database), seen_in(database)
    assert store.archive([row], NOON_US) == 1
    put(database, [in_telemetry(SPAN), in_transcript(), in_telemetry()])
    assert rows_of(database) == []
    assert store.restore([row]) == 1
    assert seen_in(database) == before
    with database.read() as connection:
        assert totals(connection, Filter()).executions == 1


def test_what_only_telemetry_saw_is_archived_before_its_transcript_comes(database: Database) -> None:
    """The transcript adds nothing: the execution is counted among the archived ones."""
    put(database, [in_telemetry()])
    assert Store(database).archive(rows_of(database), NOON_US) == 1
    put(database, [in_transcript()])
    with database.read() as connection:
        assert totals(connection, Filter()).executions == 1


def test_further_lines_of_a_joined_response_move_its_end(database: Database) -> None:
    """As without telemetry: the transcript goes on, and its end is the execution's."""
    first = in_transcript(output_tokens=2, usage_basis=PROVISIONAL)
    end_us = NOON_US + 2 * SECOND_US
    whole = in_transcript(timestamp_us=end_us)._replace(from_us=NOON_US, identities=first.identities)
    put(database, [first, in_telemetry(), whole])
    ((row, sources),) = seen_in(database)
    assert (row[1], value_of(row, "output_tokens")) == (end_us, 200)
    assert sources[TRANSCRIPT].row[1] == end_us


def test_a_merge_keeps_apart_what_shares_but_a_request_id(tmp_path: Path) -> None:
    """A transcript in one store and telemetry of another model in the other, as of a gateway that repeats ids."""
    for target in (0, 1):
        places = [str(tmp_path / str(target) / name / "metrics.db") for name in ("first", "second")]
        databases = [open_database(place) for place in places]
        put(databases[0], [in_transcript()])
        put(databases[1], [in_telemetry(model="claude-opus-5")])
        for database in databases:
            database.close()
        for _ in range(2):
            with open_other(places[1 - target], databases[target], tmp_path, tmp_path) as other:
                merge(databases[target], tmp_path / "archive", other, NOON_US)
        assert sources_in(seen_in(databases[target])) == [[], [EVENT]]
        put(databases[target], [in_telemetry(SPAN), in_transcript(), in_telemetry(model="claude-opus-5")])
        assert sources_in(seen_in(databases[target])) == [[EVENT], [SPAN, TRANSCRIPT]]
        databases[target].close()


def test_a_reported_usage_stays_with_the_transcript(database: Database) -> None:
    """What the parent reports of a sub-agent's last response is not gone with the next sighting."""
    agent: dict[str, Any] = {"run_id": "a91c2f", "output_tokens": 2, "usage_basis": PROVISIONAL}
    put(database, [in_transcript(**agent), in_telemetry(SPAN, input_tokens=None, output_tokens=None)])
    report = ReportedUsage("a91c2f", "task_result", NOON_US, NOON_US - SECOND_US, 5510, 5310, 150, NOON_US)
    store = Store(database, row_pricer(PRICES))
    store.ingest([], [], [report])
    assert store.apply_reported_usage(lambda row: price_row(PRICES, row), ["a91c2f"], NOON_US) == 1
    before = rows_of(database)
    put(database, [in_telemetry(SDK, input_tokens=None, output_tokens=None)])
    ((row, sources),) = seen_in(database)
    assert row[1:] == before[0][1:]
    assert (value_of(row, "output_tokens"), value_of(row, "usage_basis")) == (150, "task_result")
    assert sorted(sources) == [SDK, SPAN, TRANSCRIPT]


@pytest.mark.parametrize("revision", ["0006", "0007"])
def test_a_database_of_2_2_is_upgraded_and_joined(tmp_path: Path, revision: str) -> None:
    """Its rows have no key of their request id: telemetry finds them by session, instant, model and tokens; and when
    the transcript is read again, nothing is added."""
    old = an_old_database(tmp_path, revision)
    with closing(open_database(str(old))) as database:
        assert migrate.upgrade(database).before == revision
        put(database, [in_telemetry(), in_telemetry(SPAN, duration_us=None), in_transcript(), in_telemetry()])
        ((row, sources),) = seen_in(database)
        assert (value_of(row, "duration_us"), sorted(sources)) == (2_500_000, [EVENT, SPAN, TRANSCRIPT])


def an_old_database(folder: Path, revision: str) -> Path:
    """A database of an older revision with a response of a transcript, as version 2.2 stored it."""
    with closing(open_database(str(folder / "new.db"))) as database:
        put(database, [in_transcript(is_of_2_2=True)])
    path = folder / "old.db"
    path.touch()
    with migrate.sqlite_connection(path) as connection:
        migrate.upgrade_connection(connection, revision)
        connection.commit()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("ATTACH ? AS new", (str(folder / "new.db"),))
        for table in ("series", "executions", "identities", "uncounted"):
            columns = ", ".join(name for _, name, *_ in raw.execute(f"PRAGMA main.table_info({table})"))
            raw.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
    return path


def test_exporters_send_a_joined_execution_as_a_change(database: Database) -> None:
    """It was sent before its transcript came: it is queued again, as one that changed."""
    with database.write() as connection:
        connection.lock_rollups()
        export_queue.register(connection, "datadog", "there", NOON_US, NOON_US)
    put(database, [in_telemetry()])
    Store(database).rebuild()
    with database.write() as connection:
        connection.execute("DELETE FROM export_queue")
    put(database, [in_transcript()])
    with database.read() as connection:
        assert connection.fetch("SELECT kind, is_sent FROM export_queue") == [("datadog", 1)]
    assert sources_in(seen_in(database)) == [[EVENT, TRANSCRIPT]]


def test_a_dry_run_knows_what_only_telemetry_saw(database: Database) -> None:
    """Its transcript would add nothing."""
    put(database, [in_telemetry()])
    assert DryRun(database).ingest([in_transcript(), in_transcript("msg_2", "req_2")], []).added == 1


def test_a_replay_in_a_sub_agents_transcript_does_not_count_beside_telemetry(database: Database) -> None:
    """In any order: also if the replay is read first, then telemetry of the response comes, and its own transcript
    last."""
    later_us = NOON_US + 60 * SECOND_US
    replay = in_transcript("msg_1", "req_replay", is_replay=True, timestamp_us=later_us, run_id="a1")
    for found in each_order(database, [replay, in_telemetry(), in_transcript()]):
        assert sources_in(found) == [[EVENT, TRANSCRIPT]]
    put(database, [replay, in_telemetry(), in_transcript(), in_telemetry(SPAN)] * 2)
    assert sources_in(seen_in(database)) == [[EVENT, SPAN, TRANSCRIPT]]
