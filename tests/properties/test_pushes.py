"""Laws of pushes: whatever fails and whatever arrives, in the end Elasticsearch has what the store has."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import DAY_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, iterate
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.record import ExecutionMetrics, column, dollars, to_row
from claude_force.exporters.base import PushError
from claude_force.exporters.elasticsearch.push import ElasticsearchExporter
from claude_force.exporters.elasticsearch.server import Server
from claude_force.exporters.queue import forget
from claude_force.network.connection import Patience
from tests.builders import NOON_US, an_execution
from tests.elastic import Cut, Each, FakeElasticsearch, Fault, Status, elastic
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, refill


@dataclass(frozen=True)
class Add:
    """So many executions arrive, an hour before noon, at noon, or an hour after."""

    count: int
    hours: int


@dataclass(frozen=True)
class Reprice:
    """One execution, chosen by its share of all, gets another cost."""

    share: float


@dataclass(frozen=True)
class Push:
    """A push whose requests meet these faults."""

    faults: tuple[Fault | None, ...]


FAULTS: list[Fault | None] = [
    None, Cut(0), Cut(0.4), Cut(1), Status(500), Status(429), Status(301), Each((429, 201)), Each((201, 201, 503)),
    Each((201, 403)), Each((429,)), Status(200, {"items": []}),
]  # fmt: skip
steps = st.one_of(
    st.builds(Add, st.sampled_from([1, 3, 7, DIRECT_ROLLUP_ROWS]), st.integers(-1, 1)),
    st.builds(Reprice, st.floats(0, 1, exclude_max=True)),
    st.builds(Push, st.lists(st.sampled_from(FAULTS), max_size=5).map(tuple)),
    st.builds(Push, st.sampled_from(FAULTS).map(lambda fault: (None, *[fault] * 5))),
)
stories = st.lists(steps, min_size=3, max_size=12)


def push(database: Database, server: FakeElasticsearch, faults: tuple[Fault | None, ...], folder: Path) -> bool:
    """Push five at a time. Returns whether nothing is due afterwards."""
    server.faults = [fault or Each((201,)) for fault in faults]
    exporter = ElasticsearchExporter(
        Server(server.url, patience=Patience(5.0, 5.0)), "metrics", folder / "r.jsonl", wait=lambda _: None, at_once=5
    )
    try:
        exporter.push(database, lambda: NOON_US + DAY_US)
    except PushError:
        return False
    return exporter.count_due(database, lambda: NOON_US + DAY_US) == 0


def add(store: Store, step: Add, number: int) -> None:
    """Store some executions."""
    at_us = NOON_US + step.hours * 3600 * SECOND_US + number
    store.add([an_execution(timestamp_us=at_us + place * SECOND_US) for place in range(step.count)])


def reprice(store: Store, executions: list[ExecutionMetrics], step: Reprice, number: int) -> None:
    """Change the cost of one execution."""
    if executions:
        record = executions[int(len(executions) * step.share)]
        row = list(to_row(record))
        row[column("cost_nanousd")] = number
        store.reprice([tuple(row)])


@settings(on_both_engines, max_examples=scaled(12))
@given(story=stories)
def test_elasticsearch_has_what_the_store_has(database: Database, story: list[object]) -> None:
    """Each execution is one document, with its current cost."""
    refill(database, [])
    forget(database, "elasticsearch")
    store = Store(database)
    with tempfile.TemporaryDirectory() as folder, elastic() as server:
        for number, step in enumerate(story, 1):
            if isinstance(step, Add):
                add(store, step, number)
            elif isinstance(step, Reprice):
                reprice(store, list(iterate(database, Filter())), step, number)
            elif isinstance(step, Push):
                push(database, server, step.faults, Path(folder))
        assert any(push(database, server, (), Path(folder)) for _ in range(3))
        assert push(database, server, (), Path(folder))
    there = {uid: document.get("estimated_cost") for uid, document in server.documents.items()}
    assert there == {found.uid: dollars(found.cost_nanousd) for found in iterate(database, Filter())}
