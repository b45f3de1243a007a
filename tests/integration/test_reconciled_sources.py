"""Sessions that several sources saw, on both engines: every sum against plain Python over the same rows, and the reason
of each difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from claude_force.alerts.decision import Reason
from claude_force.analytics import compared_sessions as reasons
from claude_force.analytics.anthropic_reports import COSTS, USAGE
from claude_force.analytics.compared_sessions import ONE_SOURCE, SessionComparison, is_side_request
from claude_force.analytics.reconciliation import Reconciliation, reconciliation, request_groups
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.queries import Filter
from claude_force.database.queries.reconciliation import QUIET_US, Figures
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.telemetry.telemetry_pass import store_signals
from claude_force.scheduler.jobs import reconcile_once
from claude_force.settings.home import home_at
from claude_force.time_windows import Window
from tests.builders import NOON_US
from tests.measurements import measured
from tests.sighted import PRICES, request
from tests.sources import (
    AGENT,
    MAIN,
    MICRO,
    SIDE,
    Seen,
    a_mixed_history,
    a_sighting,
    put,
    put_ledger,
    put_metrics,
    put_run,
)
from tests.transcripts import SESSION, START, Ingester, Talk, Tokens, cost_state, main_file
from tests.transcripts import put as transcript_file

S = "1f4c5a0e"


def report(store: Store, **chosen: object) -> Reconciliation:
    """The report on what is stored."""
    return reconciliation(store.database, Filter(**chosen), UTC)  # type: ignore[arg-type]


def only(store: Store) -> SessionComparison:
    """The only session of the store."""
    (session,) = report(store, sessions=(S,)).sessions
    return session


def differences(session: SessionComparison) -> dict[str, tuple[int | None, int | None]]:
    """The differences of a session by reason: micro-dollars and requests."""
    return {
        each.reason: (None if each.cost_nanousd is None else each.cost_nanousd // MICRO, each.requests)
        for each in session.differences
    }


def oracle(seen: Iterable[Seen]) -> tuple[int, int, int, int]:
    """Requests, priced requests, cost and tokens of some requests."""
    every = list(seen)
    costs = [each.execution.cost_nanousd for each in every if each.execution.cost_nanousd is not None]
    return len(every), len(costs), sum(costs), sum(each.execution.total_tokens or 0 for each in every)


def sums(found: Figures) -> tuple[int, int, int, int]:
    """The same of figures."""
    tokens = found.input_tokens + found.output_tokens + found.cache_read_tokens + found.cache_write_tokens
    return found.executions, found.priced, found.cost_nanousd, tokens


@pytest.mark.parametrize("seed", range(3))
def test_each_source_has_its_sums(store: Store, seed: int) -> None:
    """As plain Python adds them up: by source, what was reported, and what one source alone saw."""
    history = a_mixed_history(seed)
    put(store, *history)
    for session in report(store).sessions:
        own = [each for each in history if each.session == session.session_id]
        heard = [each for each in own if each.by_telemetry]
        assert sums(session.stored) == oracle(own)
        assert sums(session.transcript) == oracle(each for each in own if each.in_transcript)
        assert sums(session.telemetry) == oracle(heard)
        said = [each.reported for each in heard if each.reported is not None]
        assert (session.telemetry.reported, session.telemetry.reported_nanousd) == (len(said), sum(said))
        assert_differences(session, own)


def assert_differences(session: SessionComparison, own: list[Seen]) -> None:
    """The differences of a session are those of its requests."""
    found = {each.reason: each for each in session.differences}
    alone = [each for each in own if each.by_telemetry and not each.in_transcript]
    first_us = min((each.execution.timestamp_us for each in own if each.by_telemetry), default=None)
    unheard = [each for each in own if not each.by_telemetry and first_us is not None]
    expected = {
        reasons.SIDE_REQUESTS: [each for each in alone if is_side_request(each.query_source)],
        reasons.ONLY_TELEMETRY: [each for each in alone if not is_side_request(each.query_source)],
        reasons.TELEMETRY_LOST: [each for each in unheard if each.execution.timestamp_us >= (first_us or 0)],
        reasons.BEFORE_TELEMETRY: [each for each in unheard if each.execution.timestamp_us < (first_us or 0)],
        reasons.UNKNOWN_PRICE: [each for each in own if each.execution.cost_nanousd is None],
    }
    for reason, requests in expected.items():
        assert (reason in found) == bool(requests)
        if requests:
            assert found[reason].requests == len(requests)
    for reason in (reasons.SIDE_REQUESTS, reasons.ONLY_TELEMETRY):
        if reason in found:
            costs = [each.execution.cost_nanousd for each in expected[reason]]
            instead = [each.reported or 0 for each in expected[reason] if each.execution.cost_nanousd is None]
            assert found[reason].cost_nanousd == sum(cost or 0 for cost in costs) + sum(instead)


@pytest.mark.parametrize("seed", range(3))
def test_prices_and_what_is_in_no_source_make_up_what_is_missing(store: Store, seed: int) -> None:
    """Whichever control a session has, to the nano-dollar; but for the rounding that is not shown."""
    history = [each for each in a_mixed_history(seed) if each.execution.cost_nanousd is not None]
    put(store, *history)
    end_us = max(each.execution.timestamp_us for each in history)
    put_ledger(store, "session-0", 5000, end_us)
    put_run(store, "run", "session-1", 5000, end_us)
    put_metrics(store, "session-2", 5000)
    found = {session.session_id: session for session in report(store).sessions}
    controls = [found[f"session-{number}"].control for number in range(4)]
    assert [control and control.name for control in controls] == ["ledger", "run", "metrics", "telemetry"]
    parts = {reasons.PRICES, reasons.RESIDENCY, reasons.UNSEEN, reasons.OUTSIDE}
    for session in found.values():
        named = sum(each.cost_nanousd or 0 for each in session.differences if each.reason in parts)
        assert session.missing_nanousd is not None
        assert abs(named - session.missing_nanousd) <= 2 * MICRO // 2 * session.compared.executions


def test_a_web_search_is_named_as_a_side_request(store: Store) -> None:
    """A session of three responses with a search that telemetry alone saw: the ledger has it, so nothing is missing,
    and the difference between transcript and telemetry is named with its amount."""
    put(
        store,
        *(a_sighting(S, "transcript", "event", micros=cost, at_us=cost) for cost in (5404, 4124, 1926)),
        a_sighting(S, "event", micros=1926, at_us=10, query_source=SIDE),
    )
    put_ledger(store, S, 13_380, NOON_US + HOUR_US)
    session = only(store)
    assert session.missing_nanousd == 0
    assert differences(session) == {reasons.SIDE_REQUESTS: (1926, 1)}
    assert (session.transcript.cost_nanousd, session.telemetry.cost_nanousd) == (11_454 * MICRO, 13_380 * MICRO)
    found = report(store)
    assert found.reasons == {reasons.SIDE_REQUESTS: (1, 1926 * MICRO, 1)}
    assert not found.exceeds(0.0, 0)
    (first, *others) = request_groups(session)
    assert (first.seen_by, first.agent, len(others)) == ("telemetry", f"{SIDE} (side request)", 1)


@pytest.mark.parametrize("transcript_first", [True, False])
def test_a_real_web_search_is_named(store: Store, tmp_path: Path, transcript_first: bool) -> None:
    """A transcript with its ledger and the records of telemetry, read in either order: one response that both have, and
    the search, with its fee, which telemetry alone has. Nothing is missing."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1", Tokens(1000, 1000, 0, 0, 0))
    transcript_file(main_file(tmp_path / "projects"), [*talk.lines, cost_state(0.037)])
    known: dict[str, Any] = {
        "session_id": SESSION,
        "cache_read_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 1000,
    }
    at_us = int(START.timestamp() * 1_000_000)
    records = [
        request(**known, request_id="req_1", at_us=at_us + 1, input_tokens=1000, cost_nanousd=18_000_000),
        request(**known, request_id="req_s", at_us=at_us + 2, input_tokens=4000, cost_nanousd=19_000_000,
                model="claude-haiku-4-5", query_source=SIDE),
    ]  # fmt: skip
    readers: list[Callable[[], object]] = [
        lambda: Ingester(store, tmp_path / "rejected.jsonl", PRICES).ingest(tmp_path / "projects"),
        lambda: store_signals(
            store.database, records, IngestOptions(PRICES, UTC, "here", RejectLog(tmp_path / "bad"), at_us)
        ),
    ]
    for read in readers if transcript_first else reversed(readers):
        read()
    (session,) = report(store).sessions
    assert (session.control and session.control.name, session.missing_nanousd) == ("ledger", 0)
    assert differences(session) == {reasons.SIDE_REQUESTS: (19_000, 1)}
    assert session.transcript.cost_nanousd == 18_000_000
    assert (session.telemetry.executions, session.telemetry.reported_nanousd) == (2, 37_000_000)
    (search, *_) = request_groups(session)
    assert (search.seen_by, search.agent, search.model) == (
        "telemetry", f"{SIDE} (side request)", "claude-haiku-4-5",
    )  # fmt: skip


