"""Anthropic's Admin API: pages, refusals, answers of another shape, and the days of a report beside what is stored.

The server answers as the API documents: days in `data`, cents as decimal text, `next_page` while `has_more`."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from claude_force.analytics import compared_sessions as reasons
from claude_force.analytics.anthropic_reports import (
    COSTS,
    USAGE,
    AdminApi,
    Billed,
    admin_api,
    billed_days,
    key_problems,
)
from claude_force.analytics.reconciled_days import (
    NOT_IN_TELEMETRY,
    NOT_OVER,
    DayComparison,
    ReconciledDays,
    reconciled_days,
)
from claude_force.clock import DAY_US, format_instant
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.errors import ReportUnavailable, SettingsError
from claude_force.network.redaction import Secret
from claude_force.settings.claude_json import Settings
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.sources import MICRO, SIDE, a_mixed_history, a_sighting, put, put_metrics

KEY = "sk-ant-admin01-very-secret-key"
FIRST_US = NOON_US // DAY_US * DAY_US
CENT = 10_000_000


def a_day(number: int, *results: dict[str, Any]) -> dict[str, Any]:
    """A day of a report."""
    starts, ends = (format_instant(FIRST_US + (number + more) * DAY_US, UTC) for more in (0, 1))
    return {"starting_at": starts, "ending_at": ends, "results": list(results)}


def a_cost(cents: str, **changes: Any) -> dict[str, Any]:
    """An item of the cost report."""
    unknown = dict.fromkeys(("context_window", "cost_type", "description", "model", "service_tier", "token_type"))
    return {"amount": cents, "currency": "USD", "workspace_id": None, **unknown} | changes


def a_usage(tokens: int, **changes: Any) -> dict[str, Any]:
    """An item of the usage report, with five times as many tokens, and three web searches."""
    return {
        "uncached_input_tokens": tokens,
        "output_tokens": tokens,
        "cache_read_input_tokens": tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens, "ephemeral_1h_input_tokens": tokens},
        "server_tool_use": {"web_search_requests": 3},
        "model": None,
    } | changes


@pytest.fixture
def api(httpserver: HTTPServer) -> AdminApi:
    """A local server in place of Anthropic's."""
    return AdminApi(httpserver.url_for("").rstrip("/"), Secret(KEY))


def answer(
    httpserver: HTTPServer, path: str, *days: dict[str, Any], page: str | None = None, more: str | None = None
) -> None:
    """Let one page of a report be answered, if it is asked for as documented."""
    asked = {"starting_at": "2025-11-01T00:00:00Z", "ending_at": "2025-11-04T00:00:00Z", "bucket_width": "1d"}
    httpserver.expect_request(
        path,
        method="GET",
        query_string=asked | {"limit": "31"} | ({"page": page} if page else {}),
        headers={"x-api-key": KEY, "anthropic-version": "2023-06-01"},
    ).respond_with_json({"data": list(days), "has_more": more is not None, "next_page": more})


def three_days(api: AdminApi) -> dict[int, Billed]:
    """What is billed for three days."""
    return billed_days(api, FIRST_US, FIRST_US + 3 * DAY_US)


def test_all_pages_of_both_reports_are_added_up(httpserver: HTTPServer, api: AdminApi) -> None:
    """By day, to the nano-dollar; a day without an item cost nothing, and one that is in no report is not known."""
    answer(httpserver, COSTS, a_day(0, a_cost("123.45"), a_cost("0.0000001")), a_day(1), more="page_2")
    answer(httpserver, COSTS, a_day(1, a_cost("7")), page="page_2")
    answer(httpserver, USAGE, a_day(0, a_usage(10), a_usage(1, server_tool_use=None)), more="page_b")
    answer(httpserver, USAGE, a_day(2, a_usage(2, cache_creation=None)), page="page_b")
    assert three_days(api) == {
        FIRST_US: Billed(1_234_500_001, 55, 3),
        FIRST_US + DAY_US: Billed(70_000_000),
        FIRST_US + 2 * DAY_US: Billed(None, 6, 3),
    }


