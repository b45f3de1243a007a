"""Ledgers of sessions beside their executions, on both engines: which are compared, and what is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from claude_force.analytics.compared_sessions import (
    ARCHIVED,
    COPY,
    UNPRICED_BY_CLAUDE_CODE,
    UNPRICED_BY_US,
    model_difference,
)
from claude_force.analytics.groups import RowChoice
from claude_force.analytics.reconciliation import Reconciliation, reconciliation
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.billed_steps import Step
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window
from tests.builders import an_execution
from tests.transcripts import (
    AGENT,
    FORK,
    MODEL,
    SESSION,
    START,
    Ingester,
    Line,
    Talk,
    agent_file,
    copied,
    cost_state,
    main_file,
    model_usage,
    put,
)

HAIKU = "claude-haiku-4-5-20251001"
START_US = int(START.timestamp() * 1_000_000)
CENT = 10_000_000
LEDGER = cost_state(0.05, {MODEL: model_usage(0.04), HAIKU: model_usage(0.01)})


@pytest.fixture
def ingester(store: Store, tmp_path: Path) -> Ingester:
    """Ingester over the folder of the transcripts."""
    return Ingester(store, tmp_path / "rejected.jsonl")


def conversation(cents: int = 2, responses: int = 1, **constants: Any) -> Talk:
    """A session whose responses cost this much each, as old versions wrote into their lines."""
    talk = Talk(constants=constants)
    talk.prompt()
    for number in range(1, responses + 1):
        talk.respond(f"msg_{number}", costUSD=cents / 100)
    return talk


def report(ingester: Ingester, limit: int | None = None, **chosen: Any) -> Reconciliation:
    """The report on what is stored."""
    return reconciliation(ingester.store.database, Filter(**chosen), UTC, RowChoice(limit=limit))


def differences(ingester: Ingester, **chosen: Any) -> dict[str, int | str | None]:
    """The difference of each session in cents, or why it is unknown."""
    found: dict[str, int | str | None] = {}
    for session in report(ingester, **chosen).sessions:
        difference = session.missing_nanousd
        found[session.session_id] = session.unknown_reason if difference is None else difference // CENT
    return found


def read(ingester: Ingester, tmp_path: Path, *lines: Line, session: str = SESSION) -> None:
    """Read the transcript of a session with these lines."""
    put(main_file(tmp_path / "projects", session), list(lines))
    ingester.ingest(tmp_path / "projects")
    assert ingester.report.rejected == 0


def test_what_the_ledger_has_more_was_spent_outside_of_transcripts(ingester: Ingester, tmp_path: Path) -> None:
    """As a whole and by model; a model of which no transcript knows is outside with all it cost."""
    read(ingester, tmp_path, *conversation(responses=2).lines, LEDGER)
    found = report(ingester)
    assert (found.count, found.compared, found.control_nanousd, found.stored_nanousd) == (1, 1, 5 * CENT, 4 * CENT)
    (session,) = found.sessions
    assert {each.model: model_difference(session, each) for each in session.models} == {MODEL: 0, HAIKU: CENT}
    assert (found.alone, found.unknown, found.provisional) == ([], {}, 0)


def test_reading_a_transcript_again_changes_nothing(ingester: Ingester, tmp_path: Path) -> None:
    """Nor does a copy of it at another place, with the same ledger or an older one."""
    lines = [*conversation(responses=2).lines, LEDGER]
    read(ingester, tmp_path, *lines)
    before = report(ingester)
    for copy in (lines, [*lines[:2], cost_state(0.02)]):
        put(main_file(tmp_path / "copies", SESSION, f"copy-{len(copy)}"), copy)
        ingester.ingest(tmp_path / "copies")
        assert report(ingester) == before


def test_sub_agents_belong_to_the_ledger_of_their_session(ingester: Ingester, tmp_path: Path) -> None:
    """Also those of its workflow runs; an unfinished usage is counted and named."""
    for number, workflow in ((1, None), (2, "run-1")):
        agent = Talk(agent_id=f"{AGENT}{number}")
        agent.prompt("Dig")
        agent.respond(f"msg_S{number}", costUSD=0.005)
        put(agent_file(tmp_path / "projects", f"{AGENT}{number}", workflow=workflow), agent.lines)
    read(ingester, tmp_path, *conversation(responses=2).lines, LEDGER)
    assert differences(ingester) == {SESSION: 0}
    assert report(ingester).provisional == 2


def test_a_resumed_session_has_the_ledger_of_its_last_end(ingester: Ingester, tmp_path: Path) -> None:
    """Until that is written, what the session has done since its first end is not compared."""
    talk = conversation(responses=2)
    read(ingester, tmp_path, *talk.lines, LEDGER)
    talk.prompt("Go on.")
    talk.respond("msg_3", costUSD=0.07)
    first = [*talk.lines[:3], LEDGER, *talk.lines[3:]]
    read(ingester, tmp_path, *first)
    assert differences(ingester) == {SESSION: 1}
    read(ingester, tmp_path, *first, cost_state(0.14, {MODEL: model_usage(0.14)}))
    assert differences(ingester) == {SESSION: 3}
    assert [each.model for each in report(ingester).sessions[0].models] == [MODEL]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("original_first", [True, False])
def test_a_fork_is_not_compared(ingester: Ingester, tmp_path: Path, together: bool, original_first: bool) -> None:
    """Its ledger begins with what its original cost, and its copies count there: the difference would be that cost."""
    original = conversation(responses=2)
    fork = Talk(session=FORK, seconds=10)
    fork.respond("msg_9", costUSD=0.01)
    files = {
        SESSION: [*original.lines, LEDGER],
        FORK: [*copied(original.lines, new_uuids=True, sessionId=FORK), *fork.lines, cost_state(0.06, session=FORK)],
    }
    for age, session in enumerate([SESSION, FORK] if original_first else [FORK, SESSION]):
        put(main_file(tmp_path / "projects", session), files[session], age=100 - age)
        if not together:
            ingester.ingest(tmp_path / "projects")
    ingester.ingest(tmp_path / "projects")
    copy, other = (FORK, SESSION) if original_first else (SESSION, FORK)
    assert differences(ingester) == {other: 1, copy: COPY}
    found = report(ingester)
    assert (found.count, found.compared, found.unknown) == (2, 1, {COPY: 1})
    assert found.sessions[1].original_id == other


def test_a_side_without_all_its_prices_is_not_compared(ingester: Ingester, tmp_path: Path) -> None:
    """Neither ours nor that of Claude Code; unknown is never a difference of zero."""
    talk = conversation()
    talk.respond("msg_new", message={"model": "claude-next-9"})
    read(ingester, tmp_path, *talk.lines, LEDGER)
    assert differences(ingester) == {SESSION: UNPRICED_BY_US}
    other = conversation(sessionId=FORK)
    other.lines[-1]["message"]["id"] = "msg_other"
    read(
        ingester,
        tmp_path,
        *copied(other.lines, new_uuids=True, requestId="req_other"),
        cost_state(0.02, session=FORK, hasUnknownModelCost=True),
        session=FORK,
    )
    assert differences(ingester) == {SESSION: UNPRICED_BY_US, FORK: UNPRICED_BY_CLAUDE_CODE}
    found = report(ingester)
    assert (found.compared, found.control_nanousd, found.stored_nanousd) == (0, 0, 0)
    assert found.to_dict()["difference"] is None


def test_archived_executions_are_not_taken_for_spending_outside(ingester: Ingester, tmp_path: Path) -> None:
    """What is archived has no session any more."""
    read(ingester, tmp_path, *conversation(responses=2).lines, LEDGER)
    store = ingester.store
    assert store.archive(list(queries.iterate_rows(store.database, Filter())), START_US) == 2
    assert differences(ingester) == {SESSION: ARCHIVED}


def test_a_session_is_in_the_periods_in_which_a_source_saw_it(ingester: Ingester, tmp_path: Path) -> None:
    """Of its executions and of its ledger, and is compared as a whole; with one source it is only named."""
    talk = conversation(responses=2)
    talk.seconds = 2 * 86_400
    talk.prompt("Go on.")
    read(ingester, tmp_path, *talk.lines, LEDGER)
    store = ingester.store
    store.add([an_execution(source="claude-code", workflow_id=name, timestamp_us=START_US) for name in ("a", "b")])
    late, early = (Window(START_US + day * DAY_US, START_US + (day + 1) * DAY_US) for day in (2, 0))
    assert differences(ingester, window=late) == differences(ingester) == {SESSION: 1}
    assert differences(ingester, window=early) == {SESSION: 1}
    assert (report(ingester, window=late).alone, report(ingester, window=early).alone) == ([], ["a", "b"])
    between = Window(START_US + DAY_US, START_US + 2 * DAY_US)
    assert differences(ingester, window=between) == {}


def test_names_choose_sessions_and_not_parts_of_them(ingester: Ingester, tmp_path: Path) -> None:
    """A session with one matching execution is compared with all of its executions."""
    read(ingester, tmp_path, *conversation(responses=2).lines, LEDGER)
    ingester.store.add([an_execution(timestamp_us=START_US, agent_name="other", project="/elsewhere")])
    for chosen in ({"projects": ("engine",)}, {"agents": ("main",)}, {"models": (MODEL,)}, {"workflows": (SESSION,)}):
        assert differences(ingester, **chosen) == {SESSION: 1}
    assert differences(ingester, projects=("/elsewhere",)) == {}


FIRST = LedgerEntry("", "", START_US + HOUR_US, 0, 0, 0, 0, 0, 0, 0)


def a_response(cents: int | None, **changes: Any) -> ExecutionMetrics:
    """A response of a session before its ledger."""
    cost = None if cents is None else cents * CENT
    return an_execution(timestamp_us=START_US, source="claude-code", cost_nanousd=cost, **changes)


def test_runs_that_a_session_started_belong_to_its_ledger(store: Store, ingester: Ingester) -> None:
    """The executions of a workflow run keep the session that started it; those of another session do not count."""
    runs = ((SESSION, None, 1), ("run-1", SESSION, 2), ("run-2", SESSION, 4), (FORK, None, 8), ("run-3", FORK, 16))
    store.add(a_response(cents, workflow_id=workflow, session_id=session) for workflow, session, cents in runs)
    store.ingest([], [], [], [(FIRST._replace(session_id=SESSION, cost_nanousd=10 * CENT),)])
    assert differences(ingester) == {SESSION: 3}
    assert report(ingester).alone == [FORK]


def test_the_steps_of_a_response_count_for_their_own_models(store: Store, ingester: Ingester) -> None:
    """An advisor's step is in the ledger under its model, and so are our figures."""
    steps = (
        Step("message", MODEL, 10, 5, cost_nanousd=CENT),
        Step("advisor_message", HAIKU, 10, 5, cost_nanousd=2 * CENT),
    )
    store.add([a_response(3, workflow_id=SESSION, model=MODEL, input_tokens=20, output_tokens=10, steps=steps)])
    entries = ((3, ""), (2, HAIKU), (1, MODEL))
    ledger = tuple(FIRST._replace(session_id=SESSION, model=model, cost_nanousd=n * CENT) for n, model in entries)
    store.ingest([], [], [], [ledger])
    (session,) = report(ingester).sessions
    assert session.missing_nanousd == 0
    assert {each.model: model_difference(session, each) for each in session.models} == {MODEL: 0, HAIKU: 0}


def test_the_largest_difference_comes_first(store: Store, ingester: Ingester) -> None:
    """Also if the ledger has less; what cannot be compared comes last, and the sums are over all sessions."""
    costs = {"a": 1, "b": -9, "c": 4, "d": None, "e": 4}
    for name, cents in costs.items():
        store.add([a_response(None if cents is None else 10, workflow_id=name)])
        ledger = FIRST._replace(session_id=name, cost_nanousd=(10 + (cents or 0)) * CENT)
        store.ingest([], [], [], [(ledger,)])
    found = report(ingester, limit=3)
    assert [session.session_id for session in found.sessions] == ["b", "c", "e"]
    assert (found.count, found.compared, found.control_nanousd - found.stored_nanousd) == (5, 4, 0)
    assert replace(report(ingester), sessions=[], starts={}) == replace(found, sessions=[], starts={})