def test_without_telemetry_the_search_is_only_known_to_be_missing(store: Store) -> None:
    """The same session: the amount is outside of transcripts, and above a tolerance of nothing."""
    put(store, *(a_sighting(S, "transcript", micros=cost, at_us=cost) for cost in (5404, 4124, 1926)))
    put_ledger(store, S, 13_380, NOON_US + HOUR_US)
    assert differences(only(store)) == {reasons.OUTSIDE: (1926, None)}
    found = report(store)
    assert (found.exceeds(0.0, 0), found.exceeds(0.2, 0), found.exceeds(0.0, 1926 * MICRO)) == (True, False, False)


def test_responses_that_telemetry_lost_are_told_from_those_before_it(store: Store) -> None:
    """Telemetry came from the second response on, and did not have the fourth."""
    put(
        store,
        a_sighting(S, "transcript", micros=10, at_us=1),
        a_sighting(S, "transcript", "event", micros=20, at_us=2),
        a_sighting(S, "transcript", "span", micros=40, at_us=3),
        a_sighting(S, "transcript", micros=80, at_us=4),
    )
    assert differences(only(store)) == {reasons.TELEMETRY_LOST: (80, 1), reasons.BEFORE_TELEMETRY: (10, 1)}


def test_other_prices_of_the_same_tokens_are_named(store: Store) -> None:
    """With a residency as that; the rounding of Claude Code to micro-dollars is none."""
    put(
        store,
        a_sighting(S, "transcript", "event", micros=100, reported=150),
        a_sighting(S, "transcript", "event", micros=100, reported=110, at_us=1, inference_geo="us"),
        a_sighting(S, "transcript", "event", micros=0, reported=0, at_us=2, cost_nanousd=400),
    )
    session = only(store)
    assert differences(session) == {reasons.PRICES: (49, 2), reasons.RESIDENCY: (10, 2)}
    assert (session.control and session.control.name, session.missing_nanousd) == ("telemetry", 59_600)


