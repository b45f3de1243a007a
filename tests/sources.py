"""Executions that several sources saw, and the sums of Claude Code beside them, put into the tables directly."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from claude_force.clock import DAY_US, MINUTE_US
from claude_force.database.writes import Store
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.outcomes import COST
from claude_force.executions.record import ExecutionMetrics, identity_bytes
from tests.builders import NOON_US, an_execution

MICRO = 1000
"""A micro-dollar in nano-dollars: the unit of what Claude Code reports."""

SIDE, MAIN, AGENT = "web_search_tool", "repl_main_thread", "agent:builtin:Explore"


@dataclass
class Seen:
    """One execution with its sightings: the cost that Claude Code reported for each source of telemetry."""

    execution: ExecutionMetrics
    sightings: dict[str, int | None] = field(default_factory=dict)
    query_source: str | None = None

    @property
    def session(self) -> str | None:
        """The session that it is part of."""
        return self.execution.session_id or self.execution.workflow_id

    @property
    def in_transcript(self) -> bool:
        """Whether a transcript has it."""
        return self.execution.source == "claude-code" or "transcript" in self.sightings

    @property
    def by_telemetry(self) -> bool:
        """Whether a log event or a span said it."""
        return "event" in self.sightings or "span" in self.sightings

    @property
    def reported(self) -> int | None:
        """The cost that Claude Code reported: that of the event, else that of the span."""
        event = self.sightings.get("event")
        return self.sightings.get("span") if event is None else event


def a_sighting(
    session: str,
    *sources: str,
    micros: int | None = 1000,
    reported: int | None = -1,
    at_us: int = 0,
    query_source: str | None = MAIN,
    **changes: Any,
) -> Seen:
    """A request of a session that costs `micros`, seen by these sources. Claude Code reports the same cost, unless
    `reported` says what."""
    said = micros if reported == -1 else reported
    given: dict[str, Any] = {
        "timestamp_us": NOON_US + at_us,
        "workflow_id": session,
        "source": "claude-code" if "transcript" in sources else "telemetry",
        "model": "claude-sonnet-4-5",
        "cost_nanousd": None if micros is None else micros * MICRO,
        "price_version": None if micros is None else "prices of a test",
    }
    costs = {
        name: None if said is None or name in ("transcript", "sdk") else said * MICRO
        for name in sources
        if sources != ("transcript",)
    }
    return Seen(an_execution(**given | changes), costs, query_source if {"event", "span"} & {*sources} else None)


def put(store: Store, *seen: Seen) -> None:
    """Store executions with their sightings."""
    store.add([each.execution for each in seen])
    rows = [
        (identity_bytes(each.execution.uid), source, None, None, each.query_source, cost, "{}")
        for each in seen
        for source, cost in each.sightings.items()
    ]
    insert(store, "sightings (uid, source, ttft_us, effort, query_source, reported_cost_nanousd, fields)", rows)


def insert(store: Store, into: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows into a table."""
    with store.database.write() as connection:
        connection.insert_all(into, rows, "ON CONFLICT DO NOTHING")


def put_metrics(
    store: Store, session: str, micros: int, day_us: int = NOON_US, kind: str = "claude-sonnet-4-5"
) -> None:
    """Store a control sum of metrics."""
    row = (day_us // DAY_US * DAY_US, session, COST, "claude-sonnet-4-5", 1, micros * MICRO)
    insert(store, "outcomes (day_us, session_id, name, kind, records, value)", [row])


def put_run(store: Store, name: str, session: str, micros: int, start_us: int, length_us: int = MINUTE_US) -> None:
    """Store a headless run whose session had cost so much at its end."""
    columns = "run_id, session_id, started_us, duration_us, exit_code, success, reported_cost_nanousd"
    insert(store, f"headless_runs ({columns})", [(name, session, start_us, length_us, 0, 1, micros * MICRO)])


def put_ledger(store: Store, session: str, micros: int, at_us: int) -> None:
    """Store the ledger of a session."""
    store.ingest([], [], [], [(LedgerEntry(session, "", at_us, micros * MICRO, 0, 0, 0, 0, 0, 0),)])


def a_mixed_history(seed: int, requests: int = 120) -> list[Seen]:
    """Requests of six sessions over forty days, each seen by any of the sources, some without a price, some with
    another one."""
    chance = random.Random(seed)
    combinations = [("transcript",), ("transcript", "event"), ("transcript", "event", "span"), ("event",), ("span",)]
    found = []
    for number in range(requests):
        micros = chance.choice([None, *range(1, 50)])
        reported = chance.choice([micros, micros, None, chance.randrange(1, 50)])
        found.append(
            a_sighting(
                f"session-{chance.randrange(6)}",
                *chance.choice(combinations),
                micros=micros,
                reported=reported,
                at_us=number * 8 * 60 * MINUTE_US,
                query_source=chance.choice([MAIN, SIDE, AGENT, None]),
                agent_name=chance.choice(["main", "explorer"]),
                inference_geo=chance.choice([None, None, "us"]),
            )
        )
    return found