REFUSALS = {
    401: "localhost does not know the key of performance.admin_api_key; an Admin API key begins with sk-ant-admin",
    403: "localhost does not let this key read reports; an admin of the organization makes one that may",
    404: "localhost has no such report; see performance.admin_api_url",
    429: "localhost was asked too often (429); ask again in 17 seconds",
    500: "localhost answered 500: no *** here",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_one_line_without_the_key(httpserver: HTTPServer, api: AdminApi, status: int) -> None:
    """Also if the service quotes the key; with the remedy, and the wait that was asked for."""
    error = {"type": "error", "error": {"type": "refused", "message": f"no {KEY} here"}}
    httpserver.expect_request(COSTS).respond_with_json(error, status=status, headers={"Retry-After": "17"})
    with pytest.raises(ReportUnavailable) as raised:
        three_days(api)
    assert str(raised.value).startswith(REFUSALS[status])
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"<html>", b"{}", b'{"data": {}, "has_more": false}', b'{"data": []}',
        json.dumps({"data": [{}], "has_more": False}).encode(),
        json.dumps({"data": [7], "has_more": False}).encode(),
        json.dumps({"data": [a_day(0, a_cost("free"))], "has_more": False}).encode(),
        json.dumps({"data": [a_day(0, a_cost("NaN"))], "has_more": False}).encode(),
        json.dumps({"data": [a_day(0, a_cost("5", currency="EUR"))], "has_more": False}).encode(),
        json.dumps({"data": [a_day(0, {"amount": "5"})], "has_more": False}).encode(),
        json.dumps({"data": [a_day(0) | {"starting_at": "soon"}], "has_more": False}).encode(),
        json.dumps({"data": [], "has_more": True, "next_page": None}).encode(),
        json.dumps({"data": [], "has_more": True, "next_page": "again"}).encode(),
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_no_cost_of_zero(httpserver: HTTPServer, api: AdminApi, content: bytes) -> None:
    """It is an error, as are pages that do not end."""
    httpserver.expect_request(COSTS).respond_with_data(content, content_type="application/json")
    with pytest.raises(ReportUnavailable, match="is not what Anthropic documents"):
        three_days(api)


def test_nobody_there_is_a_line_too() -> None:
    """Without a server at the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ReportUnavailable, match="nobody listens on port"):
            three_days(AdminApi(url, Secret(KEY)))


def test_the_key_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    """Never from claude.json itself; without one there is no Admin API. What it carries is secret."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    environment = {"ADMIN": KEY}
    by_variable = Settings(admin_api_key="${ADMIN}")
    expected = AdminApi("https://api.anthropic.com", Secret(KEY))
    assert admin_api(Settings(), environment, tmp_path) is None
    assert admin_api(by_variable, environment, tmp_path) == expected
    assert admin_api(Settings(admin_api_key_file="key"), {}, tmp_path) == expected
    wrong = {
        "must not be in claude.json": Settings(admin_api_key=KEY),
        "needs the variable ADMIN": replace(by_variable, admin_api_url="https://gateway.test"),
        "must begin with https://": replace(by_variable, admin_api_url="http://gateway.test"),
    }
    for text, settings in wrong.items():
        with pytest.raises(SettingsError, match=text) as raised:
            admin_api(settings, {}, tmp_path)
        assert KEY not in str(raised.value)
    assert key_problems(by_variable, {}, tmp_path) == ([], [])
    assert len(key_problems(Settings(admin_api_key=KEY), {}, tmp_path).secrets) == 1


def days(store: Store, billed: dict[int, Billed] | None = None, **chosen: Any) -> ReconciledDays:
    """The days of what is stored, as of a day much later."""
    return reconciled_days(store.database, Filter(**chosen), NOON_US + 365 * DAY_US, billed)


def differences(day: DayComparison) -> dict[str, tuple[int, int | None]]:
    """The differences of a day by reason: micro-dollars and requests."""
    return {each.reason: ((each.cost_nanousd or 0) // MICRO, each.requests) for each in day.differences}


@pytest.mark.parametrize("seed", range(2))
def test_each_day_has_the_sums_of_its_executions(store: Store, seed: int) -> None:
    """As plain Python adds them up, by source; the period is made of whole days (UTC)."""
    history = a_mixed_history(seed)
    put(store, *history)
    window = Window(NOON_US + 3 * DAY_US, NOON_US + 9 * DAY_US)
    for found, first, last in ((days(store), 0, 365), (days(store, window=window), 3, 9)):
        by_day: dict[int, list[Any]] = {}
        for each in history:
            by_day.setdefault((each.execution.timestamp_us - FIRST_US) // DAY_US, []).append(each)
        assert [(day.day_us - FIRST_US) // DAY_US for day in found.days] == [
            number for number in sorted(by_day) if first <= number <= last
        ]
        for day in found.days:
            own = by_day[(day.day_us - FIRST_US) // DAY_US]
            costs = [each.execution.cost_nanousd or 0 for each in own]
            heard = [each.execution.cost_nanousd or 0 for each in own if each.by_telemetry]
            assert (day.stored.cost_nanousd, day.telemetry.cost_nanousd) == (sum(costs), sum(heard))
            assert day.stored.executions == len(own)


def test_what_anthropic_bills_is_compared_with_all_of_the_store(store: Store) -> None:
    """Of its own models: also with executions that programs recorded, not with those that another seller bills."""
    put(store, a_sighting("s", "transcript", micros=100), a_sighting("s", "event", micros=20, query_source=SIDE))
    others = {"by-sdk": {}, "bedrock": {"provider": "bedrock"}, "gpt": {"model": "gpt-5"}}
    store.add(
        an_execution(
            source="tracker", workflow_id=name, **{"model": "claude-sonnet-4-5", "cost_nanousd": 7 * MICRO} | more
        )
        for name, more in others.items()
    )
    put_metrics(store, "s", 1)
    found = days(store, {FIRST_US: Billed(150 * MICRO), FIRST_US + DAY_US: Billed(40 * MICRO, 5, 0)})
    assert [day.missing_nanousd for day in found.days] == [23 * MICRO, 40 * MICRO]
    assert differences(found.days[0]) == {
        reasons.SIDE_REQUESTS: (20, 1), NOT_IN_TELEMETRY: (100, 1), reasons.UNSEEN: (23, None),
    }  # fmt: skip
    assert (found.missing_nanousd, found.compared) == (63 * MICRO, 2)
    assert (found.exceeds(0.0, 62 * MICRO), found.exceeds(0.0, 63 * MICRO)) == (True, False)
    named = days(store, {FIRST_US: Billed(150 * MICRO)}, agents=("python-expert",))
    assert [(day.control and day.control.name) for day in named.days] == ["telemetry"]


def test_a_day_that_is_not_over_is_not_compared(store: Store) -> None:
    """Its bill is not complete."""
    put(store, a_sighting("s", "transcript", micros=100))
    found = reconciled_days(store.database, Filter(), NOON_US + 1, {FIRST_US: Billed(CENT)})
    assert [(day.missing_nanousd, day.unknown_reason) for day in found.days] == [(None, NOT_OVER)]
    assert found.to_dict()["difference"] is None


def test_metrics_of_a_day_are_compared_with_what_telemetry_saw(store: Store) -> None:
    """Without a bill."""
    put(store, a_sighting("s", "transcript", "event", micros=100), a_sighting("s", "transcript", micros=5))
    put_metrics(store, "s", 130)
    put_metrics(store, "t", 20)
    (day,) = days(store).days
    assert (day.control and day.control.name, day.missing_nanousd) == ("metrics", 50 * MICRO)


def test_cents_are_decimal(httpserver: HTTPServer, api: AdminApi) -> None:
    """No float comes between: the sum of many small amounts is exact."""
    amounts = [f"0.{number:04}" for number in range(1, 500)]
    answer(httpserver, COSTS, a_day(0, *map(a_cost, amounts)))
    answer(httpserver, USAGE)
    assert three_days(api)[FIRST_US].cost_nanousd == sum(map(Decimal, amounts)) * CENT