def test_an_unknown_price_is_never_a_difference_of_zero(store: Store) -> None:
    """Its session is not compared, and what Claude Code reported is named."""
    put(store, a_sighting(S, "transcript", "event", micros=None, reported=70), a_sighting(S, "event", at_us=1))
    session = only(store)
    assert (session.missing_nanousd, session.unknown_reason) == (None, reasons.UNPRICED_BY_US)
    assert differences(session)[reasons.UNKNOWN_PRICE] == (70, 1)
    assert report(store).to_dict()["difference"] is None


def test_a_price_that_claude_code_gave_is_named(store: Store) -> None:
    """Where we have none: its figure is in the store, and compared, but no price of ours confirms it."""
    put(store, a_sighting(S, "transcript", "event", micros=70, price_version=None), a_sighting(S, "event", at_us=1))
    session = only(store)
    assert (session.missing_nanousd, differences(session)[reasons.UNKNOWN_PRICE]) == (0, (70, 1))


def test_results_of_runs_are_not_added_up(store: Store) -> None:
    """Each is the total of the session so far: the last one counts. One that crashed reports nothing."""
    put(store, *(a_sighting(S, "transcript", micros=100, at_us=number * MINUTE_US) for number in range(3)))
    for number, micros in enumerate((100, 200, 300, 0)):
        put_run(store, f"run-{number}", S, micros, NOON_US + number * MINUTE_US - 1, 2)
    session = only(store)
    assert (session.control and session.control.name, session.missing_nanousd) == ("run", 0)
    put_ledger(store, S, 310, NOON_US + HOUR_US)
    session = only(store)
    assert (session.control and session.control.name, session.missing_nanousd) == ("ledger", 10 * MICRO)


