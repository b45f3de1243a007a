"""The law of sightings: an execution is what its sources say of it, in whatever order and however often they say it."""

from __future__ import annotations

import tempfile
from contextlib import closing
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.database.contract import Database
from claude_force.database.merge import merge, open_other
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.costs import row_pricer
from claude_force.executions.deduplication import Observation
from claude_force.executions.record import PROVISIONAL
from claude_force.executions.sightings import RANKS, TRANSCRIPT
from claude_force.time_windows import ALL_TIME
from tests.builders import NOON_US
from tests.properties.strategies import on_both_engines
from tests.sighted import PRICES, REQUEST, Seen, in_telemetry, in_transcript, put, seen_in

Views = list[Observation]

_TRANSCRIPT_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"usage_basis": PROVISIONAL, "output_tokens": 2},
    {"agent_name": "subagent", "run_id": "a91c2f", "git_branch": None, "duration_us": None},
    {"service_tier": "fast"},
    {"success": False, "error_type": "refusal"},
)
_TELEMETRY_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"cache_write_5m_tokens": 300, "cache_write_1h_tokens": None},
    {"duration_us": None, "ttft_us": None, "effort": None, "cost_nanousd": None},
    {"query_source": "agent:builtin:Explore", "agent_id": "a91c2f", "service_tier": "fast"},
    {"query_source": "agent:custom", "agent_name": "my-reviewer", "agent_id": "a91c2f", "project": "shop"},
    {"input_tokens": None, "output_tokens": None, "error_type": "overloaded"},
    {"output_tokens": None},
    {"web_searches": 3, "provider": "bedrock"},
)


@st.composite
def views(draw: st.DrawFn, request: str | None = REQUEST) -> Views:
    """What 2 to 5 sources say of one response."""
    model = draw(st.sampled_from(("claude-sonnet-4-5", "claude-opus-5", "a-model-without-a-price")))
    sources = draw(st.sets(st.sampled_from(RANKS), min_size=2))
    found: Views = []
    for source in sorted(sources):
        at_us = NOON_US + draw(st.integers(-400_000, 400_000))
        if source == TRANSCRIPT:
            fields = draw(st.sampled_from(_TRANSCRIPT_VARIANTS))
            found.append(in_transcript(request=request, **{"model": model, "timestamp_us": at_us} | fields))
        else:
            kinds = _TELEMETRY_VARIANTS if request else _TELEMETRY_VARIANTS[:5]
            fields = {"model": model, "at_us": at_us, "request_id": request} | draw(st.sampled_from(kinds))
            found.append(in_telemetry(source, **fields))
    return found


def stored(database: Database, calls: list[Views]) -> list[Seen]:
    """What is stored after some calls, in a database that was empty."""
    store = Store(database, row_pricer(PRICES))
    store.delete(ALL_TIME)
    with database.write() as connection:
        connection.execute("DELETE FROM identities")
    for observations in calls:
        store.ingest(observations, [])
    return seen_in(database)


@st.composite
def orders(draw: st.DrawFn, seen: Views) -> list[Views]:
    """Any order of some observations, some of them again, in any number of calls."""
    calls: list[Views] = [[]]
    for observation in draw(st.permutations(seen)) + draw(st.lists(st.sampled_from(seen), max_size=4)):
        if calls[-1] and bool(draw(st.integers(0, 1))):
            calls.append([])
        calls[-1].append(observation)
    return calls


@on_both_engines
@given(data=st.data(), seen=views())
def test_order_and_repetition_make_no_difference(database: Database, data: st.DataObject, seen: Views) -> None:
    """Any order, any repetition, in any number of calls: the same execution and the same sightings."""
    expected = stored(database, [seen])
    assert len(expected) == 1
    assert set(expected[0][1]) == {each.sighting.source if each.sighting else TRANSCRIPT for each in seen}
    assert stored(database, data.draw(orders(seen))) == expected


@on_both_engines
@given(data=st.data(), seen=views(request=None))
def test_without_a_request_id_too(database: Database, data: st.DataObject, seen: Views) -> None:
    """Session, instant, model and tokens then say that it is one execution."""
    expected = stored(database, [[each] for each in seen])
    assert len(expected) == 1
    assert stored(database, data.draw(orders(seen))) == expected


def test_every_permutation_of_every_choice_of_sources(tmp_path: Path) -> None:
    """All orders of 2 to 5 sources, 320 in all: one execution, the same for each choice of sources."""
    each = {
        source: in_transcript(agent_name="subagent") if source == TRANSCRIPT else in_telemetry(source, **fields)
        for source, fields in zip(RANKS, ({}, *_TELEMETRY_VARIANTS[1:5]), strict=True)
    }
    with closing(open_database(str(tmp_path / "metrics.db"))) as database:
        for count in range(2, len(RANKS) + 1):
            for chosen in combinations(RANKS, count):
                found = [stored(database, [[each[source]] for source in order]) for order in permutations(chosen)]
                assert len(found[0]) == 1
                assert all(other == found[0] for other in found)


@given(seen=views())
def test_what_2_2_stored_is_joined(seen: Views) -> None:
    """A row of version 2.2 has no key of its request id. It is joined by session, instant, model and tokens, and gets
    the key when its transcript is read again."""
    known = [in_transcript(is_of_2_2=True, **_TRANSCRIPT_VARIANTS[0])]
    later = [each for each in seen if each.sighting is not None]
    later = [in_telemetry(each.sighting.source) for each in later if each.sighting is not None]
    with tempfile.TemporaryDirectory() as folder, closing(open_database(str(Path(folder) / "m.db"))) as database:
        put(database, [*known, *later, in_transcript(), *later])
        ((row, sources),) = seen_in(database)
        assert set(sources) == ({TRANSCRIPT} | {each.sighting.source for each in later if each.sighting})
        assert row[1] == NOON_US


@given(data=st.data(), seen=views())
def test_two_stores_are_merged_as_if_they_were_one(data: st.DataObject, seen: Views) -> None:
    """Whichever sources each store has, in either direction, and again. What is archived in one of them counts once."""
    which = data.draw(st.lists(st.sampled_from((0, 1, 2)), min_size=len(seen), max_size=len(seen)))
    parts = [[each for each, place in zip(seen, which, strict=True) if place in (index, 2)] for index in (0, 1)]
    with tempfile.TemporaryDirectory() as name, closing(open_database(str(Path(name) / "all.db"))) as together:
        expected = stored(together, [seen])
        for target in (0, 1):
            folder = Path(name) / str(target)
            databases = [open_database(str(folder / which / "metrics.db")) for which in ("first", "second")]
            for database, part in zip(databases, parts, strict=True):
                stored(database, [part])
                database.close()
            for _ in range(2):
                into(databases[target], databases[1 - target], folder)
            assert seen_in(databases[target]) == expected
            databases[target].close()


def into(target: Database, other: Database, folder: Path) -> None:
    """Merge another store."""
    with open_other(other.name, target, folder, folder) as found:
        merge(target, folder / "archive", found, NOON_US, price=row_pricer(PRICES))


@pytest.mark.parametrize("seen", [[in_transcript()], [in_transcript(), in_transcript("msg_2", "req_2")]])
def test_transcripts_alone_have_no_sightings(database: Database, seen: Views) -> None:
    """Nothing more is stored of an execution that only its transcript saw."""
    assert [sources for _, sources in stored(database, [seen])] == [{}] * len(seen)
