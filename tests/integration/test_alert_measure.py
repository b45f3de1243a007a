"""What an alert measures equals a second implementation over the executions."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from claude_force.alerts.decision import Reason
from claude_force.alerts.measure import measured_nothing
from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.time_windows import Window
from tests.builders import an_execution
from tests.measurements import (
    METRICS,
    SCOPES,
    SIMPLE,
    Config,
    a_history,
    answers,
    assert_alike,
    chosen_by,
    load,
    measured,
    names_of,
    values_of,
)
from tests.profiles import sqlite_when_quick, thorough
from tests.properties.strategies import refill, utc

MOMENTS = {
    "a day of 25 hours": ("2025-11-02T22:17:05.000123", "America/New_York"),
    "an hour that comes twice": ("2025-11-02T06:30:00", "America/New_York"),
    "a day of 23 hours": ("2025-03-09T21:00:00", "America/New_York"),
    "a month with a change": ("2025-10-31T12:00:00", "Europe/Berlin"),
    "half an hour": ("2025-10-05T20:45:00", "Australia/Lord_Howe"),
    "off the hour": ("2025-12-01T18:29:59.999999", "Asia/Kolkata"),
    "midnight": ("2025-11-15T00:00:00", "UTC"),
}
"""UTC, and the zone of the calendar."""


@pytest.mark.parametrize("moment", ["a day of 25 hours", *thorough(*list(MOMENTS)[1:])])
@sqlite_when_quick
def test_every_metric_agrees_with_the_executions(moment: str, database: Database) -> None:
    """Each metric, grouped and not, with filters and over every kind of window, agrees with the second
    implementation."""
    at, zone_name = MOMENTS[moment]
    now_us, zone = utc(at), ZoneInfo(zone_name)
    history = a_history(len(moment), now_us)
    refill(database, history)
    for metric in METRICS:
        for scope in SCOPES:
            config = metric | scope
            wanted = values_of(config, history, now_us, zone)
            right = {name: (value, None if value is None else 1.0) for name, value in wanted.items()}
            assert_alike(answers(measured(database, config, now_us, zone)), right, config, 1e-9)


@pytest.mark.parametrize("scope", SCOPES[:6], ids=str)
def test_silence(scope: Config, database: Database) -> None:
    """The hours since the last execution of the rule, however long ago, ignoring future ones."""
    now_us = utc("2025-11-15T10:00:00")
    history = [record for record in a_history(9, now_us, 60) if not now_us - DAY_US <= record.timestamp_us < now_us]
    refill(database, history)
    (found,) = measured(database, {"metric": "silence_hours", "window": "1h"} | scope, now_us).values()
    times = [record.timestamp_us for record in chosen_by(scope, history) if record.timestamp_us < now_us]
    assert found.value == (pytest.approx((now_us - max(times)) / HOUR_US) if times else None)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_no_executions(metric: Config, database: Database) -> None:
    """A sum of nothing is 0; a rate of nothing is unknown, not ok. No group is measured."""
    (found,) = measured(database, metric, utc("2025-11-15T10:00:00")).values()
    is_sum = metric["metric"] in ("total_cost", "total_executions", "failed_executions", "cost_forecast")
    assert found.value == (0 if is_sum else None)
    assert found.lack == (None if is_sum else Reason.TOO_FEW)
    assert measured_nothing(load(metric)) == found
    assert measured(database, metric | {"group_by": "agent"}, utc("2025-11-15T10:00:00")) == {}


def test_unknown_costs(database: Database) -> None:
    """If no execution has a price, a cost is unknown, not 0; if some have one, it is theirs."""
    now_us = utc("2025-11-15T10:00:00")
    costs = ("total_cost", "avg_cost_per_execution", "cost_forecast")
    Store(database).add([an_execution(timestamp_us=now_us - 1, cost_nanousd=None)])
    for metric in costs:
        found = measured(database, {"metric": metric, "window": "day"}, now_us)[None]
        assert (found.value, found.lack) == (None, Reason.NO_PRICE)
    Store(database).add([an_execution(timestamp_us=now_us - 2, cost_nanousd=3 * 10**9)])
    for metric in costs[:2]:
        assert measured(database, {"metric": metric, "window": "day"}, now_us)[None].value == 3


def test_too_few_samples(database: Database) -> None:
    """A rate of fewer than `min_samples` executions is unknown; a sum is always known."""
    now_us = utc("2025-11-15T10:00:00")
    Store(database).add([an_execution(timestamp_us=now_us - 1) for _ in range(4)])
    for metric, least, known in (("success_rate", 4, True), ("success_rate", 5, False), ("total_cost", 5, True)):
        config = {"metric": metric, "window": "day", "min_samples": least}
        found = measured(database, config, now_us)[None]
        assert ((found.value is not None), found.samples) == (known, 4)
        assert found.lack is (None if known else Reason.TOO_FEW)


@sqlite_when_quick
def test_archived_executions_still_count(database: Database, tmp_path: Path) -> None:
    """Archived executions are in every sum and average, to the last digit; percentiles are at most 1 % away."""
    now_us = utc("2025-11-15T00:00:00")
    history = a_history(10, now_us, 300)
    refill(database, history)
    for age_us in (30 * DAY_US, 3 * DAY_US):
        assert archive_once(database, tmp_path / "archive", now_us, age_us).executions
        for metric in METRICS:
            # An archived execution has no branch.
            for scope in (scope for scope in SCOPES if "branch" not in scope):
                calendar = ("day", "week", "month")
                config = metric | scope | ({} if metric["window"] in calendar else {"window": "40d"})
                wanted = values_of(config, history, now_us, UTC)
                right = {name: (value, None if value is None else 1.0) for name, value in wanted.items()}
                is_rank = metric["metric"].endswith("latency_ms")
                found = answers(measured(database, config, now_us))
                assert_alike(found, right, config, 0.011 if is_rank else 1e-9)


@sqlite_when_quick
def test_silence_after_everything_was_archived(database: Database, tmp_path: Path) -> None:
    """The last execution is read from the archives, to its hour: a long silence is not a lack of data."""
    now_us = utc("2025-11-15T10:00:00")
    Store(database).add([an_execution(timestamp_us=now_us - 40 * DAY_US, agent_name=name) for name in "ab"])
    Store(database).add([an_execution(timestamp_us=now_us - 50 * DAY_US, agent_name="c")])
    archive_once(database, tmp_path / "archive", now_us, 30 * DAY_US)
    for scope, days in (({}, 40), ({"agent": "c"}, 50), ({"agent": ["b", "c"]}, 40)):
        found = measured(database, {"metric": "silence_hours", "window": "1h"} | scope, now_us)[None]
        assert found.value == pytest.approx(24 * days, abs=1)


@pytest.mark.parametrize("scope", SCOPES[:6], ids=str)
@sqlite_when_quick
def test_an_alert_agrees_with_the_summary(scope: Config, database: Database) -> None:
    """Over one period, an alert and `analytics summary --json` have the same figures under the same names."""
    now_us = utc("2025-11-15T10:07:00")
    refill(database, a_history(11, now_us))
    names = {key: tuple(map(str, names_of(given))) for key, given in scope.items()}
    window = Window(now_us - 3 * DAY_US, now_us)
    chosen = Filter(
        window, names.get("agent", ()), names.get("model", ()), (), names.get("project", ()), names.get("source", ())
    )
    if scope == {"agent": "nobody"}:
        summary = analytics.summary(database, Filter(Window(0, 1))).to_dict()
    else:
        summary = analytics.summary(database, chosen).to_dict()
    for metric in SIMPLE:
        found = measured(database, {"metric": metric, "window": "3d"} | scope, now_us)[None]
        if metric in summary:
            assert summary[metric] == (None if found.value is None else pytest.approx(found.value)), metric
    assert {"success_rate", "p95_latency_ms", "total_cost", "avg_cost_per_execution"} <= summary.keys()


@sqlite_when_quick
def test_many_groups(database: Database) -> None:
    """Beyond the limit of groups, those with the most executions are measured, and their comparisons are complete."""
    now_us = utc("2025-11-15T10:00:00")
    many = [an_execution(timestamp_us=now_us - 1, agent_name=f"{number:04}") for number in range(600)]
    more = [an_execution(timestamp_us=now_us - 1, agent_name="0599") for _ in range(3)]
    then = [an_execution(timestamp_us=now_us - DAY_US - 1, agent_name=f"{number:04}") for number in range(600)]
    other = [an_execution(timestamp_us=now_us - DAY_US - 1, agent_name=f"{number:04}") for number in range(510)]
    Store(database).add([*many, *more, *then, *other])
    config = {"metric": "total_executions", "window": "1h", "threshold": "+50%", "compared_to": "1d"}
    found = measured(database, config | {"group_by": "agent"}, now_us)
    assert (len(found), next(iter(found))) == (500, "0599")
    assert found["0599"].limit == 1.5