def test_metrics_show_events_that_were_lost(store: Store) -> None:
    """Metrics count what telemetry saw, not what was before it; with metrics alone, what transcripts have."""
    put(
        store,
        a_sighting(S, "transcript", micros=500, at_us=1),
        a_sighting(S, "transcript", "event", micros=20, at_us=2),
        a_sighting("other", "transcript", micros=30),
    )
    put_metrics(store, S, 90)
    put_metrics(store, "other", 10)
    put_metrics(store, "other", 25, NOON_US + DAY_US)
    found = {session.session_id: session for session in report(store).sessions}
    assert {name: session.missing_nanousd for name, session in found.items()} == {S: 70 * MICRO, "other": 5 * MICRO}
    assert differences(found[S])[reasons.UNSEEN] == (70, None)


def test_a_session_of_one_source_is_named_and_not_compared(store: Store) -> None:
    """A transcript without anything beside it; a call of the SDK is not compared with Claude Code."""
    put(store, a_sighting("alone", "transcript"), a_sighting(S, "transcript", "event"), a_sighting(S, "sdk", at_us=1))
    found = report(store)
    assert (found.alone, [session.session_id for session in found.sessions]) == (["alone"], [S])
    assert (found.sessions[0].missing_nanousd, found.sessions[0].sdk.executions) == (0, 1)
    (asked,) = report(store, sessions=("alone",)).sessions
    assert (asked.unknown_reason, asked.missing_nanousd) == (ONE_SOURCE, None)


def test_a_session_counts_as_a_whole_beyond_the_period(store: Store) -> None:
    """Also what it did weeks before, as long as it was never silent for longer than transcripts are kept."""
    days = (0, 20, 45, 70)
    put(store, *(a_sighting(S, "transcript", micros=100, at_us=day * DAY_US) for day in days))
    put_ledger(store, S, 400, NOON_US + 70 * DAY_US + HOUR_US)
    for day in days:
        window = Window(NOON_US + day * DAY_US, NOON_US + day * DAY_US + HOUR_US)
        (session,) = report(store, window=window).sessions
        assert (session.stored.executions, session.missing_nanousd) == (4, 0)
    assert max(later - earlier for earlier, later in pairwise(days)) * DAY_US < QUIET_US


@pytest.mark.parametrize("seed", range(2))
def test_a_period_has_the_sessions_of_its_executions(store: Store, seed: int) -> None:
    """And of its metrics and runs; names choose among the executions."""
    history = a_mixed_history(seed, 40)
    put(store, *history)
    put_metrics(store, "measured", 5, NOON_US + DAY_US)
    put_run(store, "run", "ran", 5, NOON_US + DAY_US)
    window = Window(NOON_US + DAY_US - DAY_US // 2, NOON_US + 3 * DAY_US)
    inside = [each for each in history if window.start_us <= each.execution.timestamp_us < window.end_us]  # type: ignore[operator]
    found = report(store, window=window)
    names = {session.session_id for session in found.sessions} | set(found.alone)
    assert names == {each.session for each in inside} | {"measured", "ran"}
    found = report(store, window=window, agents=("main",))
    names = {session.session_id for session in found.sessions} | set(found.alone)
    assert names == {each.session for each in inside if each.execution.agent_name == "main"}


def test_an_alert_measures_what_is_not_reconciled(store: Store) -> None:
    """In dollars, each session of the window without its sign; unknown, and not 0, while none can be compared."""
    rule = {"metric": "unreconciled_cost", "window": "24h"}
    put(store, *(a_sighting(name, "transcript", micros=10**6) for name in ("a", "b", "c")))
    (found,) = measured(store.database, rule, NOON_US + HOUR_US).values()
    assert (found.value, found.lack) == (None, Reason.NO_REFERENCE)
    put_ledger(store, "a", 1_250_000, NOON_US + MINUTE_US)
    put_ledger(store, "b", 500_000, NOON_US + MINUTE_US)
    (found,) = measured(store.database, rule, NOON_US + HOUR_US).values()
    assert found.value == 0.75
    (found,) = measured(store.database, rule, NOON_US + 3 * DAY_US).values()
    assert found.value is None


def test_the_job_of_the_scheduler_counts_what_is_not_reconciled(
    store: Store, location: str, home: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sessions of the last week, and with a key of the days as Anthropic bills them; a refusal is a remark."""
    put(store, *(a_sighting(name, "transcript", micros=10**6) for name in ("a", "b")))
    put_ledger(store, "a", 1_250_000, NOON_US + MINUTE_US)
    workspace = workspace_at(home_at(home / ".claude"), location)[0]._replace(database=store.database)
    expected = {"sessions": 1, "not_compared": 0, "unreconciled_cents": 25}
    assert reconcile_once(workspace, lambda: NOON_US + 2 * DAY_US) == (expected, ())
    monkeypatch.setenv("ADMIN_KEY", "sk-ant-admin")
    settings = replace(workspace.settings, admin_api_key="${ADMIN_KEY}", admin_api_url=httpserver.url_for(""))
    workspace = workspace._replace(settings=settings)
    httpserver.expect_oneshot_request(COSTS).respond_with_data("", status=401)
    refused = reconcile_once(workspace, lambda: NOON_US + 2 * DAY_US)
    assert (refused.counts, len(refused.remarks)) == (expected, 1)
    costs = {"starting_at": "2025-11-01T00:00:00Z", "results": [{"amount": "210", "currency": "USD"}]}
    for path, data in ((COSTS, [costs]), (USAGE, [])):
        httpserver.expect_request(path).respond_with_json({"data": data, "has_more": False, "next_page": None})
    billed = {"days": 1, "days_unreconciled_cents": 10}
    assert reconcile_once(workspace, lambda: NOON_US + 2 * DAY_US) == (expected | billed, ())


@pytest.mark.parametrize(
    ("query_source", "is_side"),
    [
        (MAIN, False), ("repl_main_thread:outputStyle:x", False), ("sdk", False), (AGENT, False), ("main", False),
        ("subagent", False), ("agent:custom", False), ("hook_agent", False), (None, False), (SIDE, True),
        ("compact", True), ("generate_session_title", True), ("a_name_of_tomorrow", True),
    ],
)  # fmt: skip
def test_what_is_no_conversation_and_no_agent_is_a_side_request(query_source: str | None, is_side: bool) -> None:
    """As Claude Code itself makes the categories; an unknown name is auxiliary."""
    assert is_side_request(query_source) is is_side
